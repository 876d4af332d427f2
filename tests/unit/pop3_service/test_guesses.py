"""Guessing from everywhere: a right password from a known place is never late, nor refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import scale
from pop3_service.control.plane import Admitted, Credentials, Refused
from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.rights import RoleName
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.authentication.login_times import LoginTimes
from pop3_service.supervisor.authentication.logins import LoginDesk
from pop3_service.supervisor.defence.throttle import Throttle
from pop3mgmt.reasons import Reason
from unit.pop3_service.clock import FakeClock

HOME = "192.0.2.1:999"
LONGEST_S = Settings().max_login_delay_s


class Accounts:
    """One account."""

    def __init__(self) -> None:
        self.account: Account | None = None

    async def get(self, name: str) -> Account | None:
        return self.account if self.account is not None and name == self.account.name else None


class Desk:
    """What a login comes to, with the account ``ana``."""

    def __init__(self, authenticator: Authenticator, clock: FakeClock) -> None:
        self.clock = clock
        self.tried = 0
        self.told: list[LoginEvent] = []
        self._logins = LoginDesk(
            authenticator,
            Throttle(Settings, clock),
            LoginTimes(clock, lambda: 0),
            lambda _: None,
            {},
            self.told.extend,
            clock,
        )

    async def guess(self, name: str, peer: str) -> float:
        """Try a wrong password, another each time; give the delay of the answer."""
        self.tried += 1
        outcome = await self._logins.login(Credentials(name.encode(), b"%d" % self.tried, peer))
        assert isinstance(outcome, Refused)
        assert outcome.reason is Reason.INVALID_CREDENTIALS
        return outcome.delay_s

    async def right(self, peer: str = HOME) -> float:
        """Give the right password; give how long it waited for its check."""
        before = len(self.clock.slept)
        outcome = await self._logins.login(Credentials(b"ana", b"secret", peer))
        assert isinstance(outcome, Admitted)
        return sum(self.clock.slept[before:])


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock, accounts = FakeClock(), Accounts()
    authenticator = Authenticator(accounts, clock, lambda: 0.0, memory_kib=8, passes=1)  # type: ignore[arg-type]
    stored = await authenticator.hash(b"secret")
    accounts.account = Account(AccountName("ana"), RoleName.USER, stored, clock.now())
    desk = Desk(authenticator, clock)
    assert await desk.right() == 0
    yield desk
    authenticator.close()


async def test_a_wrong_login_is_told_with_the_clocks_time(desk: Desk) -> None:
    await desk.guess("ana", HOME)
    desk.clock.move(60)
    await desk.guess("ana", HOME)
    now_s = desk.clock.now().timestamp()
    assert [(it.account, it.time_s) for it in desk.told] == [("ana", now_s - 60), ("ana", now_s)]


@pytest.mark.attack(21, "one user")
@pytest.mark.attack(22)
async def test_one_user_guessed_at_from_very_many_addresses_can_still_log_in(desk: Desk) -> None:
    for number in range(scale.GUESSES):
        peer = f"{10 + number % 90}.{number // 256}.{number % 256}.1:999"
        assert (await desk.guess("ana", peer)) <= LONGEST_S
    assert await desk.right() == 0
    assert await desk.right("203.0.113.7:1") == LONGEST_S - Settings().min_login_delay_s
    assert await desk.right("203.0.113.7:1") == 0  # it is known there from now on


@pytest.mark.attack(21, "one address")
async def test_one_address_that_guesses_at_very_many_users_is_slowed_down(desk: Desk) -> None:
    """By its network, whatever the names are; its neighbours' right passwords are not."""
    delays = [(await desk.guess(f"user{number}", HOME)) for number in range(scale.GUESSES)]
    assert sorted(delays) == delays
    assert delays[0] < LONGEST_S == delays[-1]
    assert delays.count(LONGEST_S) > 0.9 * len(delays)
    assert await desk.right() == 0
    assert await desk.right("198.51.100.2:1") == 0
    assert (await desk.guess("ana", "198.51.100.1:999")) == delays[0]


@pytest.mark.attack(21, "ipv6")
async def test_an_address_that_is_another_each_time_in_its_network_is_slowed_down(
    desk: Desk,
) -> None:
    delays = [
        (await desk.guess(f"user{number}", f"[2001:db8:1:2:{number:x}::1]:999"))
        for number in range(scale.GUESSES)
    ]
    assert delays[-1] == LONGEST_S
    assert delays.count(LONGEST_S) > 0.9 * len(delays)
    assert (await desk.guess("ana", "[2001:db8:2:2::1]:999")) == delays[0]
