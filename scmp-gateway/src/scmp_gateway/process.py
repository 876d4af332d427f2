"""The gateway's composition root: one channel to the service, one listener, signals."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from lineproto.clock import Clock, SystemClock
from lineproto.connection import Connection
from lineproto.listener import Listener, bind
from lineproto.stopping import stop_signals
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from scmp_gateway import __version__
from scmp_gateway.command import LINE_LIMIT
from scmp_gateway.config import Config
from scmp_gateway.dialogue import ScmpDialogue
from scmp_gateway.secret import SecretFile

GRACE_S = 15.0

log = structlog.get_logger()


class ScmpListener(Listener):
    """The gateway's connections, and the tokens that are to end when they do."""

    line_limit = LINE_LIMIT

    def __init__(self, client: ManagementClient, config: Config, clock: Clock) -> None:
        super().__init__(clock)
        self.sweep_s = min(max(config.idle_timeout / 10, 0.05), 1.0)
        self._client = client
        self._config = config
        self._greeting = f"SCMP {config.host_name} Valija v{__version__} ready"
        self._logouts: set[asyncio.Task[None]] = set()

    def dialogue(self, connection: Connection) -> ScmpDialogue:
        """Make the dialogue of a new connection."""
        return ScmpDialogue(
            self._client,
            connection,
            self._greeting,
            self._config.idle_timeout,
            full=len(self.connections) > self._config.max_connections,
            on_end=self._log_out,
        )

    async def stop(self, grace_s: float) -> int:
        """Stop, and end the tokens that are left."""
        cut = await super().stop(grace_s)
        await asyncio.gather(*self._logouts, return_exceptions=True)
        return cut

    def _log_out(self, caller: Caller | None) -> None:
        if caller is None:
            return
        task = asyncio.create_task(_log_out(caller))
        self._logouts.add(task)
        task.add_done_callback(self._logouts.discard)


async def _log_out(caller: Caller) -> None:
    # The service may be away; then the token has ended with it, or will by itself.
    with contextlib.suppress(ManagementError):
        await caller.logout()


@contextlib.asynccontextmanager
async def running(config: Config, clock: Clock | None = None) -> AsyncIterator[int]:
    """Run a gateway; gives its port.

    Raises:
        OSError: the address is taken.
    """
    path = config.gateway_secret_file
    async with ManagementClient(
        config.service,
        deadline_s=config.deadline,
        gateway_secret=SecretFile(path).read if path else None,
    ) as client:
        listener = ScmpListener(client, config, clock or SystemClock())
        sock = bind(config.bind, config.port)
        port: int = sock.getsockname()[1]
        await listener.start([sock])
        log.info("gateway started", bind=config.bind, port=port, service=config.service)
        try:
            yield port
        finally:
            await listener.stop(GRACE_S)
            log.info("gateway stopped")


async def serve(config: Config) -> None:
    """Run a gateway until SIGTERM or SIGINT."""
    with stop_signals() as stop:
        async with running(config):
            await stop.wait()
