from __future__ import annotations

import pytest

from pop3_service.supervisor.defence.known_places import DAY_S, EACH, KnownPlaces, Place
from unit.pop3_service.clock import FakeClock

HOME, WORK = "192.0.2.0/24", "2001:db8:0:1::/64"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def places(clock: FakeClock) -> KnownPlaces:
    return KnownPlaces(clock, lambda: 60)


def test_an_account_is_known_where_it_logged_in(places: KnownPlaces) -> None:
    places.note("ana", HOME)
    places.note("ana", WORK)
    assert places.knows("ana", HOME)
    assert places.knows("ana", WORK)
    assert not places.knows("ana", "192.0.3.0/24")
    assert not places.knows("eva", HOME)


def test_a_place_is_known_for_so_many_days_after_the_last_login(
    places: KnownPlaces, clock: FakeClock
) -> None:
    places.note("ana", HOME)
    clock.move(59 * DAY_S)
    places.note("ana", HOME)
    clock.move(59 * DAY_S)
    assert places.knows("ana", HOME)
    clock.move(DAY_S)
    assert not places.knows("ana", HOME)


def test_with_no_days_no_place_is_known(clock: FakeClock) -> None:
    places = KnownPlaces(clock, lambda: 0)
    places.note("ana", HOME)
    assert not places.knows("ana", HOME)


def test_an_account_keeps_its_newest_places(places: KnownPlaces, clock: FakeClock) -> None:
    networks = [f"192.0.{number}.0/24" for number in range(EACH + 1)]
    for network in networks:
        places.note("ana", network)
        clock.move(DAY_S)
    assert [places.knows("ana", it) for it in networks] == [False] + [True] * EACH


def test_so_many_accounts_have_places_and_no_more(clock: FakeClock) -> None:
    places = KnownPlaces(clock, lambda: 60, limit=3)
    for number in range(5):
        places.note(f"u{number}", HOME)
    assert len(places) == 3
    assert [places.knows(f"u{number}", HOME) for number in range(5)] == [False] * 2 + [True] * 3


def test_a_place_is_stored_once_a_day(places: KnownPlaces, clock: FakeClock) -> None:
    for _ in range(5):
        places.note("ana", HOME)
    today = places.today()
    assert places.take_changed(9) == [Place("ana", HOME, today)]
    places.note("ana", HOME)
    assert places.take_changed(9) == []
    clock.move(DAY_S)
    places.note("ana", HOME)
    assert places.take_changed(9) == [Place("ana", HOME, today + 1)]


def test_what_was_stored_is_known(places: KnownPlaces, clock: FakeClock) -> None:
    today = places.today()
    many = [Place("ana", f"10.0.{number}.0/24", today - number) for number in range(EACH + 3)]
    places.load([*many, Place("eva", HOME, today - 59), Place("pia", HOME, today - 60)])
    assert places.knows("ana", "10.0.0.0/24")
    assert not places.knows("ana", f"10.0.{EACH}.0/24")
    assert places.knows("eva", HOME)
    assert not places.knows("pia", HOME)
    assert places.take_changed(9) == []


def test_an_account_that_is_gone_is_known_nowhere(places: KnownPlaces) -> None:
    places.note("ana", HOME)
    places.note("eva", HOME)
    places.forget("ana")
    assert not places.knows("ana", HOME)
    assert [it.account for it in places.take_changed(9)] == ["eva"]
