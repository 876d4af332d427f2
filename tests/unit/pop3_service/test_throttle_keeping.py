"""What the throttle knows, over a restart, in a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import StoreUnavailable
from pop3_service.domain.rights import RoleName
from pop3_service.domain.settings import Settings
from pop3_service.storage.store import Store
from pop3_service.storage.throttle import StoredFailures, StoredPlace
from pop3_service.supervisor.defence.failure_counts import FORGET_S
from pop3_service.supervisor.defence.known_places import DAY_S, EACH
from pop3_service.supervisor.defence.throttle import Throttle
from pop3_service.supervisor.defence.throttle_keeping import EACH_S, LEAST_FAILURES, ThrottleKeeping
from support import database
from unit.pop3_service.clock import FakeClock

HOME = "192.0.2.1:9"
DAYS = Settings().known_place_days


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    opened = await database.opened(tmp_path)
    for name in ("ana", "eva"):
        account = Account(AccountName(name), RoleName.USER, "hash", clock.now())
        await opened.accounts.insert(account, 100)
    yield opened
    await opened.close()


def keeping(store: Store, clock: FakeClock) -> tuple[Throttle, ThrottleKeeping]:
    """A throttle as it is after a start."""
    throttle = Throttle(Settings, clock)
    return throttle, ThrottleKeeping(throttle, store.throttle, lambda: DAYS, clock)


def fail(throttle: Throttle, peer: str, name: str, times: int) -> None:
    for _ in range(times):
        throttle.wrong(throttle.attempt(peer, name.encode()))


async def test_failures_and_places_outlive_a_restart(store: Store, clock: FakeClock) -> None:
    throttle, kept = keeping(store, clock)
    fail(throttle, HOME, "ana", 7)
    fail(throttle, "[2001:db8::1]:9", "eva", 40)
    throttle.right(throttle.attempt(HOME, b"ana"), "ana")
    assert await kept.store()
    assert not await kept.store()
    clock.move(60)
    after, kept = keeping(store, clock)
    await kept.load()
    assert after.listing() == throttle.listing()
    assert after.state("192.0.2.99", "ana") == throttle.state("192.0.2.99", "ana")
    assert after.state("192.0.2.99", "ana").known_place


async def test_what_counts_no_more_is_removed(store: Store, clock: FakeClock) -> None:
    throttle, kept = keeping(store, clock)
    fail(throttle, HOME, "ana", 7)
    throttle.right(throttle.attempt(HOME, b"ana"), "ana")
    await kept.store()
    clock.move(FORGET_S + 1)
    after, kept = keeping(store, clock)
    await kept.load()
    assert after.listing() == []
    assert await store.throttle.load_failures(0) == []
    assert after.state(HOME, "ana").known_place
    clock.move(DAYS * DAY_S)
    after, kept = keeping(store, clock)
    await kept.load()
    assert not after.state(HOME, "ana").known_place
    assert await store.throttle.load_places(0, 9) == []


async def test_what_was_typed_as_a_name_once_is_not_stored(store: Store, clock: FakeClock) -> None:
    throttle, kept = keeping(store, clock)
    fail(throttle, HOME, "my-password", LEAST_FAILURES - 1)
    await kept.store()
    assert await store.throttle.load_failures(0) == []
    fail(throttle, HOME, "my-password", 1)
    await kept.store()
    assert {it.kind for it in await store.throttle.load_failures(0)} == {"network", "account"}


async def test_what_was_cleared_stays_cleared(store: Store, clock: FakeClock) -> None:
    throttle, kept = keeping(store, clock)
    fail(throttle, HOME, "ana", 7)
    await kept.store()
    throttle.clear(address="192.0.2.1")
    throttle.clear(account="ana")
    await kept.store()
    assert await store.throttle.load_failures(0) == []


async def test_an_account_has_so_many_places_in_the_database_too(
    store: Store, clock: FakeClock
) -> None:
    throttle, kept = keeping(store, clock)
    for number in range(EACH + 3):
        throttle.right(throttle.attempt(f"10.0.{number}.1:9", b"ana"), "ana")
        await kept.store()
        clock.move(DAY_S)
    places = await store.throttle.load_places(0, 99)
    assert [it.network for it in places] == [
        f"10.0.{number}.0/24" for number in reversed(range(3, EACH + 3))
    ]


async def test_a_deleted_account_takes_its_places_along(store: Store, clock: FakeClock) -> None:
    throttle, kept = keeping(store, clock)
    throttle.right(throttle.attempt(HOME, b"eva"), "eva")
    await kept.store()
    await store.accounts.delete("eva")
    assert await store.throttle.load_places(0, 9) == []
    throttle.places.forget("eva")
    throttle.right(throttle.attempt(HOME, b"eva"), "eva")  # a login that was under way
    throttle.right(throttle.attempt(HOME, b"ana"), "ana")
    assert await kept.store()
    assert [it.account for it in await store.throttle.load_places(0, 9)] == ["ana"]


async def test_a_clock_that_was_put_back_makes_nothing_older_than_new(
    store: Store, clock: FakeClock
) -> None:
    later_s = clock.now().timestamp() + 10_000
    await store.throttle.save([StoredFailures("account", "ana", 5, later_s)], [], EACH)
    throttle, kept = keeping(store, clock)
    await kept.load()
    [throttled] = throttle.listing()
    assert (throttled.account, throttled.age_s) == ("ana", 0)


async def test_it_is_stored_each_few_seconds_and_at_the_end(store: Store, clock: FakeClock) -> None:
    clock.waits = True
    throttle, kept = keeping(store, clock)
    async with kept.running():
        while not clock.slept:
            await asyncio.sleep(0)
        fail(throttle, HOME, "ana", 5)
        clock.move(EACH_S)
        while len(clock.slept) < 2:  # it sleeps again: the batch is stored
            await asyncio.sleep(0)
        assert {it.failures for it in await store.throttle.load_failures(0)} == {5}
        fail(throttle, HOME, "ana", 1)
    assert {it.failures for it in await store.throttle.load_failures(0)} == {6}


async def test_a_database_that_fails_ends_nothing(
    store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle, kept = keeping(store, clock)

    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(store.throttle, "save", away)
        fail(throttle, HOME, "ana", 5)
        assert not await kept.store()
    fail(throttle, HOME, "ana", 1)
    assert await kept.store()
    assert {it.failures for it in await store.throttle.load_failures(0)} == {6}


async def test_a_place_of_nobody_is_not_stored(store: Store) -> None:
    await store.throttle.save([], [StoredPlace("nobody", "192.0.2.0/24", 1)], EACH)
    assert await store.throttle.load_places(0, 9) == []
