"""App passwords: their shape and names, what is stored of them, and the logins with them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.app_passwords import (
    ALPHABET,
    GROUP_LENGTH,
    GROUPS,
    LONGEST_NAME,
    MOST,
    AppPassword,
    check_app_password_name,
    digest_if_app_password,
    make_app_password,
)
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.errors import (
    AccountNotFound,
    AppPasswordExists,
    AppPasswordLimit,
    AppPasswordNotFound,
    InvalidArgument,
)
from pop3_service.domain.rights import RoleName
from pop3_service.domain.scram import ITERATIONS, MadeUp, Verifier
from pop3_service.storage.app_passwords import Use
from pop3_service.storage.store import Store
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.identity.app_passwords import AppPasswordDesk
from support import database
from unit.pop3_service.clock import FakeClock

VERIFIER = Verifier(b"salt", 4096, b"stored\xff", b"server\0")
PEER = "192.0.2.1:5"
ANA = AccountName("ana")


def test_an_app_password_has_140_bits_and_can_be_typed() -> None:
    assert len(set(ALPHABET)) * 1.0 == 2**5
    assert math.log2(len(ALPHABET)) * GROUPS * GROUP_LENGTH >= 128
    assert not set("l1o0") & set(ALPHABET)
    made = {make_app_password() for _ in range(200)}
    assert len(made) == 200
    for password in made:
        groups = password.split("-")
        assert [len(group) for group in groups] == [GROUP_LENGTH] * GROUPS
        assert set("".join(groups)) <= set(ALPHABET)
        assert (
            digest_if_app_password(password.encode()) == hashlib.sha256(password.encode()).digest()
        )


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "secret",
        "abcd-efgh-jkmn-pqrs-tuvw-xyz2",
        "abcd-efgh-jkmn-pqrs-tuvw-xyz2-345",
        "abcd-efgh-jkmn-pqrs-tuvw-xyz2-3456\n",
        "abcd-efgh-jkmn-pqrs-tuvw-xyz2-3456-",
        "abcd-efgh-jkmn-pqrs-tuvw-xyz2-345l",
        "abcd-efgh-jkmn-pqrs-tuvw-xyz2-3451",
        "ABCD-efgh-jkmn-pqrs-tuvw-xyz2-3456",
        "abcdefghjkmnpqrstuvwxyz23456",
        "abcd-efgh-jkmn-pqrs-tuvw-xyz2-345²",
    ],
)
def test_nothing_else_has_the_shape_of_one(wrong: str) -> None:
    assert digest_if_app_password(b"abcd-efgh-jkmn-pqrs-tuvw-xyz2-3456")
    assert digest_if_app_password(wrong.encode()) is None


@pytest.mark.parametrize("name", ["phone", "é", "a" * LONGEST_NAME, "work/laptop", "Mutt.1"])
def test_names_that_fit(name: str) -> None:
    assert check_app_password_name(name) == name


def test_a_name_is_stored_composed() -> None:
    assert check_app_password_name("e\u0301") == "é"


@pytest.mark.parametrize(
    "name", ["", "a b", "a\n", "a\0", "All", "ALL", "a" * (LONGEST_NAME + 1), "\u202ea", "a" * 9999]
)
def test_names_that_do_not_fit(name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_app_password_name(name)


# --- as they are stored --------------------


def account(name: str) -> Account:
    return Account(AccountName(name), RoleName.USER, f"hash of {name}", FakeClock().now(), False)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await database.opened(tmp_path)
    await opened.accounts.insert(account("ana"), 10)
    await opened.accounts.insert(account("eva"), 10)
    yield opened
    await opened.close()


def named(name: str, age_s: float = 0) -> AppPassword:
    return AppPassword(name, FakeClock().now() - timedelta(seconds=age_s))


async def test_it_is_found_by_its_hash_and_for_its_account_alone(store: Store) -> None:
    stored = store.app_passwords
    await stored.insert("ana", named("phone"), b"d" * 32, VERIFIER)
    await stored.insert("ana", named("old", 60), b"e" * 32, replace(VERIFIER, salt=b"other"))
    assert await stored.list("ana") == [named("old", 60), named("phone")]
    assert await stored.find("ana", b"d" * 32) == "phone"
    assert await stored.find("ana", b"f" * 32) is None
    assert await stored.find("eva", b"d" * 32) is None
    assert await stored.verifiers("ana") == {
        "phone": VERIFIER,
        "old": replace(VERIFIER, salt=b"other"),
    }
    assert await stored.verifiers("eva") == {}


async def test_names_are_taken_once_an_account(store: Store) -> None:
    stored = store.app_passwords
    await stored.insert("ana", named("phone"), b"d" * 32, VERIFIER)
    await stored.insert("eva", named("phone"), b"e" * 32, VERIFIER)
    with pytest.raises(AppPasswordExists):
        await stored.insert("ana", named("phone"), b"f" * 32, VERIFIER)
    with pytest.raises(AccountNotFound):
        await stored.insert("nobody", named("phone"), b"f" * 32, VERIFIER)
    assert await stored.find("ana", b"f" * 32) is None


async def test_an_account_has_so_many_and_no_more(store: Store) -> None:
    stored = store.app_passwords
    for number in range(MOST):
        await stored.insert("ana", named(f"n{number}"), bytes([number]) * 32, VERIFIER)
    with pytest.raises(AppPasswordLimit):
        await stored.insert("ana", named("more"), b"m" * 32, VERIFIER)
    assert await stored.find("ana", b"m" * 32) is None
    await stored.insert("eva", named("more"), b"m" * 32, VERIFIER)
    await stored.delete("ana", "n0")
    await stored.insert("ana", named("more"), b"m" * 32, VERIFIER)


async def test_it_goes_by_name_with_all_others_or_with_its_account(store: Store) -> None:
    stored = store.app_passwords
    for name in ("one", "two", "three"):
        await stored.insert("ana", named(name), name.encode(), VERIFIER)
    await stored.insert("eva", named("one"), b"one", VERIFIER)
    await stored.delete("ana", "two")
    with pytest.raises(AppPasswordNotFound):
        await stored.delete("ana", "two")
    assert await stored.find("ana", b"two") is None
    assert await stored.delete_all("ana") == 2
    assert await stored.delete_all("ana") == 0
    assert await stored.list("ana") == []
    assert await stored.find("eva", b"one") == "one"
    await store.accounts.delete("eva")
    await store.accounts.insert(account("eva"), 10)
    assert await stored.list("eva") == []


async def test_its_last_use_is_the_latest_and_of_no_one_else(store: Store) -> None:
    stored, now = store.app_passwords, FakeClock().now()
    for name in ("one", "two"):
        await stored.insert("ana", named(name), name.encode(), VERIFIER)
    later = now + timedelta(seconds=9)
    await stored.note_uses(
        [
            Use("ana", "one", later, PEER),
            Use("ana", "one", now, "late news"),
            Use("ana", "gone", now, PEER),
            Use("nobody", "one", now, PEER),
        ]
    )
    one, two = await stored.list("ana")
    assert (one.last_use_time, one.last_use_peer) == (later, PEER)
    assert (two.last_use_time, two.last_use_peer) == (None, "")


# --- logins --------------------


class Ended:
    """Whose sessions were ended."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.authenticator: Authenticator | None = None

    async def end(self, name: AccountName) -> int:
        self.names.append(name)
        assert self.authenticator is not None
        self.authenticator.account_changed(name)
        return 3


