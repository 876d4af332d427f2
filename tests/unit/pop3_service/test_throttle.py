from __future__ import annotations

import asyncio

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pop3_service.domain.errors import LoginThrottled
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.defence.failure_counts import FORGET_S
from pop3_service.supervisor.defence.gateway_address import SharedAddresses
from pop3_service.supervisor.defence.origin import network_of, origin_of
from pop3_service.supervisor.defence.throttle import (
    FREE_FAILURES,
    FREE_WIDER,
    MAX_NAMES,
    MAX_NETWORKS,
    MAX_WAITING_EACH,
    Throttle,
    Throttled,
)
from pop3mgmt.reasons import Reason
from unit.pop3_service.clock import FakeClock

HOME, ELSEWHERE = "192.0.2.1:999", "198.51.100.1:999"
GATEWAY = "172.18.0.1:40000"
LONGEST_S = Settings().max_login_delay_s
LONGEST_CHECK_S = LONGEST_S - Settings().min_login_delay_s


class Guesses:
    """A throttle, and logins that it is told of."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.clock = FakeClock()
        self.throttle = Throttle(
            lambda: self.settings, self.clock, SharedAddresses(named=["172.18.0.1"])
        )
        self._numbers = iter(range(10**9))

    def wrong(self, peer: str, name: str = "", secret: bytes = b"") -> float:
        """Tell of a wrong login, by default at an account of its own; give the answer's delay."""
        name = name or f"nobody{next(self._numbers)}"
        attempt = self.throttle.attempt(peer, name.encode())
        return self.throttle.wrong(attempt, secret)[1]

    def right(self, peer: str, name: str) -> None:
        self.throttle.right(self.throttle.attempt(peer, name.encode()), name)

    async def check(self, peer: str, name: str) -> float:
        """Take a turn; give how long it waited for it by the clock."""
        before = len(self.clock.slept)
        async with self.throttle.turn(self.throttle.attempt(peer, name.encode())):
            return sum(self.clock.slept[before:])


