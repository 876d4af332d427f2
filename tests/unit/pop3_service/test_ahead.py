"""Mail transformed ahead: whose, in which order, and what of it is told; with real programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lineproto.clock import SystemClock
from pop3_service.domain.ahead import NOTHING_AHEAD, AheadProgress, Owner
from pop3_service.domain.settings import Settings
from pop3_service.domain.subject import EVERYONE, Scope, Subject
from pop3_service.domain.transforms import (
    Activation,
    Mode,
    Transform,
    TransformCount,
    TransformTable,
)
from pop3_service.maildir.message import Message
from pop3_service.maildir.paths import MailPaths, make_folder
from pop3_service.transform.cache import Cache
from pop3_service.transform.fingerprint import fingerprint
from pop3_service.transform.runner import Runner
from pop3_service.worker import ahead_turns
from pop3_service.worker.ahead import LOOK_S, Ahead
from pop3_service.worker.ahead_results import AheadResults
from pop3_service.worker.ahead_turns import Mailbox
from unit.pop3_service.clock import FakeClock

UPPER = Transform(1, "upper", 1, "tr a-z A-Z", (("tr", "a-z", "A-Z"),))
LOWER = Transform(2, "lower", 1, "tr A-Z a-z", (("tr", "A-Z", "a-z"),))
PICKY = Transform(3, "picky", 1, "grep fine", (("grep", "fine"),))
WITHIN_S = 60


class Told:
    """The supervisor's side: who there is, and what was told."""

    def __init__(self, *owners: Owner) -> None:
        self.owner_list = list(owners)
        self.progress = NOTHING_AHEAD
        self.counts: list[TransformCount] = []
        self._news = asyncio.Event()

    async def owners(self, after: str) -> Sequence[Owner]:
        return [it for it in self.owner_list if it.account > after][:2]

    def report_transforms(self, counts: list[TransformCount]) -> None:
        self.counts += counts
        self._news.set()

    def report_ahead(self, progress: AheadProgress) -> None:
        self.progress = progress
        self._news.set()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not fact():
                self._news.clear()
                await self._news.wait()


