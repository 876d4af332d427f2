from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import (
    AccountExists,
    AccountLimit,
    AccountNotFound,
    InvalidCredentials,
    LastAdmin,
    StoreUnavailable,
)
from pop3_service.domain.rights import RoleName
from pop3_service.domain.scram import Verifier
from pop3_service.storage.store import FILE, Store
from pop3_service.storage.transactions import finished
from support import database
from unit.pop3_service.clock import FakeClock


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await database.opened(tmp_path)
    yield opened
    await opened.close()


def account(name: str, role: str = RoleName.USER, *, default: bool = False) -> Account:
    return Account(AccountName(name), role, f"hash of {name}", FakeClock().now(), default)


async def test_an_account_is_read_back_as_it_was_stored(store: Store) -> None:
    stored = account("ana", RoleName.ADMIN, default=True)
    await store.accounts.insert(stored, 10)
    assert await store.accounts.get("ana") == stored
    assert await store.accounts.get("Ana") is None
    assert await store.accounts.with_default_password() == [stored]


VERIFIER = Verifier(b"salt", 4096, b"stored\xff", b"server\0")
OTHER = Verifier(b"other", 5000, b"s", b"t")


async def test_a_verifier_comes_and_goes_with_its_password(store: Store) -> None:
    accounts = store.accounts
    await accounts.insert(account("ana"), 10, VERIFIER)
    await accounts.insert(account("eva"), 10)
    assert await accounts.verifier("ana") == VERIFIER
    assert await accounts.verifier("eva") is None
    await accounts.set_password("eva", "hash", verifier=OTHER)
    assert await accounts.verifier("eva") == OTHER
    await accounts.set_password("eva", "new hash")
    assert await accounts.verifier("eva") is None
    assert await accounts.verifier("ana") == VERIFIER
    await accounts.set_password("ana", "new hash", verifier=OTHER)
    assert await accounts.verifier("ana") == OTHER
    with pytest.raises(AccountNotFound):
        await accounts.set_password("nobody", "hash", verifier=OTHER)
    await accounts.insert(account("admin", RoleName.ADMIN), 10)
    await accounts.delete("ana")
    assert await accounts.verifier("ana") is None
    await accounts.insert(account("ana"), 10)
    assert await accounts.verifier("ana") is None


async def test_a_verifier_that_comes_late_is_not_stored_beside_a_new_password(
    store: Store,
) -> None:
    old = account("ana")
    await store.accounts.insert(old, 10)
    await store.accounts.put_verifier(old, VERIFIER)
    assert await store.accounts.verifier("ana") == VERIFIER
    await store.accounts.set_password("ana", "new hash", verifier=OTHER)
    await store.accounts.put_verifier(old, VERIFIER)
    assert await store.accounts.verifier("ana") == OTHER
    await store.accounts.put_verifier(account("nobody"), VERIFIER)
    assert await store.accounts.verifier("nobody") is None


async def test_a_taken_name_keeps_its_verifier(store: Store) -> None:
    await store.accounts.insert(account("ana"), 10, VERIFIER)
    with pytest.raises(AccountExists):
        await store.accounts.insert(account("ana"), 10, OTHER)
    assert await store.accounts.verifier("ana") == VERIFIER


async def test_a_secret_is_made_once_and_stays(tmp_path: Path) -> None:
    store = await Store.open(tmp_path)
    made = await asyncio.gather(*(store.secrets.get("one") for _ in range(5)))
    assert len(set(made)) == 1
    assert len(made[0]) == 32
    assert await store.secrets.get("two") != made[0]
    await store.close()
    again = await Store.open(tmp_path)
    assert await again.secrets.get("one") == made[0]
    await again.close()


async def test_a_password_is_stored_with_its_time_and_whether_it_must_be_changed(
    store: Store,
) -> None:
    made = replace(account("ana"), must_change_password=True)
    await store.accounts.insert(made, 10)
    assert await store.accounts.get("ana") == made
    later = made.create_time + timedelta(days=3)
    await store.accounts.set_password("ana", "new hash", time=later)
    found = await store.accounts.get("ana")
    assert found == replace(
        made, password_hash="new hash", must_change_password=False, password_time=later
    )
    assert found.password_since == later
    await store.accounts.set_password("ana", "random", time=later, must_change=True)
    found = await store.accounts.get("ana")
    assert found is not None
    assert found.must_change_password


