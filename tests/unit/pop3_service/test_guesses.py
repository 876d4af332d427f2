"""Guessing from everywhere: bounded memory, and a right password is never late."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import scale
from pop3_service.domain.account import Account, AccountName, Role
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.authenticator import Authenticator
from pop3_service.supervisor.throttle import Throttle
from unit.pop3_service.clock import FakeClock

LONGEST_S = Settings().max_login_delay_s


class Accounts:
    """One account."""

    def __init__(self) -> None:
        self.account: Account | None = None

    async def get(self, name: str) -> Account | None:
        return self.account if self.account is not None and name == self.account.name else None


class Desk:
    """What a login comes to, with the account ``ana``."""

    def __init__(self, authenticator: Authenticator, throttle: Throttle) -> None:
        self._authenticator = authenticator
        self._throttle = throttle

    async def guess(self, name: str, peer: str) -> float:
        """Try a wrong password; give the delay of the answer."""
        assert await self._authenticator.login(name.encode(), b"wrong") is None
        return self._throttle.failed(peer)

    async def right(self) -> bool:
        """Whether the right password is right. Nothing delays it: no throttle is asked."""
        return await self._authenticator.login(b"ana", b"secret") is not None


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock, accounts = FakeClock(), Accounts()
    authenticator = Authenticator(accounts, clock, lambda: 600.0, memory_kib=8, passes=1)  # type: ignore[arg-type]
    stored = await authenticator.hash(b"secret")
    accounts.account = Account(AccountName("ana"), Role.USER, stored, clock.now())
    yield Desk(authenticator, Throttle(Settings, clock))
    authenticator.close()


@pytest.mark.attack(21, "one user")
@pytest.mark.attack(22)
async def test_one_user_guessed_at_from_very_many_addresses_can_still_log_in(desk: Desk) -> None:
    for number in range(scale.GUESSES):
        peer = f"{10 + number % 90}.{number // 256}.{number % 256}.1:999"
        assert (await desk.guess("ana", peer)) <= LONGEST_S
    assert await desk.right()


@pytest.mark.attack(21, "one address")
async def test_one_address_that_guesses_at_very_many_users_is_slowed_down(desk: Desk) -> None:
    """By its network, whatever the names are; its neighbours' right passwords are not."""
    delays = [
        (await desk.guess(f"user{number}", "192.0.2.1:999")) for number in range(scale.GUESSES)
    ]
    assert sorted(delays) == delays
    assert delays[0] < LONGEST_S == delays[-1]
    assert delays.count(LONGEST_S) > 0.9 * len(delays)
    assert await desk.right()
    assert (await desk.guess("ana", "198.51.100.1:999")) == delays[0]


@pytest.mark.attack(21, "ipv6")
async def test_an_address_that_is_another_each_time_in_its_network_is_slowed_down(
    desk: Desk,
) -> None:
    delays = [
        (await desk.guess("ana", f"[2001:db8:1:2:{number:x}::1]:999"))
        for number in range(scale.GUESSES)
    ]
    assert delays[-1] == LONGEST_S
    assert delays.count(LONGEST_S) > 0.9 * len(delays)
    assert (await desk.guess("ana", "[2001:db8:1:3::1]:999")) == delays[0]
