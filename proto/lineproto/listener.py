"""Listening sockets, the connections that came in through them, and the sweep over these."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Callable, Collection
from functools import partial

from lineproto.clock import Clock
from lineproto.connection import Connection, Dialogue, Via
from lineproto.framing import LongLines
from lineproto.gate import ProxyGate
from lineproto.networks import Networks
from lineproto.stream import Poller

BACKLOG = 1024
"""Connections that wait to be accepted, a socket."""
ACCEPTS_A_TURN = 64
"""Connections accepted from one socket before those there are get their turn."""

Take = Callable[[socket.socket, object], None]
"""What is done with an accepted socket and its peer's address."""


class Listener:
    """Listening sockets and the connections that came in through them.

    A subclass gives each connection its dialogue. ``sweep_s`` is how often silent clients are
    looked for, in seconds: one coarse sweep rather than a timer a command.
    """

    line_limit = 1024
    long_lines: LongLines | None = None
    sweep_s = 1.0

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.count_sent: Callable[[int], None] = _count_nothing
        """Told the octets that are handed to the network."""
        self.connections: set[Connection] = set()
        self._sockets: dict[socket.socket, Take] = {}
        self._resting: list[socket.socket] = []
        self._gate: ProxyGate | None = None
        self._poller: Poller | None = None
        self._stopped = False
        self._sweeper: asyncio.Task[None] | None = None

    # --- for subclasses --------------------

    def dialogue(self, connection: Connection) -> Dialogue:
        """Make the dialogue of a new connection."""
        raise NotImplementedError

    def tls_context(self) -> ssl.SSLContext | None:
        """Give what TLS handshakes that begin now are done with; None where there is no TLS."""
        return None

    def accept_failed(self, error: OSError) -> None:
        """The system has no room for one more connection; accepting goes on in a moment."""

    def proxy_refused(self, peer: str, reason: str) -> None:
        """A connection to a proxies' socket was closed unanswered."""

    def proxies_refused(self, count: int) -> None:
        """So many more were closed since the last sweep."""

    def swept(self) -> None:
        """A sweep is over."""

    # --- connections --------------------

    @property
    def poller(self) -> Poller:
        """The poller of all connections, made in the loop that serves them."""
        if self._poller is None:
            self._poller = Poller()
        return self._poller

    def admit(self, connection: Connection) -> Dialogue:
        """Take a new connection in."""
        self.connections.add(connection)
        return self.dialogue(connection)

    def release(self, connection: Connection) -> None:
        """Let a connection go that has ended."""
        self.connections.discard(connection)
        if self._stopped and not self.connections:
            self.poller.close()

    async def start(
        self,
        sockets: list[socket.socket],
        tls_sockets: list[socket.socket] | None = None,
        *,
        proxied: Collection[socket.socket] = (),
        proxies: Networks | None = None,
    ) -> None:
        """Serve sockets that are bound already; TLS begins at once on ``tls_sockets``.

        Those of them that are ``proxied`` are for ``proxies`` alone, which begin each connection
        with a PROXY header.
        """
        if proxied:
            self._gate = ProxyGate(self, proxies or Networks())
        for with_tls, group in ((False, sockets), (True, tls_sockets or ())):
            for sock in group:
                behind = self._gate.take if self._gate and sock in proxied else self.take
                self._listen(sock, partial(behind, with_tls))
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    def take(
        self, with_tls: bool, sock: socket.socket, address: object, via: Via | None = None
    ) -> None:
        """Make a connection of an accepted socket; one for TLS is closed where there is none."""
        context = self.tls_context() if with_tls else None
        if context is None and with_tls:
            sock.close()
            return
        Connection(self, sock, address, context, via)

    def take_no_more(self) -> None:
        """Stop accepting; what waits in the queues is left to whoever shares the sockets."""
        for sock in self._sockets:
            if sock not in self._resting:
                self.poller.remove(sock.fileno())
            sock.close()
        self._sockets.clear()
        self._resting.clear()

    async def drain(self) -> None:
        """Take no more connections, and come back when those there are have ended by themselves."""
        self.take_no_more()
        while self.connections or (self._gate is not None and self._gate.waits):
            await self.clock.sleep(0.05)

    async def stop(self, grace_s: float) -> int:
        """Take no more connections and end those there are; give how many had to be cut."""
        self.take_no_more()
        if self._gate is not None:
            self._gate.close()
        for connection in list(self.connections):
            connection.stop()
        deadline = self.clock.monotonic() + grace_s
        while self.connections and self.clock.monotonic() < deadline:
            await self.clock.sleep(0.02)
        cut = list(self.connections)
        for connection in cut:
            connection.abort("server is stopping")
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        self._stopped = True
        if not self.connections:
            self.poller.close()
        return len(cut)

    # --- accepting --------------------

    def _listen(self, sock: socket.socket, take: Take) -> None:
        sock.setblocking(False)
        # Connections inherit it: a reply is never held back to be joined with the next.
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.listen(BACKLOG)
        self._sockets[sock] = take
        self._watch(sock)

    def _watch(self, sock: socket.socket) -> None:
        self.poller.add(sock.fileno(), select.EPOLLIN, partial(self._accept, sock))

    def _accept(self, sock: socket.socket, _: int) -> None:
        take = self._sockets[sock]
        for _turn in range(ACCEPTS_A_TURN):
            try:
                own, address = sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:  # it was gone before its turn came
                continue
            except OSError as error:
                # Out of descriptors or memory: looking again at once would only spin; the next
                # sweep does.
                self.poller.remove(sock.fileno())
                self._resting.append(sock)
                self.accept_failed(error)
                return
            take(own, address)

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep(self.sweep_s)
            self._sweep_once()  # on its own: no name here may keep a connection until the next

    def _sweep_once(self) -> None:
        for connection in list(self.connections):
            connection.sweep()
        if self._gate is not None:
            self._gate.sweep()
        self.swept()
        while self._resting:
            try:
                self._watch(self._resting[-1])
            except OSError as error:  # there is still no room
                self.accept_failed(error)
                break
            self._resting.pop()


def _count_nothing(_: int) -> None:
    """Where nobody wants to know."""


def bind(
    host: str, port: int, *, reuse_port: bool = False, dual_stack: bool = True
) -> socket.socket:
    """Bind a TCP socket; an IPv6 one takes IPv4 too if ``dual_stack``. It does not listen yet.

    Raises:
        OSError: the address is taken or not there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual_stack))
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
