"""The state of the service at one moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from lineproto.clock import Clock
from pop3_service.domain.ahead import TransformedMail
from pop3_service.domain.certificate import Certificate
from pop3_service.domain.session import Totals
from pop3_service.domain.transforms import ActivationRecord
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.accounts import AccountsDesk
from pop3_service.supervisor.certificates import CertificatesDesk
from pop3_service.supervisor.token_keys import TokenKeys
from pop3_service.supervisor.transforms import TransformsDesk


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
    ) -> None:
        """``isolation`` says what holds transforms back, in words."""
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
            warnings=await self._accounts.warnings()
            + self._certificates.warnings()
            + self._token_keys.warnings(),
        )