async def test_so_many_passwords_stay_known_as_are_asked_for(store: Store) -> None:
    accounts = store.accounts
    await accounts.insert(account("ana"), 10)
    await accounts.insert(account("eva"), 10)
    for number in range(1, 5):
        await accounts.set_password("ana", f"hash {number}", keep=3)
    assert await accounts.old_passwords("ana") == ["hash 3", "hash 2", "hash 1"]
    assert await accounts.old_passwords("eva") == []
    await accounts.set_password("ana", "hash 5", keep=2)
    assert await accounts.old_passwords("ana") == ["hash 4", "hash 3"]
    await accounts.set_password("ana", "hash 6")
    assert await accounts.old_passwords("ana") == []


async def test_a_password_that_is_refused_is_no_old_one(store: Store) -> None:
    await store.accounts.insert(account("ana"), 10)
    with pytest.raises(InvalidCredentials):
        await store.accounts.set_password("ana", "new hash", old="another", keep=3)
    assert await store.accounts.old_passwords("ana") == []


async def test_old_passwords_go_with_their_account(store: Store) -> None:
    await store.accounts.insert(account("ana"), 10)
    await store.accounts.insert(account("eva", RoleName.ADMIN), 10)
    await store.accounts.set_password("ana", "new hash", keep=3)
    await store.accounts.delete("ana")
    assert await store.accounts.old_passwords("ana") == []
    await store.accounts.insert(account("ana"), 10)
    assert await store.accounts.old_passwords("ana") == []


async def test_a_name_is_taken_once(store: Store) -> None:
    await store.accounts.insert(account("ana"), 10)
    with pytest.raises(AccountExists, match="ana"):
        await store.accounts.insert(account("ana", RoleName.ADMIN), 10)
    assert await store.accounts.get("ana") == account("ana")


async def test_a_taken_name_is_told_as_such_at_the_limit_too(store: Store) -> None:
    await store.accounts.insert(account("ana"), 1)
    with pytest.raises(AccountExists):
        await store.accounts.insert(account("ana"), 1)
    with pytest.raises(AccountLimit):
        await store.accounts.insert(account("eva"), 1)
    assert await store.accounts.count() == 1


@pytest.mark.attack(50, "raced")
async def test_many_inserts_at_once_stop_exactly_at_the_limit(store: Store) -> None:
    results = await asyncio.gather(
        *(store.accounts.insert(account(f"user{n}"), 7) for n in range(20)), return_exceptions=True
    )
    assert sum(result is None for result in results) == 7
    assert sum(isinstance(result, AccountLimit) for result in results) == 13
    assert await store.accounts.count() == 7


async def test_pages_give_every_account_once_in_order(store: Store) -> None:
    names = sorted(f"user{n}" for n in range(10))
    for name in reversed(names):
        await store.accounts.insert(account(name), 100)
    seen, after = [], ""
    while page := await store.accounts.page(after, 3):
        seen += [item.name for item in page]
        after = page[-1].name
    assert seen == names


async def test_the_last_admin_stays(store: Store) -> None:
    await store.accounts.insert(account("root", RoleName.ADMIN), 10)
    await store.accounts.insert(account("ana"), 10)
    with pytest.raises(LastAdmin):
        await store.accounts.delete("root")
    await store.accounts.insert(account("other", RoleName.ADMIN), 10)
    await store.accounts.delete("root")
    with pytest.raises(AccountNotFound):
        await store.accounts.delete("root")


