"""Keeps what transforms mail ahead: there while a transform is active, started again if it dies.

It is a process like a worker, without listeners, or with ``workers=0`` a task; nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from lineproto.clock import Clock
from pop3_service.domain.ahead import NOTHING_AHEAD, AheadProgress, Owner
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import NOTHING_ACTIVE, TransformCount, TransformTable
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.workers import BACKOFF_S, QUICK_DEATH_S

OWNERS_AT_A_TIME = 500
LOGINS = 10_000
"""Accounts of which it is known when they last logged in."""

log = structlog.get_logger()


class Life(Protocol):
    """A process or a task that transforms mail ahead."""

    def set_transforms(self, table: TransformTable) -> None:
        """Put what is active in force, soon."""

    def configure(self, settings: Settings) -> None:
        """Put settings in force, soon."""

    async def ended(self) -> None:
        """Wait until it ends by itself, which is a fault."""

    async def stop(self) -> None:
        """End it, with whatever it has started."""


Start = Callable[["AheadDesk", Settings, TransformTable], Awaitable[Life]]


class AheadDesk:
    """What transforms mail ahead, as the supervisor sees it.

    ``start`` begins a life; ``tell`` takes what came of runs.
    """

    def __init__(
        self,
        accounts: AccountStore,
        settings: Callable[[], Settings],
        start: Start,
        tell: Callable[[list[TransformCount]], None],
        clock: Clock,
    ) -> None:
        self.report_transforms = tell
        self._accounts = accounts
        self._settings = settings
        self._start = start
        self._clock = clock
        self._table = NOTHING_ACTIVE
        self._life: Life | None = None
        self._before = self._now = NOTHING_AHEAD
        self._logins: OrderedDict[str, float] = OrderedDict()
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep it until the end of the block."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def progress(self) -> AheadProgress:
        """How far it has come since the service started."""
        before, now = self._before, self._now
        return AheadProgress(now.waiting, before.done + now.done, before.failed + now.failed)

    @property
    def is_wanted(self) -> bool:
        """Whether there is something to do: mail of somebody is transformed."""
        settings = self._settings()
        return bool(settings.transform_ahead and settings.transform_cache_mib) and any(
            it.transform or it.former for it in self._table.activations
        )

    def set_transforms(self, table: TransformTable) -> None:
        """Note what is active."""
        self._table = table
        if self._life is not None:
            self._life.set_transforms(table)
        self._changed.set()

    def settings_changed(self) -> None:
        """Note that there are other settings."""
        if self._life is not None:
            self._life.configure(self._settings())
        self._changed.set()

    def note_logins(self, events: list[LoginEvent]) -> None:
        """Note who was there, to be served first."""
        for event in events:
            if not event.reason:
                self._logins[event.account] = event.time_s
                self._logins.move_to_end(event.account)
        while len(self._logins) > LOGINS:
            self._logins.popitem(last=False)

    # --- what it asks and tells --------------------

    async def owners(self, after: str) -> Sequence[Owner]:
        """Give whose mail there is in order of name, those after a name; some at a time."""
        page = await self._accounts.page(after, OWNERS_AT_A_TIME)
        login_s = self._logins.get
        return [
            Owner(str(it.name), it.role, it.preferences.transform, login_s(it.name, 0.0))
            for it in page
        ]

    def report_ahead(self, progress: AheadProgress) -> None:
        """Take how far it has come in its present life."""
        self._now = progress

    # --- its lives --------------------

    async def _keep(self) -> None:
        quick_deaths = 0
        while True:
            await self._until(True)
            began_s = self._clock.monotonic()
            try:
                await self._live()
            except (ServiceUnavailable, OSError) as error:
                log.error("mail is not transformed ahead", reason=str(error))
            except Exception as error:  # a fault of ours, and no reason never to try again
                log.error("mail is not transformed ahead", exc_info=error)
            if self.is_wanted:  # else it was ended in order
                quick = self._clock.monotonic() - began_s < QUICK_DEATH_S
                quick_deaths = min(quick_deaths + 1, len(BACKOFF_S) - 1) if quick else 0
                await self._clock.sleep(BACKOFF_S[quick_deaths])

    async def _live(self) -> None:
        """Let it live until it is wanted no more, or dies."""
        settings, table = self._settings(), self._table
        life = self._life = await self._start(self, settings, table)
        if self._table is not table:
            life.set_transforms(self._table)
        if self._settings() is not settings:
            life.configure(self._settings())
        waits = [asyncio.ensure_future(it) for it in (life.ended(), self._until(False))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            self._life = None
            await life.stop()
            self._before, self._now = self.progress, NOTHING_AHEAD
            self._before = AheadProgress(0, self._before.done, self._before.failed)

    async def _until(self, wanted: bool) -> None:
        while self.is_wanted is not wanted:
            self._changed.clear()
            await self._changed.wait()
