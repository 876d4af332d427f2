"""EXPIRE: which mail goes, and how (RFC 2449 section 6.7)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import MaildropInUse, MaildropUnusable
from pop3_service.domain.preferences import Preferences
from pop3_service.domain.rights import RoleName
from pop3_service.domain.settings import Settings
from pop3_service.maildir.expiry import Expired, delivered_s, expire
from pop3_service.maildir.lock import MaildropLock, lock_key
from pop3_service.maildir.paths import MailPaths, make_folder
from pop3_service.supervisor.mail.expiry import MESSAGES_A_TURN, PASS_S, Expiry
from unit.pop3_service.clock import FakeClock

ANA = ("ana",)
NOW = 1_700_000_000.0
DAY = 86_400.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_folder(tmp_path, ANA)
    return tmp_path


def put(root: Path, name: str, *, folder: str = "new", age_s: float = 0.0, size: int = 4) -> Path:
    path = root / "ana" / folder / name
    path.write_bytes(b"x" * size)
    os.utime(path, (NOW - age_s, NOW - age_s))
    return path


def named(age_s: float, number: int = 1) -> str:
    return f"{int(NOW - age_s)}.M{number}P1.host"


def left(root: Path) -> set[str]:
    return {path.name for path in root.glob("ana/[cn][ue][rw]/*")}


def test_mail_as_old_as_that_goes_and_younger_mail_stays(root: Path) -> None:
    put(root, named(7 * DAY), size=10)
    put(root, named(30 * DAY, 2) + ":2,S", folder="cur", size=20)
    young = put(root, named(7 * DAY - 1, 3)).name
    assert expire(root, ANA, NOW, 7 * DAY, 100) == Expired(2, 30)
    assert left(root) == {young}
    assert expire(root, ANA, NOW, 7 * DAY, 100) == Expired()


@pytest.mark.parametrize(
    "name",
    ["message", "1.eml", "1001.M1P1.host", "1700000000000.host", "99999999999.x", "-1.x",
     "000000001.eml", "0000000001.eml", "0099999999.x"],
)  # fmt: skip
def test_where_the_name_tells_no_time_the_mtime_does(root: Path, name: str) -> None:
    put(root, name)
    assert expire(root, ANA, NOW, DAY, 100) == Expired()
    put(root, name, age_s=DAY)
    assert expire(root, ANA, NOW, DAY, 100) == Expired(1, 4)


def test_a_name_from_the_future_tells_no_time() -> None:
    assert delivered_s("1700090000.x", 5, NOW) == 5
    assert delivered_s("1700080000.x", 5, NOW) == 1_700_080_000


def test_mail_that_no_time_is_known_of_counts_from_when_its_file_was_last_changed(
    root: Path,
) -> None:
    os.utime(put(root, "message"), (1, 1))
    os.utime(put(root, "0000000007.eml"), (0, 0))
    now_s = time.time()
    assert expire(root, ANA, now_s, DAY, 100) == Expired()
    assert expire(root, ANA, now_s + 2 * DAY, DAY, 100).removed == 2


def test_what_is_no_mail_stays(root: Path) -> None:
    old = put(root, named(9 * DAY))
    for name in (".hidden", named(9 * DAY, 2)):
        put(root, name, age_s=9 * DAY)
    os.link(root / "ana/new" / named(9 * DAY, 2), root / "ana/cur/second")
    (root / "ana/new" / named(9 * DAY, 3)).symlink_to(old)
    (root / "ana/new" / named(9 * DAY, 4)).mkdir()
    before = left(root)
    assert expire(root, ANA, NOW, DAY, 100).removed == 1
    assert left(root) == before - {old.name}


def test_a_turn_removes_no_more_than_it_may(root: Path) -> None:
    for number in range(5):
        put(root, named(9 * DAY, number))
    assert expire(root, ANA, NOW, DAY, 0) == Expired(more=True)
    assert expire(root, ANA, NOW, DAY, 2) == Expired(2, 8, more=True)
    assert expire(root, ANA, NOW, DAY, 2) == Expired(2, 8, more=True)
    assert expire(root, ANA, NOW, DAY, 2) == Expired(1, 4)
    assert expire(root, ANA, NOW, DAY, 0) == Expired()


def test_a_maildrop_in_use_is_left_alone_and_only_then_asked_for(root: Path) -> None:
    lock = MaildropLock(root)
    lock.acquire(lock_key(ANA))
    young = put(root, named(0)).name
    assert expire(root, ANA, NOW, DAY, 100) == Expired()
    old = put(root, named(9 * DAY)).name
    with pytest.raises(MaildropInUse):
        expire(root, ANA, NOW, DAY, 100)
    assert left(root) == {young, old}
    lock.close()
    assert expire(root, ANA, NOW, DAY, 100).removed == 1


def test_a_maildrop_that_is_not_there_or_cannot_be_read_is_told(root: Path) -> None:
    assert expire(root, ("nobody",), NOW, DAY, 100) == Expired()
    (root / "ana/cur").rmdir()
    (root / "ana/cur").write_text("a file")
    put(root, named(9 * DAY))
    with pytest.raises(MaildropUnusable):
        expire(root, ANA, NOW, DAY, 100)


def test_a_deletion_that_is_not_durable_is_not_claimed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    put(root, named(9 * DAY))
    monkeypatch.setattr(os, "fsync", fail)
    assert expire(root, ANA, NOW, DAY, 100) == Expired(0, 0, failed=1)


# --- in the background --------------------


class Accounts:
    """Accounts in a list."""

    def __init__(self, *names: str) -> None:
        self._all = [
            Account(AccountName(name), RoleName.USER, "", datetime(2026, 1, 1, tzinfo=UTC), False)
            for name in sorted(names)
        ]
        self.looks = 0
        self.deleted: set[str] = set()
        """Those that are in a page that was read before they were deleted."""

    async def get(self, name: str) -> Account | None:
        return None if name in self.deleted else next(it for it in self._all if it.name == name)

    async def page(self, after: str, size: int, *, with_retention: bool = False) -> list[Account]:
        self.looks += not after and not with_retention
        return [
            account
            for account in self._all
            if account.name > after and (account.preferences.retention_days or not with_retention)
        ][:size]

    def retain(self, name: str, days: int) -> None:
        """Give an account a retention of its own."""
        self._all = [
            replace(it, preferences=Preferences(retention_days=days)) if it.name == name else it
            for it in self._all
        ]


class Background:
    """An expiry at work; ``days`` is the setting."""

    def __init__(self, root: Path, *names: str) -> None:
        self.clock = FakeClock()
        self.clock.waits = True
        self.told: list[tuple[object, ...]] = []
        self.accounts = Accounts(*names)
        self.settings = Settings()
        self.now_s = self.clock.now().timestamp()
        self.root = root
        self.expiry = Expiry(
            self.accounts,
            MailPaths(root),
            lambda: self.settings,
            self.clock,  # type: ignore[arg-type]
            lambda *told: self.told.append(told),
        )

    def change(self, days: int) -> None:
        self.settings = replace(self.settings, expire_days=days)
        self.expiry.settings_changed()

    def put(self, account: str, age_s: float, number: int = 1) -> Path:
        make_folder(self.root, (account,))
        path = self.root / account / "new" / f"{int(self.now_s - age_s)}.M{number}P1.host"
        path.write_bytes(b"mail")
        return path

    async def until(self, fact) -> None:
        async with asyncio.timeout(60):
            while not fact():
                self.clock.move(0.001)
                await asyncio.sleep(0.001)


@pytest.fixture
async def background(tmp_path: Path) -> AsyncIterator[Background]:
    made = Background(tmp_path, "ana", "ben", "cy")
    async with made.expiry.running():
        yield made


async def test_nothing_goes_until_the_setting_says_so_and_then_soon(background: Background) -> None:
    old, young = background.put("ana", 3 * DAY), background.put("ben", DAY)
    await background.until(lambda: background.clock.slept or True)
    assert old.exists()
    assert background.accounts.looks == 0
    with structlog.testing.capture_logs() as logs:
        background.change(2)
        await background.until(lambda: not old.exists() and logs)
    assert young.exists()
    [told] = [line for line in logs if line["event"] == "mail expired"]
    assert (told["account"], told["days"], told["count"], told["octets"]) == ("ana", 2, 1, 4)


async def test_a_look_comes_each_hour(background: Background) -> None:
    background.change(2)
    await background.until(lambda: PASS_S in background.clock.slept)
    later = background.put("cy", 2 * DAY - 10)
    assert background.accounts.looks == 1
    background.clock.move(PASS_S)
    await background.until(lambda: not later.exists())


async def test_a_large_maildrop_goes_in_turns_and_is_told_once(background: Background) -> None:
    count = 2 * MESSAGES_A_TURN + 1
    for number in range(count):
        background.put("ben", 9 * DAY, number)
    with structlog.testing.capture_logs() as logs:
        background.change(1)
        await background.until(lambda: [it for it in logs if it["event"] == "mail expired"])
    assert logs[0]["count"] == count


async def test_a_maildrop_in_use_is_looked_at_again_an_hour_later(background: Background) -> None:
    held, other = background.put("ana", 9 * DAY), background.put("ben", 9 * DAY)
    lock = MaildropLock(background.root)
    lock.acquire(lock_key(ANA))
    background.change(1)
    await background.until(lambda: not other.exists() and PASS_S in background.clock.slept)
    assert held.exists()
    lock.close()
    background.clock.move(PASS_S)
    await background.until(lambda: not held.exists())


async def test_one_maildrop_that_cannot_be_read_keeps_nobody_elses_mail(
    background: Background,
) -> None:
    (background.root / "ana").write_text("a file")
    other = background.put("ben", 9 * DAY)
    with structlog.testing.capture_logs() as logs:
        background.change(1)
        await background.until(lambda: not other.exists())
    assert [it["account"] for it in logs if it["event"] == "mail cannot expire"] == ["ana"]


async def test_a_look_that_fails_for_an_unknown_reason_is_told_and_not_the_last(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    old = background.put("ana", 9 * DAY)
    with monkeypatch.context() as patched, structlog.testing.capture_logs() as logs:
        patched.setattr(asyncio, "to_thread", fail)
        background.change(1)
        await background.until(lambda: PASS_S in background.clock.slept)
    assert [it["event"] for it in logs] == ["expiry broke off"]
    background.clock.move(PASS_S)
    await background.until(lambda: not old.exists())


async def test_a_clock_that_is_put_ahead_makes_no_mail_old_for_an_hour(
    background: Background,
) -> None:
    young = background.put("ana", 0)
    background.clock.ahead_s = 3650 * DAY
    with structlog.testing.capture_logs() as logs:
        background.change(30)
        await background.until(lambda: PASS_S in background.clock.slept)
    assert young.exists()
    [told] = logs
    assert told["event"] == "clock was put ahead, no mail expires for an hour"
    assert told["seconds"] == 3650 * DAY
    background.change(20)  # another look at once does not forget it
    await background.until(lambda: background.clock.slept.count(PASS_S) == 2)
    assert young.exists()
    background.clock.move(PASS_S)  # whoever set the clock means it
    await background.until(lambda: not young.exists())


async def test_a_clock_that_is_put_back_is_no_reason_to_wait(background: Background) -> None:
    background.clock.ahead_s = -DAY
    old = background.put("ana", 9 * DAY)
    background.change(3)
    await background.until(lambda: not old.exists())


async def test_the_mail_that_a_deleted_account_left_stays(background: Background) -> None:
    kept, other = background.put("ana", 9 * DAY), background.put("ben", 9 * DAY)
    background.accounts.deleted.add("ana")
    background.change(1)
    await background.until(lambda: not other.exists() and PASS_S in background.clock.slept)
    assert kept.exists()


async def test_a_longer_age_holds_before_the_next_maildrop(background: Background) -> None:
    background.change(5)
    await background.until(lambda: background.accounts.looks)
    background.change(0)
    await background.until(lambda: background.expiry._days == 0)
    old = background.put("ana", 9 * DAY)
    background.clock.move(PASS_S)
    for _ in range(50):
        await asyncio.sleep(0)
    assert old.exists()


async def test_an_accounts_own_retention_counts_where_it_is_shorter(
    background: Background,
) -> None:
    own, long, other = (background.put(name, 3 * DAY) for name in ("ana", "ben", "cy"))
    background.accounts.retain("ben", 9)
    background.accounts.retain("ana", 2)
    background.expiry.retention_changed()
    await background.until(lambda: not own.exists() and PASS_S in background.clock.slept)
    assert long.exists()
    assert other.exists()
    assert background.accounts.looks == 0
    young = background.put("ana", DAY)
    background.change(3)
    await background.until(lambda: not long.exists() and not other.exists())
    assert young.exists()


async def test_another_retention_waits_for_the_hour_while_looks_come(
    background: Background,
) -> None:
    background.change(9)
    await background.until(lambda: PASS_S in background.clock.slept)
    own = background.put("ana", 3 * DAY)
    background.accounts.retain("ana", 2)
    background.expiry.retention_changed()
    for _ in range(50):
        await asyncio.sleep(0)
    assert background.accounts.looks == 1
    background.clock.move(PASS_S)
    await background.until(lambda: not own.exists())


async def test_who_wants_mail_kept_for_longer_keeps_what_has_not_gone_yet(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    background.accounts.retain("ana", 2)
    kept, get = background.put("ana", 3 * DAY), background.accounts.get

    async def changed_meanwhile(name: str) -> Account | None:
        background.accounts.retain("ana", 30)
        return await get(name)

    monkeypatch.setattr(background.accounts, "get", changed_meanwhile)
    background.expiry.retention_changed()
    await background.until(lambda: PASS_S in background.clock.slept)
    assert kept.exists()
