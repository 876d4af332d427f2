"""The throttle: wrong logins are answered with growing delay, by network and by account.

Nobody is locked out. A right password from a known place (a network that the account logged in from
lately) is checked at once, whoever guesses. From elsewhere, while many guess at the account or from
the network, the check itself waits, never longer than the longest delay: so it helps nobody to hang
up before the answer to a wrong password and to ask again.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog

from lineproto.clock import Clock
from pop3_service.control.delays import Delays
from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidArgument, LoginThrottled
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.defence.failure_counts import FailureCounts
from pop3_service.supervisor.defence.gateway_address import SharedAddresses
from pop3_service.supervisor.defence.known_places import KnownPlaces
from pop3_service.supervisor.defence.origin import Origin, origin_of
from pop3_service.supervisor.defence.turns import Rank, Turns
from pop3_service.supervisor.defence.wrong_passwords import WrongPasswords
from pop3mgmt.reasons import Reason

MAX_NETWORKS = 10_000
"""Networks that are counted, and as many /48 of IPv6; one more takes the place of the least."""
MAX_NAMES = 10_000
"""Accounts' names that are counted, whether there is such an account or not."""
FREE_FAILURES = 10
"""Failures of a network or an account before a check from an unknown place waits."""
FREE_WIDER = 30
"""Failures of a /48 that count for nothing: it may be many households."""
MAX_WAITING_EACH = 20
"""Checks from one network that may wait for their delay."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login that is to be checked; ``account`` is None if no account can have that name.

    ``known`` says that the account has logged in from there lately.
    """

    origin: Origin
    account: AccountName | None
    asked_s: float
    known: bool


@dataclass(frozen=True, slots=True)
class ThrottleState:
    """What the throttle would do with a login now.

    ``check_delay_s`` goes before the check, ``answer_delay_s`` before the answer to a wrong one,
    counted from the same moment. A ``shared`` address stands for many clients.
    """

    network: str
    network_failures: int
    account_failures: int
    known_place: bool
    shared: bool
    check_delay_s: float
    answer_delay_s: float


@dataclass(frozen=True, slots=True)
class Throttled:
    """A network or an account that failed lately; exactly one of the two is given."""

    network: str
    account: str
    failures: int
    age_s: float
    delay_s: float


