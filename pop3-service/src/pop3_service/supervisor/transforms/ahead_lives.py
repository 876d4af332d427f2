"""What transforms mail ahead: a process of its own, or with ``workers=0`` a task."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Protocol, Self

import structlog

from pop3_service.control import messages
from pop3_service.control.channel import Channel
from pop3_service.control.messages import AheadConfig, Count, Failed, Request, Result
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import TransformTable
from pop3_service.supervisor.transforms.ahead import AheadDesk

START_S = 30.0
LINGER_S = 5.0
"""It ends when its channel does; if it takes longer it is killed."""

log = structlog.get_logger()


class Working(Protocol):
    """What works in a task (``worker.ahead.Ahead``)."""

    def set_transforms(self, table: TransformTable) -> None:
        """Put what is active in force."""

    def configure(self, settings: Settings) -> None:
        """Put settings in force."""

    async def run(self) -> None:
        """Go on until cancelled."""


class LocalAhead:
    """The task; made by ``start``."""

    def __init__(self, working: Working) -> None:
        self.set_transforms = working.set_transforms
        self.configure = working.configure
        self._task = asyncio.create_task(working.run())

    @classmethod
    async def start(
        cls,
        make: Callable[[AheadDesk, Settings], Working],
        desk: AheadDesk,
        settings: Settings,
        table: TransformTable,
    ) -> Self:
        """Make what works, and let it begin."""
        working = make(desk, settings)
        working.set_transforms(table)
        return cls(working)

    async def ended(self) -> None:
        """Wait until it is gone by itself."""
        await asyncio.wait({self._task})
        error = None if self._task.cancelled() else self._task.exception()
        log.error("what transforms mail ahead died", exc_info=error)

    async def stop(self) -> None:
        """End it, and all that it has started."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class RemoteAhead:
    """The process; made by ``start``: started by exec, told over its channel."""

    def __init__(self, desk: AheadDesk) -> None:
        self._desk = desk
        self._channel = Channel(self._handle)
        self._process: asyncio.subprocess.Process

    @classmethod
    async def start(
        cls, config: AheadConfig, desk: AheadDesk, settings: Settings, table: TransformTable
    ) -> Self:
        """Start it, and wait until it works.

        Raises:
            OSError: the system has no room for one more process.
            ServiceUnavailable: it ended or did not answer.
        """
        it = cls(desk)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                words = ("-m", "pop3_service.worker.ahead_process", str(theirs.fileno()))
                it._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *words,
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                )
            await it._channel.start(ours)
        except BaseException:
            ours.close()  # a process that was made nevertheless ends when it sees this
            raise
        try:
            async with asyncio.timeout(START_S):
                await it._channel.request(messages.SetUpAhead(config, settings, table))
        except BaseException as error:
            await it.stop()
            if isinstance(error, TimeoutError):
                raise ServiceUnavailable("it does not answer") from None
            raise
        log.info("transforming mail ahead", pid=it._process.pid)
        return it

    def set_transforms(self, table: TransformTable) -> None:
        """Put what is active in force, soon."""
        self._channel.notify(messages.SetTransforms(table))

    def configure(self, settings: Settings) -> None:
        """Put settings in force, soon."""
        self._channel.notify(messages.Configure(settings))

    async def ended(self) -> None:
        """Wait until it is gone by itself."""
        await self._channel.closed.wait()
        log.error("what transforms mail ahead died", pid=self._process.pid)

    async def stop(self) -> None:
        """End it, and all that it has started."""
        await self._channel.close()
        try:
            async with asyncio.timeout(LINGER_S):
                await self._process.wait()
        except TimeoutError:
            log.error("what transforms mail ahead is killed", pid=self._process.pid)
            self._process.kill()
            await self._process.wait()

    async def _handle(self, request: Request) -> Result:
        match request:
            case messages.ListOwners(after):
                return messages.Owners(list(await self._desk.owners(after)))
            case messages.ReportTransforms(counts):
                self._desk.report_transforms(counts)
            case messages.ReportAhead(progress):
                self._desk.report_ahead(progress)
            case _:
                return Failed("not a request to the supervisor")
        return Count()
