"""Worker processes: started by exec, seen dead by the end of their channel, started again.

Each slot keeps its listening sockets and its counters over its workers' lives, so what waits in a
listening queue is served by the successor, and no count is lost.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import structlog

from lineproto.clock import Clock
from pop3_service.control import messages
from pop3_service.control.channel import Channel
from pop3_service.control.counters import CounterBoard
from pop3_service.control.messages import Count, Failed, Request, Result, Sessions, WorkerConfig
from pop3_service.control.plane import CertificatePair, ControlPlane, DisconnectOrder, Worker
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.domain.session import SessionInfo
from pop3_service.domain.settings import Settings

CONFIRM_S = 1.0
"""A worker that does not confirm a change in this time is killed, so that the change is a fact."""
CERTIFICATES_S = 5.0
"""The same for certificates: a worker that serves hundreds of names reads hundreds of keys."""
START_S = 30.0
LISTING_S = 5.0
LINGER_S = 5.0
"""A worker ends when its channel does; one that takes longer is killed."""
BACKOFF_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Wait before a restart, by the number of quick deaths in a row."""
QUICK_DEATH_S = 10.0

log = structlog.get_logger()


class ListeningSocket(NamedTuple):
    """A socket and how it is spoken to: in TLS from the first octet (RFC 8314), or in clear."""

    sock: socket.socket
    implicit_tls: bool


@dataclass(frozen=True, slots=True)
class Slot:
    """What a worker leaves to its successor."""

    index: int
    sockets: tuple[ListeningSocket, ...]


class RemoteWorker:
    """A worker process, as a ``control.plane.Worker``; made by ``spawn``."""

    def __init__(self, slot: Slot, control: ControlPlane) -> None:
        self.slot = slot
        self.channel = Channel(self._handle)
        self.settings: Settings | None = None
        self._control = control
        self._process: asyncio.subprocess.Process

    @classmethod
    async def spawn(cls, slot: Slot, control: ControlPlane, config: WorkerConfig) -> Self:
        """Make the process and its channel.

        Raises:
            OSError: the system has no room for one more process.
        """
        worker = cls(slot, control)
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
    ) -> None:
        """Tell it what it needs, and wait until it serves.

        Raises:
            ServiceUnavailable: it ended or did not answer.
        """
        self.settings = settings
        await self._within(START_S, messages.Setup(config, settings, watch, list(certificates)))

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

    async def watch(self, wanted: bool) -> None:
        """Begin or end reporting events."""
        await self._confirmed(messages.Watch(wanted))

    async def set_certificates(self, pairs: list[CertificatePair]) -> None:
        """Put certificates in force; a worker that does not confirm is killed."""
        await self._confirmed(messages.SetCertificates(pairs), CERTIFICATES_S)

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
            return await self._within(CONFIRM_S if seconds is None else seconds, request)
        except ServiceUnavailable as error:
            self.kill(str(error))
            await self._process.wait()
            return Failed(str(error))

    async def _within(self, seconds: float, request: Request) -> Result:
        try:
            async with asyncio.timeout(seconds):
                return await self.channel.request(request)
        except TimeoutError:
            raise ServiceUnavailable("the worker does not answer") from None

    async def _handle(self, request: Request) -> Result:
        match request:
            case messages.Login(credentials):
                return messages.from_outcome(await self._control.login(credentials))
            case messages.Report(event):
                self._control.report(event)
                return Count()
        return Failed("not a request to the supervisor")


