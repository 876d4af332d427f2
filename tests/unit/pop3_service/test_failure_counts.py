from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pop3_service.supervisor.defence.failure_counts import FORGET_S, MOST, Counted, FailureCounts
from unit.pop3_service.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def counts(clock: FakeClock) -> FailureCounts:
    return FailureCounts(clock, limit=3)


def test_failures_are_counted_by_key(counts: FailureCounts) -> None:
    assert [counts.add("a"), counts.add("b"), counts.add("a")] == [1, 1, 2]
    assert [counts.count(key) for key in "abc"] == [2, 1, 0]


def test_a_key_is_forgotten_a_quarter_of_an_hour_after_its_last_failure(
    counts: FailureCounts, clock: FakeClock
) -> None:
    counts.add("a")
    clock.move(FORGET_S)
    assert counts.add("a") == 2
    clock.move(FORGET_S + 1)
    assert counts.count("a") == 0
    assert list(counts) == []
    assert counts.add("a") == 1


def test_a_count_ends_where_it_decides_nothing_more(counts: FailureCounts) -> None:
    assert [counts.add("a") for _ in range(MOST + 5)][-6:] == [MOST] * 6
    assert list(counts) == [Counted("a", MOST, 0.0)]


@pytest.mark.attack(21, "one user")
def test_nobody_gets_rid_of_a_count_by_pushing_it_out(counts: FailureCounts) -> None:
    """Whoever comes into a full table begins with what the least of the others have."""
    for _ in range(10):
        counts.add("guesser")
    for number in range(14):
        counts.add(f"other{number}")
    assert len(counts) == 3
    assert counts.count("guesser") == 10
    for number in range(10_000):
        counts.add(f"more{number}")
    assert counts.count("guesser") >= 10
    assert counts.count("never seen") >= 10


def test_in_a_full_table_what_is_forgotten_makes_room(
    counts: FailureCounts, clock: FakeClock
) -> None:
    for key in "abc":
        counts.add(key)
    assert counts.count("d") == 1
    clock.move(FORGET_S + 1)
    assert counts.count("d") == 0
    assert counts.add("d") == 1
    assert len(counts) == 1


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60))
def test_no_key_is_counted_too_low_and_never_are_there_too_many(keys: list[str]) -> None:
    counts, true = FailureCounts(FakeClock(), limit=3), Counter[str]()
    for key in keys:
        counts.add(key)
        true[key] += 1
        assert len(counts) <= 3
        assert all(counts.count(it) >= min(number, MOST) for it, number in true.items())


def test_what_changed_is_given_once_and_in_parts(counts: FailureCounts, clock: FakeClock) -> None:
    for key in ("a", "b", "a"):
        counts.add(key)
    clock.move(3)
    assert counts.take_changed(1) == [Counted("b", 1, 3.0)]
    assert counts.take_changed(9) == [Counted("a", 2, 3.0)]
    assert counts.take_changed(9) == []
    assert counts.forget("a")
    assert not counts.forget("a")
    assert counts.take_changed(9) == [Counted("a", 0, 0.0)]


def test_what_was_stored_goes_on(counts: FailureCounts, clock: FakeClock) -> None:
    counts.restore(Counted("old", 9, FORGET_S + 1))
    counts.restore(Counted("a", 9, FORGET_S - 10))
    counts.restore(Counted("b", 10_000, 5))
    assert list(counts) == [Counted("b", MOST, 5), Counted("a", 9, FORGET_S - 10)]
    assert counts.take_changed(9) == []
    clock.move(11)
    assert counts.add("a") == 1
