"""What the sessions of one worker share."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from lineproto.clock import Clock
from pop3_service.control.counters import CounterBoard
from pop3_service.control.delays import Delays
from pop3_service.control.plane import ControlPlane
from pop3_service.control.remembered import RememberedLogin, RememberedLogins
from pop3_service.domain.access import Access, Ground, Visit
from pop3_service.domain.address_rules import Service
from pop3_service.domain.reach import SYSTEM_ALONE, Reach
from pop3_service.domain.session import SessionEvent, SessionEventKind, SessionInfo
from pop3_service.domain.settings import SEND, Settings
from pop3_service.domain.transforms import ActiveTransforms, Transform
from pop3_service.maildir.paths import MailPaths
from pop3_service.pop3.capability import Offers
from pop3_service.pop3.catalogue import LANGUAGES, Language, Text
from pop3_service.transform.cache import Cache
from pop3_service.transform.runner import MIB, Runner
from pop3_service.transform.session import OnRun, SessionTransform
from pop3_service.worker.login_reports import LoginReports
from pop3_service.worker.maildrops import Maildrops
from pop3_service.worker.shadows import Shadows
from pop3_service.worker.transform_reports import TransformReports

PRODUCT = "Valija"
CROWDED = 0.8
"""Share of the connections past which silence before login is cut short."""
DISK_THREADS = 16
"""Threads that wait for the disk, so that the loop never does."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the server says of itself."""

    host_name: str
    version: str

    def said_in(self, language: Language) -> bytes:
        """Give the greeting's wire form."""
        host, version = self.host_name, self.version
        return language.ok(Text.GREETING, host=host, product=PRODUCT, version=version).encode()

    @property
    def implementation(self) -> str:
        """CAPA's IMPLEMENTATION."""
        return f"{PRODUCT}-v{self.version}"


class WorkerContext:
    """Settings in force, the mail root, counters, and threads for the disk."""

    def __init__(
        self,
        control: ControlPlane,
        paths: MailPaths,
        settings: Settings,
        greeting: Greeting,
        board: CounterBoard,
        slot: int,
        spool: Path,
        clock: Clock,
        results: Path | None = None,
        reach: Reach = SYSTEM_ALONE,
    ) -> None:
        """Open the mail root. ``results`` is where transformed mail is kept, in ``spool`` if None.

        Raises:
            MaildropUnavailable: the mail root cannot be written to.
        """
        self.control = control
        self.reports = LoginReports(control.report_logins)
        self.paths = paths
        self._implementation = greeting.implementation
        self._binds = False
        self._least_retention_days = 0
        self._host_name = greeting.host_name
        self._greetings = {it: greeting.said_in(it.in_ascii) for it in LANGUAGES.values()}
        self.configure(settings)
        self.maildrops = Maildrops(paths)
        self.logins = RememberedLogins(clock, lambda: self.settings.remember_login_s)
        self.tls: ssl.SSLContext | None = None
        self.access = Access()
        self.transforms = ActiveTransforms()
        self.runner = Runner(spool, clock, reach=reach)
        self.cache = Cache(
            results or spool / "results",
            spool,
            lambda: self.settings.transform_cache_mib * MIB,
            clock,
        )
        self.counters = board.slot(slot)
        self.clock = clock
        self.delays = Delays(clock)
        self.watched = False
        self._board = board
        self._disk = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="disk")
        self.transform_reports = TransformReports(control.report_transforms)
        self.shadows = Shadows(
            partial(self.session_transform, background=True),
            self.on_disk,
            self.transform_reports.add,
        )

    def configure(self, settings: Settings) -> None:
        """Put settings in force; sessions that are there keep the language they began with."""
        self.settings = settings
        self.language = LANGUAGES[settings.language]
        self.greeting = self._greetings[self.language]
        self.turned_away = self.language.in_ascii.err(Text.TURNED_AWAY, "SYS/PERM").encode()
        self.sends_utf8 = settings.unicode_headers == SEND
        self.offers = Offers(
            self._implementation,
            settings,
            binds=self._binds,
            least_retention_days=self._least_retention_days,
        )

    def bind_to(self, end_points: Sequence[bytes]) -> None:
        """Say what clients in TLS may bind to, by certificate."""
        self._binds = bool(end_points) and all(end_points)
        self.configure(self.settings)

    def set_least_retention(self, days: int) -> None:
        """Say what the shortest retention is that an account has of its own; 0 if none has one."""
        self._least_retention_days = days
        self.configure(self.settings)

    def new_timestamp(self) -> bytes:
        """Make a timestamp for APOP, which no other connection has (RFC 1939 section 7)."""
        return f"<{secrets.token_hex(16)}@{self._host_name}>".encode()

    def has_expired(self, known: RememberedLogin) -> bool:
        """Whether the account's own password, which a login was with, lasts no longer."""
        if not self.settings.password_expire_days or known.app_password:
            return False
        now_s = self.clock.now().timestamp()
        return self.settings.has_expired(known.facts.password_time_s, now_s)

    def full(self) -> bool:
        """Whether one more connection would pass the maximum, over all workers."""
        return self._board.current_connections() >= self.settings.max_connections

    def refuses(self, peer: str, account: str = "", role: str = "") -> Ground | None:
        """Give what keeps a client out; without an account, what keeps all out from there."""
        if self.access.is_empty:
            return None
        now_s = self.clock.now().timestamp()
        if not account:
            return self.access.refuses_unknown(Service.POP3, peer, now_s)
        return self.access.refuses(Visit(Service.POP3, peer, account, role), now_s)

    def crowded(self) -> bool:
        """Whether so many are connected that silence before login is cut short."""
        return self._board.current_connections() > CROWDED * self.settings.max_connections

    def tell(self, kind: SessionEventKind, session: SessionInfo) -> None:
        """Report an event to whoever watches."""
        self.control.report(SessionEvent(kind, session, self.clock.now().timestamp()))

    def session_transform(
        self, account: str, transform: Transform, on_run: OnRun, *, background: bool = False
    ) -> SessionTransform:
        """Make one session of an account's mail; ``on_run`` is told of each run."""
        return SessionTransform(
            self.runner,
            self.cache,
            account,
            transform,
            lambda: self.settings,
            on_run=on_run,
            background=background,
        )

    async def on_disk(self, work: Callable[[], T]) -> T:
        """Do something that may wait for the disk, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    def in_background(self, work: Callable[[], None]) -> None:
        """Do something on the disk that nobody waits for; not while the worker stops."""
        # In a turn of the loop of its own: what this one has to say goes out first.
        asyncio.get_running_loop().call_soon(self._submit, work)

    def _submit(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):
            self._disk.submit(work)

    def close(self) -> None:
        """Wait for the disk, and let go of every lock."""
        self._disk.shutdown(wait=True)
        self.maildrops.close()
        self.cache.close()
