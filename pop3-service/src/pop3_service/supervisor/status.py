"""The state of the service at one moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from lineproto.clock import Clock
from pop3_service.domain.ahead import TransformedMail
from pop3_service.domain.certificate import URGENT, Certificate
from pop3_service.domain.session import Totals
from pop3_service.domain.transforms import ActivationRecord
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.authentication.token_keys import TokenKeys
from pop3_service.supervisor.identity.accounts import AccountsDesk
from pop3_service.supervisor.tls.certificates import CertificatesDesk
from pop3_service.supervisor.transforms.versions import TransformsDesk


class WorkerCounts(NamedTuple):
    """Worker processes: in service, replaced but with sessions still, restarted after a death."""

    serving: int
    draining: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Status:
    """What STATUS tells. Totals are since the start.

    ``transformed_mail`` is None where none is kept and none is to be. ``transform`` is what
    everybody's mail is passed through, ``transforms`` all that is active.
    ``management_certificate_end`` is None where the management port speaks no TLS.
    """

    version: str
    start_time: datetime
    status_time: datetime
    totals: Totals
    account_count: int
    workers: WorkerCounts
    transform: str
    transformed_mail: TransformedMail | None
    transforms: list[ActivationRecord]
    given_up_canary_count: int
    isolation: str
    certificates: list[Certificate]
    management_certificate_end: datetime | None
    warnings: list[str]


class StatusDesk:
    """Takes the figures together."""

    def __init__(
        self,
        version: str,
        totals: Callable[[], Totals],
        workers: Callable[[], WorkerCounts],
        store: AccountStore,
        accounts: AccountsDesk,
        transforms: TransformsDesk,
        certificates: CertificatesDesk,
        token_keys: TokenKeys,
        clock: Clock,
        transformed_mail: Callable[[], Awaitable[TransformedMail | None]],
        isolation: Callable[[], str],
        management_certificate_end: Callable[[], datetime | None],
    ) -> None:
        """``isolation`` says what holds transforms back, in words."""
        self._management_certificate_end = management_certificate_end
        self._version = version
        self._totals = totals
        self._workers = workers
        self._store = store
        self._accounts = accounts
        self._transforms = transforms
        self._certificates = certificates
        self._token_keys = token_keys
        self._clock = clock
        self._transformed_mail = transformed_mail
        self._isolation = isolation
        self._start_time = clock.now()

    async def status(self) -> Status:
        """Give the state now."""
        end = self._management_certificate_end()
        return Status(
            version=self._version,
            start_time=self._start_time,
            status_time=self._clock.now(),
            totals=self._totals(),
            account_count=await self._store.count(),
            workers=self._workers(),
            transformed_mail=await self._transformed_mail(),
            transform=self._transforms.command_line,
            transforms=self._transforms.activations(),
            given_up_canary_count=self._transforms.given_up_count,
            isolation=self._isolation(),
            certificates=self._certificates.in_force(),
            management_certificate_end=end,
            warnings=await self._accounts.warnings()
            + self._certificates.warnings()
            + _warnings_of(end, self._clock.now())
            + self._token_keys.warnings(),
        )


def _warnings_of(end: datetime | None, now: datetime) -> list[str]:
    """Warn of the management port's certificate, from two weeks before its end."""
    if end is None or end - now > URGENT:
        return []
    what = "has expired" if end <= now else "expires"
    return [f"the management port's certificate {what} on {end.date().isoformat()}"]
