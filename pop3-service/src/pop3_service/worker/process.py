"""A worker process: started by the supervisor, told everything over its control channel.

It ends when told to, or when the supervisor is gone. Signals are the supervisor's business: a
Ctrl-C reaches the whole group, and must not end a session in the middle.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from pathlib import Path

from lineproto import logs
from lineproto.clock import SystemClock
from lineproto.networks import Networks
from pop3_service.control import messages
from pop3_service.control.channel import Channel
from pop3_service.control.counters import CounterBoard
from pop3_service.control.messages import Count, Failed, Request, Result, Sessions
from pop3_service.control.plane import AuthOutcome, Credentials, Evidence, LoginOutcome, Refused
from pop3_service.domain.access import Access
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.errors import LoginTooSoon, ServiceUnavailable
from pop3_service.domain.session import SessionEvent
from pop3_service.domain.transforms import ActiveTransforms, TransformCount
from pop3_service.maildir.paths import MailPaths
from pop3_service.worker.context import Greeting, WorkerContext
from pop3_service.worker.listener import Pop3Listener
from pop3mgmt.reasons import Reason


class RemoteControl:
    """The control plane at the other end of the channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def login(self, credentials: Credentials) -> LoginOutcome:
        """Ask the supervisor to check a password."""
        try:
            return messages.to_outcome(await self._channel.request(messages.Login(credentials)))
        except ServiceUnavailable:
            return Refused(Reason.SERVICE_UNAVAILABLE)

    async def authenticate(self, evidence: Evidence) -> AuthOutcome:
        """Ask the supervisor to look at a message of AUTH."""
        try:
            result = await self._channel.request(messages.Authenticate(evidence))
            return messages.to_auth_outcome(result)
        except ServiceUnavailable:
            return Refused(Reason.SERVICE_UNAVAILABLE)

    async def note_login(self, account: str) -> None:
        """Ask the supervisor whether an account may log in again already."""
        match await self._channel.request(messages.NoteLogin(account)):
            case Count(1):
                return
            case Count():
                raise LoginTooSoon
        raise ServiceUnavailable("the service cannot tell when the last login was")

    def report(self, event: SessionEvent) -> None:
        """Tell the supervisor an event."""
        self._channel.notify(messages.Report(event))

    def report_logins(self, events: list[LoginEvent]) -> None:
        """Tell the supervisor logins."""
        self._channel.notify(messages.ReportLogins(events))

    def report_transforms(self, counts: list[TransformCount]) -> None:
        """Tell the supervisor what came of transforms."""
        self._channel.notify(messages.ReportTransforms(counts))


class WorkerProcess:
    """Answers the supervisor until it says stop or is gone."""

    def __init__(self) -> None:
        self._channel = Channel(self._handle)
        self._listener: Pop3Listener | None = None
        self._stopped = asyncio.Event()
        self._retiring: asyncio.Task[None] | None = None

    async def run(self, control: socket.socket) -> None:
        """Serve until the end."""
        await self._channel.start(control)
        gone = asyncio.create_task(self._channel.closed.wait())
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({gone, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if self._listener is not None and not self._stopped.is_set():
            await self._listener.stop(0)
        gone.cancel()
        stopped.cancel()

    async def _handle(self, request: Request) -> Result:
        match request:
            case messages.Setup():
                return await self._set_up(request)
            case messages.Stop(grace_s):
                cut = await self._worker().stop(grace_s)
                asyncio.get_running_loop().call_later(0.05, self._stopped.set)
                return Count(cut)
            case messages.Configure(settings):
                await self._worker().configure(settings)
            case messages.ListSessions(account):
                return Sessions(await self._worker().list_sessions(account))
            case messages.Disconnect(order):
                return Count(await self._worker().disconnect(order))
            case messages.Watch(wanted):
                await self._worker().watch(wanted)
            case messages.Retire():
                self._retiring = asyncio.create_task(self._retire(self._worker()))
            case messages.SetAccess(table):
                return Count(await self._worker().set_access(table))
            case messages.SetTransforms(table):
                await self._worker().set_transforms(table)
            case messages.SetCertificates(pairs):
                await self._worker().set_certificates(pairs)
            case messages.SetLeastRetention(days):
                await self._worker().set_least_retention(days)
            case _:
                return Failed("not a request to a worker")
        return Count()

    async def _retire(self, listener: Pop3Listener) -> None:
        """End with the last session; the successor has the sockets already."""
        await listener.drain()
        await listener.stop(0)
        self._stopped.set()

    def _worker(self) -> Pop3Listener:
        if self._listener is None:
            raise ServiceUnavailable("the worker is not set up")
        return self._listener

    async def _set_up(self, setup: messages.Setup) -> Result:
        config = setup.config
        logs.configure(config.log_level, config.log_format)
        context = WorkerContext(
            RemoteControl(self._channel),
            MailPaths(Path(config.mail_root), config.mail_path),
            setup.settings,
            Greeting(config.host_name, config.version),
            CounterBoard(config.counters, config.slots),
            config.slot,
            Path(config.spool),
            SystemClock(),
            Path(config.results),
            config.reach,
        )
        context.watched = setup.watch
        context.set_least_retention(setup.least_retention_days)
        context.access = Access(setup.access)
        context.transforms = ActiveTransforms(setup.transforms)
        self._listener = Pop3Listener(context, config.tag)
        await self._listener.set_certificates(setup.certificates)
        sockets = [(socket.socket(fileno=it.fd), it) for it in config.listeners]
        gc.collect()
        gc.freeze()
        await self._listener.start(
            [sock for sock, it in sockets if not it.implicit_tls],
            [sock for sock, it in sockets if it.implicit_tls],
            proxied={sock for sock, it in sockets if it.proxied},
            proxies=Networks(config.proxy_from),
        )
        return Count()


def main() -> None:
    """Run a worker; its one argument is the control channel's descriptor."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    asyncio.run(WorkerProcess().run(control))


if __name__ == "__main__":
    main()