@pytest.fixture
def guesses() -> Guesses:
    return Guesses()


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.77:51000", "192.0.2.0/24"),
        ("192.0.2.77", "192.0.2.0/24"),
        ("[::ffff:192.0.2.77]:51000", "192.0.2.0/24"),
        ("[2001:db8:1:2:3:4:5:6]:51000", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[fe80::1%eth0]:51000", "fe80::/64"),
        ("[::1]:1", "::/64"),
        ("::1", "::/64"),
        ("unix:", "unix:"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_an_address_belongs_to_a_network(peer: str, network: str) -> None:
    assert network_of(peer) == network


@given(st.text(max_size=50))
def test_any_text_has_a_network(text: str) -> None:
    assert isinstance(network_of(text), str)


@pytest.mark.attack(58)
def test_an_address_that_is_mapped_is_the_one_it_stands_for() -> None:
    shared = SharedAddresses(named=["192.0.2.0/24"])
    assert origin_of("[::ffff:192.0.2.7]:1", shared) == origin_of("192.0.2.7:1", shared)
    assert origin_of("[::ffff:192.0.2.7]:1", shared).shared


# --- the answer to a wrong login --------------------


def test_the_delay_doubles_up_to_its_longest(guesses: Guesses) -> None:
    assert [guesses.wrong(HOME) for _ in range(6)] == [2, 4, 8, 15, 15, 15]


def test_a_million_wrong_logins_are_delayed_no_longer(guesses: Guesses) -> None:
    for _ in range(5000):
        delay_s = guesses.wrong(HOME)
    assert delay_s == LONGEST_S


@pytest.mark.attack(21, "ipv6")
def test_neighbours_share_a_delay_and_others_do_not(guesses: Guesses) -> None:
    guesses.wrong("192.0.2.1:1")
    assert guesses.wrong("192.0.2.200:9") == 4
    assert guesses.wrong("[::ffff:192.0.2.3]:9") == 8
    assert guesses.wrong("192.0.3.1:1") == 2
    guesses.wrong("[2001:db8::1]:1")
    assert guesses.wrong("[2001:db8::ffff:ffff:ffff:ffff]:1") == 4
    assert guesses.wrong("[2001:db8:0:1::1]:1") == 2


@pytest.mark.attack(21, "ipv6")
def test_who_is_in_another_64_each_time_is_counted_by_the_48(guesses: Guesses) -> None:
    delays = [guesses.wrong(f"[2001:db8:0:{number:x}::1]:9") for number in range(FREE_WIDER + 6)]
    assert delays[:FREE_WIDER] == [2] * FREE_WIDER
    assert delays[FREE_WIDER:] == [2, 4, 8, 15, 15, 15]
    assert guesses.wrong("[2001:db8:1::1]:9") == 2


@pytest.mark.attack(21, "one user")
def test_an_account_that_is_guessed_at_from_everywhere_is_counted_by_its_name(
    guesses: Guesses,
) -> None:
    delays = [guesses.wrong(f"10.0.{number}.1:9", "ana") for number in range(6)]
    assert delays == [2, 4, 8, 15, 15, 15]
    assert guesses.wrong("10.1.0.1:9", "eva") == 2


@pytest.mark.attack(17)
def test_a_name_that_no_account_can_have_is_counted_by_its_network_alone(guesses: Guesses) -> None:
    assert [guesses.wrong(f"10.0.{number}.1:9", "../x") for number in range(3)] == [2, 2, 2]
    assert guesses.wrong("10.0.0.1:9", "../x") == 4


def test_spellings_of_a_name_are_one(guesses: Guesses) -> None:
    guesses.wrong("10.0.0.1:9", "se\u00f1or")
    assert guesses.wrong("10.0.1.1:9", "sen\u0303or") == 4


def test_a_network_is_forgotten_after_a_quarter_of_an_hour(guesses: Guesses) -> None:
    guesses.wrong(HOME)
    guesses.clock.move(FORGET_S)
    assert guesses.wrong(HOME) == 4
    guesses.clock.move(FORGET_S + 1)
    assert guesses.wrong(HOME) == 2


def test_the_delays_are_the_settings_in_force(guesses: Guesses) -> None:
    guesses.wrong(HOME)
    guesses.settings = Settings().changed({"min_login_delay_s": 0, "max_login_delay_s": 0})
    assert guesses.wrong(HOME) == 0


def test_the_time_that_a_check_took_is_part_of_the_delay(guesses: Guesses) -> None:
    """So the answer comes at one time, whatever hash there was to check, if any."""
    attempt = guesses.throttle.attempt(HOME, b"ana")
    guesses.clock.move(0.5)
    assert guesses.throttle.wrong(attempt) == (Reason.INVALID_CREDENTIALS, 1.5)
    guesses.clock.move(10)
    assert guesses.throttle.wrong(attempt) == (Reason.INVALID_CREDENTIALS, 0)


def test_the_same_wrong_password_again_and_again_is_one_failure(guesses: Guesses) -> None:
    delays = [guesses.wrong(HOME, "ana", b"old") for _ in range(50)]
    assert delays == [2] * 50
    assert guesses.wrong(HOME, "ana", b"another") == 4
    assert guesses.wrong(HOME, "ana", b"old") == 4
    assert guesses.wrong(HOME, "eva", b"old") == 8
    assert guesses.wrong(ELSEWHERE, "ana", b"old") == 8  # its third failure, from another network


def test_it_is_one_failure_after_the_count_is_forgotten(guesses: Guesses) -> None:
    guesses.wrong(HOME, "ana", b"old")
    guesses.clock.move(FORGET_S + 1)
    assert [guesses.wrong(HOME, "ana", b"old") for _ in range(3)] == [2, 2, 2]


# --- bounds --------------------


@pytest.mark.attack(21, "one user")
def test_so_many_are_counted_and_who_guesses_most_is_not_pushed_out(guesses: Guesses) -> None:
    for _ in range(5):
        guesses.wrong("10.0.0.1:1", "ana")
    for number in range(MAX_NETWORKS + 1000):
        guesses.wrong(f"[2001:db8:{number:x}:1::1]:1", f"u{number}")
    throttle = guesses.throttle
    sizes = len(throttle.networks), len(throttle.wider), len(throttle.accounts)
    assert sizes == (MAX_NETWORKS, MAX_NETWORKS, MAX_NAMES)
    assert guesses.wrong("10.0.0.9:1", "eva") == LONGEST_S
    assert guesses.wrong("10.1.0.1:1", "ana") == LONGEST_S


# --- when a password is checked --------------------


async def test_nobody_waits_for_a_check_until_there_were_some_failures(guesses: Guesses) -> None:
    for _ in range(FREE_FAILURES):
        assert await guesses.check(HOME, "ana") == 0
        guesses.wrong(HOME, "ana")
    waits = []
    for _ in range(6):
        guesses.wrong(HOME, "ana")
        waits.append(await guesses.check(HOME, "ana"))
    assert waits == [2, 4, 8, 13, 13, 13]


async def test_at_the_end_nobody_waits_for_a_check(guesses: Guesses) -> None:
    for _ in range(FREE_FAILURES + 5):
        guesses.wrong(HOME, "ana")
    guesses.clock.waits = True
    check = asyncio.create_task(guesses.check(HOME, "ana"))
    while not guesses.clock.slept:
        await asyncio.sleep(0)
    assert not check.done()
    guesses.throttle.delays.end()
    await asyncio.wait_for(check, 10)


async def test_the_longest_delay_has_room_for_the_check_itself(guesses: Guesses) -> None:
    """Whatever the settings: the answer to a wrong password never tells how long it was checked."""
    for _ in range(50):
        guesses.wrong(HOME)
    for least, most, check in ((2, 15, 13), (30, 30, 15), (0, 10, 10), (0, 0, 0), (5, 8, 4)):
        guesses.settings = Settings().changed(
            {"min_login_delay_s": least, "max_login_delay_s": most}
        )
        assert guesses.throttle.state(HOME, "ana").check_delay_s == (check if least else 0)


@pytest.mark.attack(22)
async def test_from_a_known_place_a_check_never_waits_and_is_never_refused(
    guesses: Guesses,
) -> None:
    guesses.right(HOME, "ana")
    for number in range(100):
        guesses.wrong(HOME)
        guesses.wrong(f"10.0.{number}.1:9", "ana")
    guesses.clock.waits = True
    waiting = [
        asyncio.create_task(guesses.check(HOME, f"u{number}")) for number in range(MAX_WAITING_EACH)
    ]
    while len(guesses.clock.slept) < MAX_WAITING_EACH:
        await asyncio.sleep(0)
    with pytest.raises(LoginThrottled):
        await guesses.check(HOME, "one more")
    assert await guesses.check("192.0.2.77:1", "ana") == 0
    guesses.clock.move(LONGEST_S)
    await asyncio.gather(*waiting)


@pytest.mark.attack(22)
async def test_from_an_unknown_place_a_check_waits_for_the_longest_delay_at_most(
    guesses: Guesses,
) -> None:
    """However many guess at the account elsewhere, nobody is refused there."""
    for number in range(1000):
        guesses.wrong(f"10.{number // 256}.{number % 256}.1:9", "ana")
    assert await guesses.check(ELSEWHERE, "ana") == LONGEST_CHECK_S
    assert await guesses.check(ELSEWHERE, "eva") == 0


async def test_a_place_is_known_by_its_network_and_for_that_account_alone(
    guesses: Guesses,
) -> None:
    guesses.right(HOME, "ana")
    for _ in range(50):
        guesses.wrong("192.0.2.250:9", "eva")
    assert await guesses.check("[::ffff:192.0.2.99]:1", "ana") == 0
    assert await guesses.check("192.0.2.99:1", "eva") == LONGEST_CHECK_S


@pytest.mark.attack(17)
async def test_a_wrong_password_is_answered_at_one_time_from_a_known_place_or_not(
    guesses: Guesses,
) -> None:
    guesses.right(HOME, "ana")
    for _ in range(FREE_FAILURES + 2):
        guesses.wrong(HOME)
    answered = []
    for name in ("ana", "eva"):
        attempt = guesses.throttle.attempt(HOME, name.encode())
        slept = len(guesses.clock.slept)
        async with guesses.throttle.turn(attempt):
            pass
        guesses.clock.move(sum(guesses.clock.slept[slept:]))
        answered.append(
            guesses.clock.monotonic() - attempt.asked_s + guesses.throttle.wrong(attempt)[1]
        )
    assert answered == [LONGEST_S] * 2


@pytest.mark.attack(17)
async def test_a_crowded_network_has_one_answer_for_accounts_known_there_or_not(
    guesses: Guesses,
) -> None:
    guesses.right(HOME, "ana")
    for _ in range(50):
        guesses.wrong(HOME)
    guesses.clock.waits = True
    waiting = [
        asyncio.create_task(guesses.check(HOME, "eva")) for number in range(MAX_WAITING_EACH)
    ]
    while len(guesses.clock.slept) < MAX_WAITING_EACH:
        await asyncio.sleep(0)
    known = guesses.throttle.attempt(HOME, b"ana")
    unknown = guesses.throttle.attempt(HOME, b"nobody")
    async with guesses.throttle.turn(known):
        pass
    with pytest.raises(LoginThrottled):
        await guesses.throttle.wait(unknown)
    assert guesses.throttle.wrong(known, b"x") == (
        Reason.LOGIN_THROTTLED,
        guesses.throttle.delay_s(unknown),
    )
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (await asyncio.wait_for(guesses.throttle.wait(known), 5)) is None


@pytest.mark.attack(21, "one address")
async def test_a_crowd_that_comes_at_once_is_looked_at_with_what_the_first_of_it_did(
    guesses: Guesses,
) -> None:
    """A thousand connections at once get no thousand guesses."""
    checked = 0
    refused = 0

    async def guess(number: int) -> None:
        nonlocal checked, refused
        attempt = guesses.throttle.attempt(HOME, b"u%d" % number)
        try:
            async with guesses.throttle.turn(attempt):
                checked += 1
                await asyncio.sleep(0)
                guesses.throttle.wrong(attempt, b"a guess")
        except LoginThrottled:
            refused += 1

    guesses.clock.waits = True
    crowd = [asyncio.create_task(guess(number)) for number in range(1000)]
    while refused + checked + MAX_WAITING_EACH < len(crowd):
        await asyncio.sleep(0)
    assert FREE_FAILURES < checked < FREE_FAILURES + 20
    guesses.clock.move(LONGEST_S)
    await asyncio.gather(*crowd)
    assert checked + refused == 1000
    assert checked < FREE_FAILURES + 20 + MAX_WAITING_EACH


# --- addresses that stand for many clients --------------------


@pytest.mark.attack(22)
async def test_behind_an_address_that_many_share_only_the_account_is_counted(
    guesses: Guesses,
) -> None:
    assert [guesses.wrong(GATEWAY) for _ in range(100)] == [2] * 100
    assert await guesses.check(GATEWAY, "ana") == 0
    assert [guesses.wrong(GATEWAY, "ana") for _ in range(4)] == [2, 4, 8, 15]
    assert len(guesses.throttle.networks) == 0
    assert guesses.wrong("172.18.0.9:1") == 2  # a neighbour is a client like any other


async def test_nobody_is_known_behind_an_address_that_many_share(guesses: Guesses) -> None:
    guesses.right(GATEWAY, "ana")
    assert not guesses.throttle.state(GATEWAY, "ana").known_place
    for _ in range(50):
        guesses.wrong(GATEWAY, "ana")
    tasks = [asyncio.create_task(guesses.check(GATEWAY, "ana")) for _ in range(100)]
    assert await asyncio.gather(*tasks) is not None  # all wait, and none is refused


def test_the_log_tells_once_that_clients_are_hidden() -> None:
    shared = SharedAddresses([origin_address("172.18.0.1")], ["10.0.0.1"])
    throttle = Throttle(Settings, FakeClock(), shared)
    with structlog.testing.capture_logs() as lines:
        throttle.attempt("10.0.0.1:9", b"ana")
        assert lines == []
        for _ in range(3):
            throttle.attempt("[::ffff:172.18.0.1]:9", b"ana")
    [line] = lines
    assert line["log_level"] == "warning"
    assert line["gateway"] == "172.18.0.1"
    assert "client addresses are hidden" in line["event"]


def origin_address(text: str):
    from ipaddress import ip_address

    return ip_address(text)


# --- what people see --------------------


def test_the_state_tells_what_a_login_would_meet(guesses: Guesses) -> None:
    guesses.right(HOME, "ana")
    state = guesses.throttle.state("192.0.2.7", "ana")
    assert (state.network, state.known_place, state.shared) == ("192.0.2.0/24", True, False)
    assert (state.check_delay_s, state.answer_delay_s) == (0, 2)
    for _ in range(12):
        guesses.wrong(ELSEWHERE, "ana")
    state = guesses.throttle.state("192.0.2.7", "ana")
    assert (state.network_failures, state.account_failures) == (0, 12)
    assert (state.check_delay_s, state.answer_delay_s) == (0, LONGEST_S)
    state = guesses.throttle.state("198.51.100.200", "eva")
    assert (state.network_failures, state.account_failures, state.known_place) == (12, 0, False)
    assert (state.check_delay_s, state.answer_delay_s) == (4, LONGEST_S)
    assert guesses.throttle.state("172.18.0.1").shared


def test_the_listing_has_the_most_failures_first(guesses: Guesses) -> None:
    for _ in range(3):
        guesses.wrong(HOME, "ana")
    guesses.wrong(ELSEWHERE, "eva")
    guesses.clock.move(5)
    assert guesses.throttle.listing() == [
        Throttled("192.0.2.0/24", "", 3, 5, 8),
        Throttled("", "ana", 3, 5, 8),
        Throttled("198.51.100.0/24", "", 1, 5, 2),
        Throttled("", "eva", 1, 5, 2),
    ]
    for number in range(FREE_WIDER + 1):
        guesses.wrong(f"[2001:db8:0:{number:x}::1]:9")
    assert guesses.throttle.listing()[0] == Throttled("2001:db8::/48", "", FREE_WIDER + 1, 0, 2)


async def test_what_is_cleared_begins_anew(guesses: Guesses) -> None:
    for _ in range(20):
        guesses.wrong(HOME, "ana")
        guesses.wrong("[2001:db8::1]:1", "eva")
    assert guesses.throttle.clear(address="192.0.2.200") == 1
    assert guesses.wrong(HOME) == 2
    assert guesses.throttle.clear(address="192.0.2.0/24") == 1
    assert guesses.throttle.clear(address="2001:db8::/64") == 2
    assert guesses.throttle.clear(address="2001:db8::/64") == 0
    assert guesses.throttle.clear(account="ana") == 1
    assert await guesses.check(HOME, "ana") == 0
    assert guesses.wrong("[2001:db8::1]:1", "eva") == LONGEST_S  # by the account still