@pytest.fixture
async def desk(store: Store) -> AsyncIterator[tuple[AppPasswordDesk, Authenticator, Ended]]:
    clock, ended, made_up = FakeClock(), Ended(), MadeUp(b"k" * 32)
    authenticator = Authenticator(store.accounts, clock, lambda: 600.0, memory_kib=8, passes=1)
    ended.authenticator = authenticator

    async def make_verifier(name: AccountName, password: bytes) -> Verifier:
        return replace(VERIFIER, salt=made_up.salt(name), iterations=ITERATIONS)

    made = AppPasswordDesk(store.app_passwords, make_verifier, ended.end, clock)
    authenticator.find_app_password = made.find
    await store.accounts.set_password("ana", await authenticator.hash(b"secret"))
    yield made, authenticator, ended
    authenticator.close()


async def test_it_lets_its_account_in_until_it_is_revoked(
    desk: tuple[AppPasswordDesk, Authenticator, Ended],
) -> None:
    own, authenticator, ended = desk
    made, password = await own.create(ANA, "phone", bool)
    assert made.name == "phone"
    for _ in range(2):  # the second is remembered
        admitted = await authenticator.login(b"ana", password.encode())
        assert admitted is not None
        assert (admitted.account, admitted.app_password) == ("ana", "phone")
    assert await authenticator.login(b"eva", password.encode()) is None
    assert await authenticator.login(b"nobody", password.encode()) is None
    assert await authenticator.login(b"\xff", password.encode()) is None
    assert await authenticator.login(b"ana", password.upper().encode()) is None
    admitted = await authenticator.login(b"ana", b"secret")
    assert admitted is not None
    assert (admitted.account, admitted.app_password) == ("ana", "")
    assert await own.revoke(ANA, "phone") == 3
    assert ended.names == ["ana"]
    assert await authenticator.login(b"ana", password.encode()) is None
    assert await authenticator.login(b"ana", b"secret") == admitted


