"""What transforms mail ahead is there while it is wanted, and comes again if it dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.ahead import AheadProgress, Owner
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.domain.preferences import Preferences
from pop3_service.domain.settings import Settings
from pop3_service.domain.subject import EVERYONE
from pop3_service.domain.transforms import NOTHING_ACTIVE, Activation, Transform, TransformTable
from pop3_service.storage.store import Store
from pop3_service.supervisor.transforms.ahead import AheadDesk
from pop3_service.supervisor.workers import BACKOFF_S
from support import database
from unit.pop3_service.clock import FakeClock

UPPER = Transform(1, "upper", 1, "tr a-z A-Z", (("tr", "a-z", "A-Z"),))
ACTIVE = TransformTable((Activation(7, EVERYONE, UPPER),))
AS_IT_IS = TransformTable((Activation(8, EVERYONE, None),))
WITHIN_S = 60


class Life:
    """One life, and what it was told."""

    def __init__(self, settings: Settings, table: TransformTable) -> None:
        self.settings = settings
        self.table = table
        self.is_over = False
        self._dead = asyncio.Event()

    def set_transforms(self, table: TransformTable) -> None:
        self.table = table

    def configure(self, settings: Settings) -> None:
        self.settings = settings

    def die(self) -> None:
        self._dead.set()

    async def ended(self) -> None:
        await self._dead.wait()

    async def stop(self) -> None:
        self.is_over = True


class World:
    def __init__(self, store: Store) -> None:
        self.settings = Settings()
        self.clock = FakeClock()
        self.clock.waits = True
        self.lives: list[Life] = []
        self.errors: list[Exception] = []
        self.desk = AheadDesk(
            store.accounts, lambda: self.settings, self._start, lambda _: None, self.clock
        )

    async def _start(self, desk: AheadDesk, settings: Settings, table: TransformTable) -> Life:
        assert desk is self.desk
        if self.errors:
            raise self.errors.pop()
        self.lives.append(Life(settings, table))
        return self.lives[-1]

    async def until(self, fact: Callable[[], object]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not fact():
                await asyncio.sleep(0)

    def change(self, **values: object) -> None:
        self.settings = replace(self.settings, **values)  # type: ignore[arg-type]
        self.desk.settings_changed()

    async def alive(self, count: int) -> Life:
        await self.until(lambda: len(self.lives) == count)
        return self.lives[-1]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await database.opened(tmp_path)
    yield store
    await store.close()


@pytest.fixture
async def world(store: Store) -> AsyncIterator[World]:
    world = World(store)
    async with world.desk.running():
        yield world
    assert all(life.is_over for life in world.lives)


async def test_it_lives_while_mail_of_somebody_is_transformed(world: World) -> None:
    assert not world.desk.is_wanted
    world.desk.set_transforms(ACTIVE)
    life = await world.alive(1)
    assert life.table is ACTIVE
    world.desk.set_transforms(AS_IT_IS)
    await world.until(lambda: life.is_over)
    world.desk.set_transforms(ACTIVE)
    again = await world.alive(2)
    world.desk.set_transforms(NOTHING_ACTIVE)
    await world.until(lambda: again.is_over)


@pytest.mark.parametrize("setting", [{"transform_ahead": False}, {"transform_cache_mib": 0}])
async def test_it_ends_when_nothing_is_to_be_kept(world: World, setting: dict[str, object]) -> None:
    world.desk.set_transforms(ACTIVE)
    life = await world.alive(1)
    world.change(**setting)
    await world.until(lambda: life.is_over)


async def test_it_hears_of_changes(world: World) -> None:
    world.desk.set_transforms(ACTIVE)
    life = await world.alive(1)
    other = TransformTable((*ACTIVE.activations, *AS_IT_IS.activations))
    world.desk.set_transforms(other)
    assert life.table is other
    world.change(transform_cpu_s=5.0)
    assert life.settings.transform_cpu_s == 5.0
    assert not life.is_over


async def test_it_comes_again_when_it_dies_and_more_slowly_each_time(world: World) -> None:
    world.errors = [ServiceUnavailable("no room") for _ in range(2)]
    world.desk.set_transforms(ACTIVE)
    for failures in (1, 2):
        await world.until(lambda failures=failures: len(world.clock.slept) == failures)
        world.clock.move(BACKOFF_S[failures])
    life = await world.alive(1)
    life.die()
    await world.until(lambda: len(world.clock.slept) == 3)
    assert tuple(world.clock.slept) == BACKOFF_S[1:4]
    world.clock.move(BACKOFF_S[3])
    await world.alive(2)


async def test_it_comes_again_after_a_fault_in_the_program(world: World) -> None:
    world.errors = [ZeroDivisionError()]
    with structlog.testing.capture_logs() as logs:
        world.desk.set_transforms(ACTIVE)
        await world.until(lambda: world.clock.slept)
        world.clock.move(BACKOFF_S[1])
        await world.alive(1)
    assert [isinstance(it["exc_info"], ZeroDivisionError) for it in logs] == [True]


async def test_what_earlier_lives_did_is_not_forgotten(world: World) -> None:
    world.desk.set_transforms(ACTIVE)
    life = await world.alive(1)
    world.desk.report_ahead(AheadProgress(4, 3, 1))
    assert world.desk.progress == AheadProgress(4, 3, 1)
    life.die()
    await world.until(lambda: life.is_over)
    assert world.desk.progress == AheadProgress(0, 3, 1)
    world.clock.move(BACKOFF_S[1])
    await world.alive(2)
    world.desk.report_ahead(AheadProgress(1, 2, 0))
    assert world.desk.progress == AheadProgress(1, 5, 1)


async def test_it_is_told_whose_mail_there_is_page_by_page(world: World, store: Store) -> None:
    for name, transform in (("ana", True), ("ben", False), ("cy", True)):
        await store.accounts.insert(Account(AccountName(name), "user", "", datetime.now(UTC)), 10)
        if not transform:
            await store.preferences.put(name, Preferences(transform=False))
    world.desk.note_logins(
        [
            LoginEvent(5.0, "cy", "192.0.2.1:1", "PASS"),
            LoginEvent(6.0, "ana", "192.0.2.1:1", "PASS", reason="INVALID_CREDENTIALS"),
        ]
    )
    assert await world.desk.owners("") == [
        Owner("ana", "user"),
        Owner("ben", "user", transform=False),
        Owner("cy", "user", login_time_s=5.0),
    ]
    assert [it.account for it in await world.desk.owners("ben")] == ["cy"]
    assert await world.desk.owners("cy") == []