class Throttle:
    """Counts wrong logins, and says who waits and for how long."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        clock: Clock,
        shared: SharedAddresses | None = None,
        *,
        at_a_time: int = (os.cpu_count() or 1) + 1,
    ) -> None:
        """``at_a_time`` checks go on at once: one more than there are cores to hash on."""
        self.networks = FailureCounts(clock, MAX_NETWORKS)
        self.wider = FailureCounts(clock, MAX_NETWORKS)
        self.accounts = FailureCounts(clock, MAX_NAMES)
        self.places = KnownPlaces(clock, lambda: settings().known_place_days)
        self._shared = shared or SharedAddresses()
        self._wrong = WrongPasswords()
        self._turns = Turns(at_a_time)
        self._waiting: Counter[str] = Counter()
        self.delays = Delays(clock)
        self._settings = settings
        self._clock = clock
        self._warned = False

    def attempt(self, peer: str, name: bytes) -> Attempt:
        """Begin a login: where it comes from, and whose it would be."""
        origin, account = origin_of(peer, self._shared), _account(name)
        if origin.shared and not self._warned and self._shared.is_gateway(origin.host):
            self._warn(origin)
        return Attempt(origin, account, self._clock.monotonic(), self._knows(origin, account))

    @contextlib.asynccontextmanager
    async def turn(self, attempt: Attempt) -> AsyncIterator[None]:
        """Wait until an attempt may be checked; what the block does is its check.

        Raises:
            LoginThrottled: too many from that network wait already.
        """
        # A crowd that comes at once is looked at one by one, with what the first of it did.
        waited = await self._wait(attempt)
        while True:
            async with self._turns.turn(self._turn_key(attempt), self._rank(attempt)):
                if waited or not self._check_delay(attempt):
                    yield
                    return
            waited = await self._wait(attempt)

    async def wait(self, attempt: Attempt) -> None:
        """Wait until an attempt may be checked that costs no hash.

        Raises:
            LoginThrottled: too many from that network wait already.
        """
        await self._wait(attempt)

    def right(self, attempt: Attempt, account: str) -> None:
        """Note that an account has logged in: it is known there from now on."""
        if not attempt.origin.shared:
            self.places.note(account, attempt.origin.network)

    def wrong(self, attempt: Attempt, secret: bytes = b"") -> tuple[Reason, float]:
        """Count a wrong login; give what to answer, and after how many seconds from now.

        They count from the attempt's beginning: then the answer does not tell how long the check
        took, and so not what kind of hash there is, if any. ``secret`` is the password: one that
        was wrong already, as a mail client sends it again and again, is not counted again.
        """
        origin, account = attempt.origin, attempt.account
        if not (secret and self._wrong.seen(account or "", origin.network, secret)):
            if not origin.shared:
                self.networks.add(origin.network)
                if origin.wider:
                    self.wider.add(origin.wider)
            if account is not None:
                self.accounts.add(account)
        if attempt.known and self._is_crowded(attempt):
            return Reason.LOGIN_THROTTLED, self.delay_s(attempt)  # as one from an unknown place
        return Reason.INVALID_CREDENTIALS, self.delay_s(attempt)

    def delay_s(self, attempt: Attempt) -> float:
        """Give the seconds until a refusal of an attempt is to be answered."""
        level = max(*self._failures(attempt.origin, attempt.account), 1)
        return max(self._delay(level) - (self._clock.monotonic() - attempt.asked_s), 0.0)

    def state(self, address: str, account: str = "") -> ThrottleState:
        """Say what a login from an address would meet now."""
        attempt = Attempt(
            origin := origin_of(address, self._shared),
            name := _account(account.encode()) if account else None,
            self._clock.monotonic(),
            self._knows(origin, name),
        )
        network, wider, by_name = self._failures(origin, name)
        return ThrottleState(
            origin.network,
            max(network, wider),
            by_name,
            attempt.known,
            origin.shared,
            self._check_delay(attempt),
            self._delay(max(network, wider, by_name) + 1),
        )

    def listing(self) -> list[Throttled]:
        """Give the networks and accounts that failed lately, the most failures first."""
        networks = [
            Throttled(it.key, "", it.failures, it.age_s, self._delay(it.failures))
            for it in self.networks
        ]
        networks += [
            Throttled(it.key, "", it.failures, it.age_s, self._delay(it.failures - FREE_WIDER))
            for it in self.wider
            if it.failures > FREE_WIDER
        ]
        accounts = [
            Throttled("", it.key, it.failures, it.age_s, self._delay(it.failures))
            for it in self.accounts
        ]
        return sorted(networks + accounts, key=lambda it: -it.failures)

    def clear(self, *, address: str = "", account: str = "") -> int:
        """Forget the failures of an address's networks, or of an account; give how many it had.

        An address may be given as one of the networks that ``listing`` gives.
        """
        counts = [(self.accounts, account)] if account else []
        if address:
            origin = origin_of(address.partition("/")[0], self._shared)
            counts += [(self.networks, origin.network), (self.wider, origin.wider)]
        return sum(table.forget(key) for table, key in counts)

    def _warn(self, origin: Origin) -> None:
        self._warned = True
        log.warning(
            "client addresses are hidden: they come from the container's gateway, which is not"
            " throttled; publish the ports without the userland proxy, or use the PROXY ports",
            gateway=origin.host,
        )

    def _knows(self, origin: Origin, account: AccountName | None) -> bool:
        return (
            account is not None and not origin.shared and self.places.knows(account, origin.network)
        )

    def _turn_key(self, attempt: Attempt) -> str:
        origin, account = attempt.origin, attempt.account
        return f"of {account}" if origin.shared else origin.network

    def _rank(self, attempt: Attempt) -> Rank:
        if attempt.known:
            return Rank.KNOWN
        network, wider, by_name = self._failures(attempt.origin, attempt.account)
        clean = not network and not wider and by_name <= FREE_FAILURES
        return Rank.CLEAN if clean else Rank.SUSPECT

    async def _wait(self, attempt: Attempt) -> bool:
        """Wait for the delay of a check; give whether there was one."""
        delay_s = self._check_delay(attempt)
        if not delay_s:
            return False
        if self._is_crowded(attempt):
            raise LoginThrottled
        network = attempt.origin.network
        self._waiting[network] += 1
        try:
            await self.delays.wait(delay_s - (self._clock.monotonic() - attempt.asked_s))
        finally:
            self._waiting[network] -= 1
            if not self._waiting[network]:
                del self._waiting[network]
        return True

    def _is_crowded(self, attempt: Attempt) -> bool:
        """Whether so many from that network wait already that a further one is refused."""
        origin = attempt.origin
        return not origin.shared and self._waiting[origin.network] >= MAX_WAITING_EACH

    def _failures(self, origin: Origin, account: AccountName | None) -> tuple[int, int, int]:
        """Give the failures of the network, of the wider one above what is free, of the account."""
        network = 0 if origin.shared else self.networks.count(origin.network)
        wider = self.wider.count(origin.wider) if origin.wider and not origin.shared else 0
        by_name = self.accounts.count(account) if account is not None else 0
        return network, max(wider - FREE_WIDER, 0), by_name

    def _check_delay(self, attempt: Attempt) -> float:
        if attempt.known:
            return 0.0
        settings = self._settings()
        least_s, most_s = settings.min_login_delay_s, settings.max_login_delay_s
        delay_s = self._delay(max(self._failures(attempt.origin, attempt.account)) - FREE_FAILURES)
        # The rest of the longest delay is for the check itself: its time must not be told.
        return min(delay_s, max(most_s - least_s, most_s / 2))

    def _delay(self, failures: int) -> float:
        """Give the delay after so many failures: twice as long after each, up to the longest."""
        if failures < 1:
            return 0.0
        settings = self._settings()
        delay_s = settings.min_login_delay_s * 2.0 ** min(failures - 1, 16)
        return min(delay_s, settings.max_login_delay_s)


def _account(name: bytes) -> AccountName | None:
    try:
        return AccountName.parse(name.decode())
    except (InvalidArgument, UnicodeDecodeError):
        return None
