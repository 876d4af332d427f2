"""The process that transforms mail ahead: started by the supervisor, told all over its channel.

It has no listeners and no sessions. It ends when the supervisor closes the channel, or is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from lineproto import logs
from lineproto.clock import SystemClock
from pop3_service.control import messages
from pop3_service.control.channel import Channel
from pop3_service.control.messages import Count, Failed, Request, Result
from pop3_service.domain.ahead import AheadProgress, Owner
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import TransformCount
from pop3_service.maildir.paths import MailPaths
from pop3_service.transform.cache import Cache
from pop3_service.transform.runner import MIB, Runner
from pop3_service.worker.ahead import Ahead
from pop3_service.worker.ahead_results import AheadResults

NICENESS = 10
"""It gives way to workers, and so do the programs that it starts."""


class RemoteControl:
    """The supervisor at the other end of the channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def owners(self, after: str) -> Sequence[Owner]:
        """Ask whose mail there is."""
        result = await self._channel.request(messages.ListOwners(after))
        return result.owners if isinstance(result, messages.Owners) else []

    def report_transforms(self, counts: list[TransformCount]) -> None:
        """Tell what came of runs."""
        self._channel.notify(messages.ReportTransforms(counts))

    def report_ahead(self, progress: AheadProgress) -> None:
        """Tell how far it has come."""
        self._channel.notify(messages.ReportAhead(progress))


class AheadProcess:
    """Works until the channel is closed."""

    def __init__(self) -> None:
        self._channel = Channel(self._handle)
        self._settings = Settings()
        self._ahead: Ahead | None = None
        self._working: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    async def run(self, control: socket.socket) -> None:
        """Work until the end."""
        await self._channel.start(control)
        gone = asyncio.create_task(self._channel.closed.wait())
        over = asyncio.create_task(self._over.wait())
        await asyncio.wait({gone, over}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        over.cancel()
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait({self._working})

    async def _handle(self, request: Request) -> Result:
        match request:
            case messages.SetUpAhead():
                self._set_up(request)
            case messages.Configure(settings):
                self._settings = settings
                self._there().configure(settings)
            case messages.SetTransforms(table):
                self._there().set_transforms(table)
            case _:
                return Failed("not a request to what works ahead")
        return Count()

    def _there(self) -> Ahead:
        if self._ahead is None:
            raise ServiceUnavailable("it is not set up")
        return self._ahead

    def _set_up(self, setup: messages.SetUpAhead) -> None:
        config = setup.config
        logs.configure(config.log_level, config.log_format)
        self._settings = setup.settings
        clock, spool = SystemClock(), Path(config.spool)
        cache = Cache(
            Path(config.results), spool, lambda: self._settings.transform_cache_mib * MIB, clock
        )
        self._ahead = Ahead(
            RemoteControl(self._channel),
            MailPaths(Path(config.mail_root), config.mail_path),
            AheadResults(Runner(spool, clock, reach=config.reach), cache, lambda: self._settings),
            setup.settings,
            clock,
        )
        self._ahead.set_transforms(setup.transforms)
        self._working = asyncio.create_task(self._ahead.run())
        self._working.add_done_callback(lambda _: self._over.set())


def main() -> None:
    """Run it; its one argument is the control channel's descriptor."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    asyncio.run(AheadProcess().run(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
