"""One worker process as the supervisor sees it: started by exec, asked over its channel."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import structlog

from pop3_service.control import messages
from pop3_service.control.channel import Channel
from pop3_service.control.messages import Count, Failed, Request, Result, Sessions, WorkerConfig
from pop3_service.control.plane import CertificatePair, ControlPlane, DisconnectOrder
from pop3_service.domain.address_rules import AccessTable
from pop3_service.domain.errors import LoginTooSoon, ServiceUnavailable
from pop3_service.domain.session import SessionInfo
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import NOTHING_ACTIVE, TransformTable

CONFIRM_S = 1.0
"""A worker that does not confirm a change in this time is killed, so that the change is a fact."""
CERTIFICATES_S = 5.0
"""The same for certificates: a worker that serves hundreds of names reads hundreds of keys."""
START_S = 30.0
LISTING_S = 5.0
LINGER_S = 5.0
"""A worker ends when its channel does; one that takes longer is killed."""

log = structlog.get_logger()


class ListeningSocket(NamedTuple):
    """A socket and how it is spoken to: in TLS from the first octet (RFC 8314), or in clear.

    Where it is ``proxied``, a PROXY header comes first.
    """

    sock: socket.socket
    implicit_tls: bool
    proxied: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """What a worker leaves to its successor."""

    index: int
    sockets: tuple[ListeningSocket, ...]


class RemoteWorker:
    """A worker process, as a ``control.plane.Worker``; made by ``spawn``.

    ``counters`` is its slot on the counter board.
    """

    def __init__(self, slot: Slot, control: ControlPlane, counters: int = 0) -> None:
        self.slot = slot
        self.counters = counters
        self.channel = Channel(self._handle)
        self.settings: Settings | None = None
        self._control = control
        self._serves = False
        self._process: asyncio.subprocess.Process

    @classmethod
    async def spawn(cls, slot: Slot, control: ControlPlane, config: WorkerConfig) -> Self:
        """Make the process and its channel.

        Raises:
            OSError: the system has no room for one more process.
        """
        worker = cls(slot, control, config.slot)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                worker._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "pop3_service.worker.process",
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(
                        theirs.fileno(),
                        config.counters,
                        *(it.fd for it in config.listeners),
                    ),
                )
            await worker.channel.start(ours)
        except BaseException:
            ours.close()  # a process that was made nevertheless ends when it sees this
            raise
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def set_up(
        self,
        config: WorkerConfig,
        settings: Settings,
        watch: bool,
        certificates: Sequence[CertificatePair] = (),
        least_retention_days: int = 0,
        access: AccessTable | None = None,
        transforms: TransformTable = NOTHING_ACTIVE,
    ) -> None:
        """Tell it what it needs, and wait until it serves.

        Raises:
            ServiceUnavailable: it ended or did not answer.
        """
        self.settings = settings
        access = access or AccessTable()
        setup = messages.Setup(
            config, settings, watch, list(certificates), least_retention_days, access, transforms
        )
        await self._within(START_S, setup)
        self._serves = True

    async def configure(self, settings: Settings) -> None:
        """Put settings in force; a worker that does not confirm is killed."""
        self.settings = settings
        await self._confirmed(messages.Configure(settings))

    async def list_sessions(self, account: str) -> list[SessionInfo]:
        """Give the sessions, all or those of an account."""
        result = await self._within(LISTING_S, messages.ListSessions(account))
        return result.sessions if isinstance(result, Sessions) else []

    async def disconnect(self, order: DisconnectOrder) -> int:
        """End sessions; a worker that does not confirm is killed, and its sessions with it."""
        result = await self._confirmed(messages.Disconnect(order))
        return result.count if isinstance(result, Count) else 0

    async def set_access(self, table: AccessTable) -> int:
        """Put rules in force; a worker that does not confirm is killed."""
        result = await self._confirmed(messages.SetAccess(table))
        return result.count if isinstance(result, Count) else 0

    async def set_transforms(self, table: TransformTable) -> None:
        """Put what is active in force; a worker that does not confirm is killed."""
        await self._confirmed(messages.SetTransforms(table))

    async def watch(self, wanted: bool) -> None:
        """Begin or end reporting events."""
        await self._confirmed(messages.Watch(wanted))

    async def set_certificates(self, pairs: list[CertificatePair]) -> None:
        """Put certificates in force; a worker that does not confirm is killed."""
        await self._confirmed(messages.SetCertificates(pairs), CERTIFICATES_S)

    async def set_least_retention(self, days: int) -> None:
        """Say what the shortest retention of an account is."""
        await self._confirmed(messages.SetLeastRetention(days))

    async def retire(self) -> None:
        """Let it accept no more; it ends with the last of its sessions."""
        await self._confirmed(messages.Retire())

    async def stop(self, grace_s: float) -> None:
        """Let it finish; kill it when it takes longer than its grace."""
        try:
            await self._within(grace_s + CONFIRM_S, messages.Stop(grace_s))
            async with asyncio.timeout(CONFIRM_S):
                await self._process.wait()
        except (ServiceUnavailable, TimeoutError):
            self.kill("did not stop")
        await self.ended()

    async def ended(self) -> int:
        """Wait for the end of the process and give its status; one that lingers is killed."""
        try:
            async with asyncio.timeout(LINGER_S):
                status = await self._process.wait()
        except TimeoutError:
            self.kill("its channel is closed, and it lives on")
            status = await self._process.wait()
        await self.channel.close()
        return status

    def kill(self, reason: str) -> None:
        """Kill the process."""
        if self._process.returncode is None:
            log.error("worker killed", slot=self.slot.index, pid=self.pid, reason=reason)
            self._process.kill()

    async def _confirmed(self, request: Request, seconds: float | None = None) -> Result:
        try:
            async with asyncio.timeout(CONFIRM_S if seconds is None else seconds):
                return await self.channel.request(request)
        except TimeoutError:
            if not self._serves:
                # The change waits behind its setup: it is in force before anybody is served.
                return Failed("the worker is still starting")
            reason = "the worker does not answer"
        except ServiceUnavailable as error:
            reason = str(error)
        self.kill(reason)
        await self._process.wait()
        return Failed(reason)

    async def _within(self, seconds: float, request: Request) -> Result:
        try:
            async with asyncio.timeout(seconds):
                return await self.channel.request(request)
        except TimeoutError:
            raise ServiceUnavailable("the worker does not answer") from None

    async def _note_login(self, account: str) -> Count:
        try:
            await self._control.note_login(account)
        except LoginTooSoon:
            return Count(0)
        return Count(1)

    async def _handle(self, request: Request) -> Result:
        match request:
            case messages.Login(credentials):
                return messages.from_outcome(await self._control.login(credentials))
            case messages.Authenticate(evidence):
                return messages.from_outcome(await self._control.authenticate(evidence))
            case messages.NoteLogin(account):
                return await self._note_login(account)
            case messages.Report(event):
                self._control.report(event)
                return Count()
            case messages.ReportLogins(events):
                self._control.report_logins(events)
                return Count()
            case messages.ReportTransforms(counts):
                self._control.report_transforms(counts)
                return Count()
        return Failed("not a request to the supervisor")