async def test_two_admins_cannot_remove_each_other_at_once(store: Store) -> None:
    await store.accounts.insert(account("one", RoleName.ADMIN), 10)
    await store.accounts.insert(account("two", RoleName.ADMIN), 10)
    results = await asyncio.gather(
        store.accounts.delete("one"), store.accounts.delete("two"), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["LastAdmin", "NoneType"]


async def test_a_new_password_is_no_default_any_more(store: Store) -> None:
    await store.accounts.insert(account("ana", default=True), 10)
    await store.accounts.set_password("ana", "new hash")
    changed = await store.accounts.get("ana")
    assert changed is not None
    assert (changed.password_hash, changed.has_default_password) == ("new hash", False)
    with pytest.raises(AccountNotFound):
        await store.accounts.set_password("nobody", "new hash")


async def test_settings_and_accounts_are_there_after_reopening(tmp_path: Path) -> None:
    first = await Store.open(tmp_path)
    await first.accounts.insert(account("ana"), 10)
    await first.settings.save(
        {"max_accounts": 5, "oauth_scope": "'a' \"b\"", "idle_timeout_s": 1.5}
    )
    await first.settings.save({"max_accounts": 6})
    await first.close()
    second = await Store.open(tmp_path)
    assert await second.accounts.get("ana") == account("ana")
    assert await second.settings.load() == {
        "max_accounts": 6,
        "oauth_scope": "'a' \"b\"",
        "idle_timeout_s": 1.5,
    }
    await second.close()


async def test_nobody_else_can_read_the_database(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "data")
    await store.accounts.insert(account("ana"), 10)
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    for path in (tmp_path / "data").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path.name
    await store.close()


async def test_a_second_process_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    store = await Store.open(tmp_path)
    program = (
        "import asyncio, sys, pathlib\n"
        "from pop3_service.storage.store import Store\n"
        "asyncio.run(Store.open(pathlib.Path(sys.argv[1])))\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert "another process uses" in other.stderr
    with pytest.raises(StoreUnavailable, match="another process"):
        await Store.open(tmp_path)
    await store.close()
    await (await Store.open(tmp_path)).close()


@pytest.mark.parametrize(
    "octets",
    [b"not a database\n" * 1000, b"SQLite format 3\0" + b"\xff" * 8000],
    ids=["text", "bad"],
)
async def test_a_damaged_database_is_refused_and_left_as_it_is(
    tmp_path: Path, octets: bytes
) -> None:
    path = tmp_path / FILE
    path.write_bytes(octets)
    with pytest.raises(StoreUnavailable, match="cannot use"):
        await Store.open(tmp_path)
    assert path.read_bytes() == octets
    path.unlink()
    await (await Store.open(tmp_path)).close()


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with sqlite3.connect(path) as foreign:
        foreign.execute("create table accounts (id integer)")
    foreign.close()
    octets, mode = path.read_bytes(), path.stat().st_mode
    with pytest.raises(StoreUnavailable, match="another program"):
        await Store.open(tmp_path)
    assert path.read_bytes() == octets
    assert path.stat().st_mode == mode


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    await (await Store.open(tmp_path)).close()
    path = tmp_path / FILE
    with sqlite3.connect(path) as newer:
        newer.execute("update alembic_version set version_num = '9999'")
    newer.close()
    octets = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="newer version"):
        await Store.open(tmp_path)
    assert path.read_bytes() == octets


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot use"):
        await Store.open(tmp_path / "file" / "data")


async def test_a_refused_open_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database\n" * 1000)
    with pytest.raises(StoreUnavailable):
        await Store.open(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await Store.open(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_store_that_fails_later_says_so(store: Store, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("drop table accounts")
    other.close()
    with pytest.raises(StoreUnavailable):
        await store.accounts.get("ana")
    with pytest.raises(StoreUnavailable):
        await store.accounts.insert(account("ana"), 10)


async def test_an_apop_secret_is_kept_until_it_or_its_account_goes(store: Store) -> None:
    await store.accounts.insert(account("ana"), 10)
    await store.accounts.insert(account("eva"), 10)
    assert await store.accounts.apop_secret("ana") is None
    for sealed in (b"\0first", b"\xffsecond"):
        await store.accounts.set_apop_secret("ana", sealed)
        assert await store.accounts.apop_secret("ana") == sealed
    ana = await store.accounts.get("ana")
    assert ana is not None
    assert ana.has_apop_secret
    assert [it.has_apop_secret for it in await store.accounts.page("", 10)] == [True, False]
    await store.accounts.set_apop_secret("ana", None)
    assert await store.accounts.apop_secret("ana") is None
    await store.accounts.set_apop_secret("ana", b"third")
    await store.accounts.delete("ana")
    await store.accounts.insert(account("ana"), 10)
    assert await store.accounts.apop_secret("ana") is None
    with pytest.raises(AccountNotFound):
        await store.accounts.set_apop_secret("nobody", b"x")


async def test_a_caller_that_gives_up_locks_nobody_out(store: Store) -> None:
    await store.accounts.insert(account("ana"), 10)

    async def waited_s(turn: int) -> float:
        given_up = asyncio.ensure_future(store.accounts.replace_hash("ana", "no hash", "new"))
        await asyncio.wait({given_up}, timeout=turn * 2e-5)
        given_up.cancel()
        began_s = time.monotonic()
        assert await store.accounts.get("ana") == account("ana")
        taken_s = time.monotonic() - began_s
        await asyncio.gather(given_up, return_exceptions=True)
        return taken_s

    for turn in range(200):  # wherever in its transaction it is then
        # SQLite itself would wait for 5 s, each time; a busy disk does so now and then.
        assert await waited_s(turn) < 4 or await waited_s(turn) < 4


async def test_closing_waits_for_what_was_left_behind(store: Store) -> None:
    made = asyncio.ensure_future(store.accounts.insert(account("ana"), 10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    made.cancel()
    await finished()
    assert await store.accounts.get("ana") == account("ana")