class World:
    """Maildirs, a cache, and what works ahead."""

    def __init__(self, folder: Path, *owners: Owner) -> None:
        self.paths = MailPaths(folder / "mail")
        self.clock = FakeClock()
        self.clock.waits = True
        self.told = Told(*owners)
        self.settings = Settings()
        system = SystemClock()
        self.cache = Cache(folder / "results", folder / "spool", self._quota, system)
        results = AheadResults(Runner(folder / "spool", system), self.cache, lambda: self.settings)
        self._numbers = iter(range(1000, 9999))
        for owner in owners:
            make_folder(self.paths.root, (owner.account,))
        self.ahead = Ahead(self.told, self.paths, results, self.settings, self.clock)

    def _quota(self) -> int:
        return self.settings.transform_cache_mib << 20

    def deliver(self, account: str, *contents: bytes) -> None:
        folder = self.paths.root / account / "new"
        for content in contents:
            (folder / f"{next(self._numbers)}.M1P1.host").write_bytes(content)
        long_ago_s = time.time() - 20_000 + next(self._numbers)  # each time another
        os.utime(folder, (long_ago_s, long_ago_s))

    def results(self, account: str, transform: Transform) -> set[bytes]:
        """What is kept of an account's mail."""
        folder = self.cache.lease(account, fingerprint(transform.programs))
        assert folder is not None
        found = set()
        for key in folder.sizes():
            fd = folder.open(key)
            assert fd is not None
            with open(fd, "rb") as file:
                found.add(file.read())
        folder.close()
        return found

    async def done(self, count: int) -> None:
        await self.told.until(
            lambda: self.told.progress.done >= count and not self.told.progress.waiting
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mail").mkdir()
    return tmp_path


@contextlib.asynccontextmanager
async def running(world: World, *activations: Activation) -> AsyncIterator[None]:
    world.ahead.set_transforms(TransformTable(activations))
    task = asyncio.create_task(world.ahead.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        world.cache.close()


def user(name: str, *, transform: bool = True, login_time_s: float = 0.0) -> Owner:
    return Owner(name, "user", transform, login_time_s)


async def test_mail_that_is_there_and_mail_that_comes_is_transformed(folder: Path) -> None:
    world = World(folder, user("ana"), user("ben"), user("cy"))
    world.deliver("ana", b"one\n", b"two\n")
    world.deliver("cy", b"three\n")
    async with running(world, Activation(7, EVERYONE, UPPER)):
        await world.done(3)
        assert world.results("ana", UPPER) == {b"ONE\r\n", b"TWO\r\n"}
        assert world.results("cy", UPPER) == {b"THREE\r\n"}
        world.deliver("ben", b"four\n")
        world.clock.move(LOOK_S)
        await world.done(4)
        assert world.results("ben", UPPER) == {b"FOUR\r\n"}
        await world.told.until(lambda: sum(it.runs for it in world.told.counts) == 4)
    assert {(it.activation, it.failures) for it in world.told.counts} == {(7, 0)}


async def test_what_is_there_already_is_not_made_again(folder: Path) -> None:
    first, second = World(folder, user("ana")), World(folder, user("ana"))
    first.deliver("ana", b"one\n")
    async with running(first, Activation(7, EVERYONE, UPPER)):
        await first.done(1)
    second._numbers = first._numbers
    second.deliver("ana", b"two\n")
    async with running(second, Activation(7, EVERYONE, UPPER)):
        await second.done(1)
        assert second.results("ana", UPPER) == {b"ONE\r\n", b"TWO\r\n"}
    assert second.told.progress.done == 1


async def test_each_account_has_what_is_active_for_it(folder: Path) -> None:
    world = World(folder, user("ana"), user("ben"), Owner("cy", "clerk"), user("dan"))
    for owner in world.told.owner_list:
        world.deliver(owner.account, b"Mail\n")
    canary = Activation(8, EVERYONE, UPPER, Mode.CANARY, former=LOWER, accounts=("ana",))
    shadow = Activation(9, Subject(Scope.ROLE, "clerk"), UPPER, Mode.SHADOW, former=None)
    nothing = Activation(10, Subject(Scope.ACCOUNT, "dan"), None)
    async with running(world, canary, shadow, nothing):
        await world.done(2)
        await world.told.until(lambda: bool(world.told.counts))
    assert world.results("ana", UPPER) == {b"MAIL\r\n"}
    assert world.results("ben", LOWER) == {b"mail\r\n"}
    for owner in world.told.owner_list:
        assert bool(world.results(owner.account, UPPER)) is (owner.account == "ana")
        assert bool(world.results(owner.account, LOWER)) is (owner.account == "ben")
    # Those beside a canary say nothing of it.
    assert sum(it.runs for it in world.told.counts if it.activation == 8) == 1


async def test_who_does_not_want_the_transform_is_left_out_where_it_is_optional(
    folder: Path,
) -> None:
    world = World(folder, user("ana", transform=False), user("ben"))
    world.settings = replace(world.settings, transform_optional=True)
    world.ahead.configure(world.settings)
    for name in ("ana", "ben"):
        world.deliver(name, b"mail\n")
    async with running(world, Activation(7, EVERYONE, UPPER)):
        await world.done(1)
        assert world.results("ana", UPPER) == set()
        world.ahead.configure(replace(world.settings, transform_optional=False))
        await world.done(2)
        assert world.results("ana", UPPER) == {b"MAIL\r\n"}


async def test_what_fails_is_told_and_left_alone_for_a_while(folder: Path) -> None:
    world = World(folder, user("ana"))
    world.deliver("ana", b"fine\n", b"bad\n", b"all fine\n")
    async with running(world, Activation(7, EVERYONE, PICKY)):
        await world.told.until(lambda: world.told.progress == AheadProgress(0, 2, 1))
        await world.told.until(lambda: sum(it.runs for it in world.told.counts) == 3)
        assert any(it.failure for it in world.told.counts)
        world.deliver("ana", b"fine too\n")
        world.clock.move(LOOK_S)
        await world.told.until(lambda: world.told.progress == AheadProgress(0, 3, 1))
        assert sum(it.failures for it in world.told.counts) == 1


async def test_another_version_takes_the_place_of_what_waits(folder: Path) -> None:
    world = World(folder, user("ana"))
    world.deliver("ana", b"Mail\n")
    async with running(world, Activation(7, EVERYONE, UPPER)):
        await world.done(1)
        world.ahead.set_transforms(TransformTable((Activation(8, EVERYONE, LOWER),)))
        await world.done(2)
        assert world.results("ana", LOWER) == {b"mail\r\n"}


async def test_after_a_restore_a_version_is_not_taken_for_another_of_its_number(
    folder: Path,
) -> None:
    world = World(folder, user("ana"))
    world.deliver("ana", b"Mail\n")
    restored = replace(LOWER, id=UPPER.id)  # what was made since is gone, its id given again
    async with running(world, Activation(7, EVERYONE, UPPER)):
        await world.done(1)
        world.ahead.set_transforms(TransformTable((Activation(7, EVERYONE, restored),)))
        await world.done(2)
        assert world.results("ana", restored) == {b"mail\r\n"}


async def test_a_large_mailbox_keeps_nobody_waiting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more than is remembered, too: the rest is found by another look."""
    monkeypatch.setattr(ahead_turns, "MESSAGES_AT_A_TIME", 5)
    world = World(folder, user("ana"), user("ben"))
    world.deliver("ana", *(b"%d\n" % number for number in range(23)))
    world.deliver("ben", b"mail\n")
    order: list[str] = []
    take = world.ahead._turns.next

    def noted() -> tuple[Mailbox, Message] | None:
        if found := take():
            order.append(found[0].account)
        return found

    monkeypatch.setattr(world.ahead._turns, "next", noted)
    async with running(world, Activation(7, EVERYONE, UPPER)):
        await world.told.until(lambda: world.told.progress.done == 24)
        assert len(world.results("ana", UPPER)) == 23
    assert "ben" in order[:7]


async def test_who_was_there_last_is_served_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(folder, user("ana"), user("ben", login_time_s=5), user("cy", login_time_s=9))
    for owner in world.told.owner_list:
        world.deliver(owner.account, b"mail\n")
    order: list[str] = []
    put = world.ahead._turns.put

    def noted(mailbox: Mailbox, messages: Sequence[Message]) -> None:
        order.append(mailbox.account)
        put(mailbox, messages)

    monkeypatch.setattr(world.ahead._turns, "put", noted)
    async with running(world, Activation(7, EVERYONE, UPPER)):
        await world.done(3)
    assert order[:3] == ["cy", "ben", "ana"]


async def test_a_full_cache_is_left_to_those_who_have_it(folder: Path) -> None:
    world = World(folder, user("ana"))
    world.settings = replace(world.settings, transform_cache_mib=0)
    world.deliver("ana", b"mail\n")
    async with running(world, Activation(7, EVERYONE, UPPER)):
        await world.told.until(lambda: world.told.progress.waiting == 1)
        world.settings = Settings()
        # It sleeps twice: until the next look, and until there may be room.
        async with asyncio.timeout(WITHIN_S):
            while world.clock.slept.count(LOOK_S) < 2:
                await asyncio.to_thread(time.sleep, 0)
        world.clock.move(LOOK_S)
        await world.done(1)
    assert world.told.progress == AheadProgress(0, 1, 0)
