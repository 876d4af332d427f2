"""The gateway's composition root: one channel to the service, one listener, signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from lineproto.clock import Clock, SystemClock
from lineproto.connection import Connection
from lineproto.followed import FollowedPair
from lineproto.listener import Listener, bind
from lineproto.networks import Networks
from lineproto.stopping import stop_signals
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.client_tls import ClientTls
from pop3mgmt.errors import ManagementError
from scmp_gateway import __version__
from scmp_gateway.command import LINE_LIMIT
from scmp_gateway.config import Config
from scmp_gateway.dialogue import ScmpDialogue
from scmp_gateway.secret import SecretFile
from scmp_gateway.security import Security

GRACE_S = 15.0

log = structlog.get_logger()


class ScmpListener(Listener):
    """The gateway's connections, and the tokens that are to end when they do."""

    line_limit = LINE_LIMIT

    def __init__(
        self, client: ManagementClient, config: Config, security: Security, clock: Clock
    ) -> None:
        super().__init__(clock)
        self._security = security
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
            security=self._security,
            full=len(self.connections) > self._config.max_connections,
            on_end=self._log_out,
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """Give what TLS handshakes that begin now are done with."""
        return self._security.context

    def proxy_refused(self, peer: str, reason: str) -> None:
        """Say why a connection to the proxies' port was closed."""
        log.warning("proxy connection refused", peer=peer, reason=reason)

    def proxies_refused(self, count: int) -> None:
        """Say how many more there were."""
        log.warning("more proxy connections refused", count=count)

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


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that runs; a port is None where it is not served."""

    port: int
    port_tls: int | None
    port_proxy: int | None
    certificate: FollowedPair | None

    def reload_certificate(self) -> None:
        """Read the certificate again, soon."""
        if self.certificate is not None:
            self.certificate.reload_soon()


@contextlib.asynccontextmanager
async def running(config: Config, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Run a gateway.

    Raises:
        OSError: an address is taken.
        BadCertificate: the certificate cannot be used.
        ManagementError: a file for TLS with the service cannot be used.
    """
    clock = clock or SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        certificate = None
        if config.tls_cert:
            certificate = FollowedPair("scmp", config.tls_cert, config.tls_key, clock)
            await certificate.load()
            await stack.enter_async_context(certificate.following())
        client = await stack.enter_async_context(_client(config))
        security = Security(config.plaintext_login, certificate)
        listener = ScmpListener(client, config, security, clock)
        sockets = _bound(config, with_tls=certificate is not None)
        await listener.start(
            [sockets[name] for name in ("port", "port_proxy") if name in sockets],
            [sockets["port_tls"]] if "port_tls" in sockets else [],
            proxied={sockets["port_proxy"]} if "port_proxy" in sockets else (),
            proxies=Networks(config.proxy_from),
        )
        ports = {name: int(sock.getsockname()[1]) for name, sock in sockets.items()}
        log.info("gateway started", bind=config.bind, **ports, service=config.service)
        running = Running(
            ports["port"], ports.get("port_tls"), ports.get("port_proxy"), certificate
        )
        try:
            yield running
        finally:
            await listener.stop(GRACE_S)
            log.info("gateway stopped")


def _client(config: Config) -> ManagementClient:
    path, tls = config.gateway_secret_file, None
    if config.service_tls_ca:
        tls = ClientTls(
            config.service_tls_ca,
            config.service_tls_cert,
            config.service_tls_key,
            config.service_tls_name,
        )
    return ManagementClient(
        config.service,
        deadline_s=config.deadline,
        tls=tls,
        gateway_secret=SecretFile(path).read if path else None,
    )


def _bound(config: Config, *, with_tls: bool) -> dict[str, socket.socket]:
    """Bind what is to be served, by the option's name.

    Raises:
        OSError: an address is taken; then none is.
    """
    wanted = {"port": config.port}
    if with_tls:
        wanted["port_tls"] = config.port_tls
    if config.port_proxy is not None:
        wanted["port_proxy"] = config.port_proxy
    sockets: dict[str, socket.socket] = {}
    try:
        for name, port in wanted.items():
            sockets[name] = bind(config.bind, port)
    except OSError:
        for sock in sockets.values():
            sock.close()
        raise
    return sockets


async def serve(config: Config) -> None:
    """Run a gateway until SIGTERM or SIGINT."""
    with stop_signals() as stop:
        async with running(config) as gateway:
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, gateway.reload_certificate)
            await stop.wait()