async def test_all_of_an_account_are_revoked_at_once(
    desk: tuple[AppPasswordDesk, Authenticator, Ended],
) -> None:
    own, authenticator, _ = desk
    passwords = [(await own.create(ANA, name, bool))[1] for name in ("one", "two")]
    assert await own.revoke_all(ANA) == (2, 3)
    for password in passwords:
        assert await authenticator.login(b"ana", password.encode()) is None
    with pytest.raises(AppPasswordNotFound):
        await own.revoke(ANA, "one")


async def test_it_is_revoked_however_its_name_is_written(
    desk: tuple[AppPasswordDesk, Authenticator, Ended],
) -> None:
    own, _, _ = desk
    await own.create(ANA, "tel\u00e9fono", bool)
    await own.revoke(ANA, "tele\u0301fono")
    assert await own.list(ANA) == []


async def test_it_is_no_password_of_the_management(
    desk: tuple[AppPasswordDesk, Authenticator, Ended], store: Store
) -> None:
    own, authenticator, _ = desk
    _, password = await own.create(ANA, "phone", bool)
    assert await authenticator.verify(b"ana", password.encode()) is None
    ana = await store.accounts.get("ana")
    assert ana is not None
    assert not await authenticator.matches(ana, password.encode())


async def test_revoked_while_it_is_looked_up_it_lets_nobody_in(
    desk: tuple[AppPasswordDesk, Authenticator, Ended],
) -> None:
    own, authenticator, _ = desk
    _, password = await own.create(ANA, "phone", bool)
    find, seen = own.find, 0

    async def and_then_revoked(name: bytes, given: bytes) -> tuple[AccountName, str] | None:
        nonlocal seen
        found = await find(name, given)
        seen += 1
        if seen == 1:
            await own.revoke(ANA, "phone")
        return found

    authenticator.find_app_password = and_then_revoked
    assert await authenticator.login(b"ana", password.encode()) is None
    assert seen == 2


@pytest.mark.attack(17)
async def test_a_wrong_password_goes_one_way_whoever_has_app_passwords(
    desk: tuple[AppPasswordDesk, Authenticator, Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look-up and one hash for a wrong password of the shape; the hash alone for any other."""
    own, authenticator, _ = desk
    await own.create(ANA, "phone", bool)
    steps: list[str] = []
    find, verify = own.find, authenticator._verify

    async def looked_up(name: bytes, password: bytes) -> tuple[AccountName, str] | None:
        steps.append("looked up")
        return await find(name, password)

    def hashed(stored: str, password: bytes) -> bool:
        steps.append("hashed")
        return verify(stored, password)

    authenticator.find_app_password = looked_up
    monkeypatch.setattr(authenticator, "_verify", hashed)
    for password in (make_app_password().encode(), b"wrong"):
        for name in (b"ana", b"eva", b"nobody"):
            steps.clear()
            assert await authenticator.login(name, password) is None
            assert steps == ["looked up", "hashed"]


async def test_a_last_use_is_stored_within_a_while_and_before_it_is_listed(
    desk: tuple[AppPasswordDesk, Authenticator, Ended],
) -> None:
    own, _, _ = desk
    await own.create(ANA, "phone", bool)
    event = LoginEvent(1000.0, "ana", PEER, "PASS", "", "", "phone")
    own.note_logins([event._replace(reason="MAILDROP_IN_USE"), event._replace(app_password="")])
    assert [it.last_use_time for it in await own.list(ANA)] == [None]
    own.note_logins([event, event._replace(time_s=1002.5)])
    [phone] = await own.list(ANA)
    assert phone.last_use_time is not None
    assert (phone.last_use_time.timestamp(), phone.last_use_peer) == (1002.5, PEER)


async def test_the_last_uses_of_all_are_stored_when_the_service_ends(
    desk: tuple[AppPasswordDesk, Authenticator, Ended], store: Store
) -> None:
    own, _, _ = desk
    await own.create(ANA, "phone", bool)
    async with own.storing():
        own.note_logins([LoginEvent(1000.0, "ana", PEER, "PASS", "", "", "phone")])
    assert [it.last_use_peer for it in await store.app_passwords.list("ana")] == [PEER]