class WorkerPool:
    """All worker processes. ``make_config`` gives a worker's start-up values by slot and tag."""

    def __init__(
        self,
        slots: list[Slot],
        board: CounterBoard,
        control: ControlPlane,
        make_config: Callable[[Slot, str], WorkerConfig],
        clock: Clock,
    ) -> None:
        self.restarts = 0
        self.watched = False
        self._slots = slots
        self._board = board
        self._control = control
        self._make_config = make_config
        self._clock = clock
        self._live: dict[int, RemoteWorker] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._settings: Settings
        self._certificates: Sequence[CertificatePair] = ()
        self._stopping = False

    def workers(self) -> list[Worker]:
        """The workers there are now."""
        return list(self._live.values())

    async def start(self, settings: Settings, certificates: Sequence[CertificatePair] = ()) -> None:
        """Start a worker in each slot and wait until all serve.

        Raises:
            ServiceUnavailable: one of them did not start.
        """
        self._settings = settings
        self._certificates = certificates
        started = [asyncio.get_running_loop().create_future() for _ in self._slots]
        self._keepers = [
            asyncio.create_task(self._keep(slot, first))
            for slot, first in zip(self._slots, started, strict=True)
        ]
        await asyncio.gather(*started)

    async def apply(self, settings: Settings) -> None:
        """Put settings in force on every worker."""
        self._settings = settings
        await asyncio.gather(*(worker.configure(settings) for worker in self.workers()))

    async def set_certificates(self, pairs: Sequence[CertificatePair]) -> None:
        """Put certificates in force on every worker, and on those that start later."""
        self._certificates = pairs
        await asyncio.gather(*(it.set_certificates(list(pairs)) for it in self.workers()))

    async def stop(self, grace_s: float) -> None:
        """Let all workers finish and end them."""
        self._stopping = True
        await asyncio.gather(*(worker.stop(grace_s) for worker in list(self._live.values())))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _keep(self, slot: Slot, first: asyncio.Future[None]) -> None:
        """Keep a worker in a slot, over and over; the first one must come up."""
        quick_deaths = 0
        for life in itertools.count(1):
            began_s = self._clock.monotonic()
            try:
                await self._live_once(slot, f"{slot.index}.{life}-", first)
            except (ServiceUnavailable, OSError) as error:
                log.error("worker did not start", slot=slot.index, reason=str(error))
                if not first.done():
                    first.set_exception(ServiceUnavailable(str(error)))
                    return
            if self._stopping:
                return
            self.restarts += 1
            quick = self._clock.monotonic() - began_s < QUICK_DEATH_S
            quick_deaths = quick_deaths + 1 if quick else 0
            await self._clock.sleep(BACKOFF_S[min(quick_deaths, len(BACKOFF_S) - 1)])

    async def _live_once(self, slot: Slot, tag: str, first: asyncio.Future[None]) -> None:
        """One worker's whole life.

        Raises:
            OSError: it could not be made.
            ServiceUnavailable: it did not come up.
        """
        config = self._make_config(slot, tag)
        worker = await RemoteWorker.spawn(slot, self._control, config)
        # Among the live ones before it is told the settings of this moment: no change passes it by.
        self._live[slot.index] = worker
        try:
            await worker.set_up(config, self._settings, self.watched, self._certificates)
            log.info("worker started", slot=slot.index, pid=worker.pid)
            if not first.done():
                first.set_result(None)
            await worker.channel.closed.wait()
        except ServiceUnavailable:
            worker.kill("did not start")
            raise
        finally:
            status = await worker.ended()
            self._live.pop(slot.index, None)
            self._board.slot(slot.index)  # what it had open counts as closed
        if not self._stopping:
            log.error("worker died", slot=slot.index, pid=worker.pid, status=status)


class LocalPool:
    """``workers=0``: the one worker is in this process."""

    restarts = 0

    def __init__(self, worker: Worker, stop: Callable[[float], Awaitable[object]]) -> None:
        self.watched = False
        self._worker = worker
        self._stop = stop

    def workers(self) -> list[Worker]:
        """The worker."""
        return [self._worker]

    async def apply(self, settings: Settings) -> None:
        """Put settings in force."""
        await self._worker.configure(settings)

    async def set_certificates(self, pairs: Sequence[CertificatePair]) -> None:
        """Put certificates in force."""
        await self._worker.set_certificates(list(pairs))

    async def stop(self, grace_s: float) -> None:
        """Let its sessions finish."""
        await self._stop(grace_s)
