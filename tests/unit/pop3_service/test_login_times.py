"""LOGIN-DELAY: when an account may log in again (RFC 2449 section 6.5)."""

from pop3_service.supervisor.authentication.login_times import LoginTimes
from unit.pop3_service.clock import FakeClock


def test_an_account_may_log_in_again_when_the_delay_is_over_and_not_before() -> None:
    clock = FakeClock()
    times = LoginTimes(clock, lambda: 60)
    assert times.note("ana")
    clock.move(59.9)
    assert not times.note("ana")
    assert times.note("ben")  # each for itself
    clock.move(0.1)  # one that was refused does not begin the time anew
    assert times.note("ana")
    clock.move(59)
    assert not times.note("ana")


def test_a_shorter_delay_holds_at_once() -> None:
    clock, delay = FakeClock(), [60.0]
    times = LoginTimes(clock, lambda: delay[0])
    assert times.note("ana")
    clock.move(10)
    assert not times.note("ana")
    delay[0] = 10
    assert times.note("ana")


def test_what_counts_no_more_is_forgotten_and_never_more_is_kept_than_the_limit() -> None:
    clock = FakeClock()
    times = LoginTimes(clock, lambda: 60, limit=10)
    for number in range(25):
        assert times.note(f"user{number}")
        assert len(times) <= 10
    assert not times.note("user24")
    assert times.note("user14")  # one of those forgotten
    clock.move(60)
    assert times.note("ana")
    assert len(times) == 1
