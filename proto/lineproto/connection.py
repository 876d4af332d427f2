"""The connection loop that POP3 and SCMP share: lines in, replies out, both bounded.

A connection holds no task while it is idle. A command that cannot be answered at once becomes the
connection's one task; until it ends no further line is looked at, and reading stops when enough
waits. So pipelining has no limit but back pressure, and a client that does not read costs no more
than the write buffer.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol, cast

from lineproto.clock import Clock
from lineproto.framing import LineBuffer, LineTooLong

READ_HIGH = 64 * 1024
"""Octets waiting unread in a connection at which it stops reading."""
WRITE_HIGH = 64 * 1024
"""Octets waiting unsent at which a connection stops answering."""
COMMANDS_A_TURN = 100
"""Commands answered before other connections get their turn."""
MAX_DROPPED = 1024 * 1024
"""Octets of overlong lines after which a connection is closed."""
LINGER_S = 2.0
"""How long a closed connection still takes in what the client had already sent."""

Answer = bytes | Coroutine[Any, Any, bytes]


class Dialogue(Protocol):
    """What is spoken over a connection."""

    finished: bool
    """True once the connection is to be closed, after the last reply."""
    interruptible: bool
    """False while the work in progress must end even if the client is gone."""

    def greet(self) -> bytes:
        """Give the greeting."""

    def receive(self, line: bytes) -> Answer:
        """Answer a line: at once, or by a coroutine that may write before it returns."""

    def line_too_long(self) -> bytes:
        """Answer a line that passed the limit."""

    def refuse_stopping(self) -> bytes:
        """Answer a line that came while the server stops."""

    def failed(self, error: Exception) -> bytes:
        """Log an error that nobody foresaw; give the reply before the connection closes."""

    def idle_limit_s(self) -> float:
        """Seconds without a complete command after which the connection closes."""

    def lost(self, reason: str) -> None:
        """The connection is gone; let go of everything."""


class Connection(asyncio.Protocol):
    """One connection. A dialogue writes through it and waits in ``drain``."""

    __slots__ = (
        "_clock",
        "_closing",
        "_dialogue",
        "_eof",
        "_last_active",
        "_lines",
        "_linger_s",
        "_listener",
        "_lost",
        "_pumping",
        "_reading",
        "_reason",
        "_stopping",
        "_task",
        "_transport",
        "_waiter",
        "_writable",
        "local",
        "peer",
        "sent_bytes",
    )

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._clock = listener.clock
        self._lines = LineBuffer(listener.line_limit)
        self._transport: asyncio.Transport
        self._dialogue: Dialogue
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable = True
        self._reading = True
        self._closing = False
        self._stopping = False
        self._linger_s = 0.0
        self._eof = False
        self._lost = False
        self._pumping = False
        self._reason = ""
        self._last_active = self._clock.monotonic()
        self.peer = ""
        self.local = ""
        self.sent_bytes = 0

    # --- what a dialogue uses --------------------

    def write(self, octets: bytes) -> None:
        """Send octets; a connection that is gone takes them silently."""
        if octets and not self._transport.is_closing():
            # Counted first: whoever has read a reply finds it in the count.
            self.sent_bytes += len(octets)
            self._listener.count_sent(len(octets))
            self._transport.write(octets)

    async def drain(self) -> None:
        """Wait until more may be written.

        Raises:
            ConnectionResetError: the connection is gone.
        """
        if self._transport.is_closing():
            raise ConnectionResetError("connection lost")
        if self._writable:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self, reason: str) -> None:
        """Close after what is written has gone out, whatever was going on."""
        if not self._closing:
            self._close(reason)

    def abort(self, reason: str) -> None:
        """Close at once; what waits unsent is dropped."""
        self._reason = self._reason or reason
        self._transport.abort()

    def idle_s(self) -> float:
        """Seconds since the last complete command, or the last progress in sending."""
        return self._clock.monotonic() - self._last_active

    # --- what asyncio calls --------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)
        self.peer = address_text(transport.get_extra_info("peername"))
        self.local = address_text(transport.get_extra_info("sockname"))
        self._dialogue = self._listener.admit(self)
        self.write(self._dialogue.greet())
        if self._dialogue.finished:
            self._close("refused")

    def data_received(self, data: bytes) -> None:
        """Take octets and answer what is complete."""
        if self._closing:
            return
        self._lines.feed(data)
        self._pump()

    def eof_received(self) -> bool:
        """The client sends no more: answer what it has sent, then close."""
        self._eof = True
        if self._closing:
            return False
        self._pump()
        return True

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        self._writable = False

    def resume_writing(self) -> None:
        """There is room again."""
        self._writable = True
        self._last_active = self._clock.monotonic()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything; a commit in progress goes on by itself."""
        self._closing = True
        self._lost = True
        reason = self._reason or ("connection reset" if exc else "connection closed by client")
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError("connection lost"))
        self._reason = reason
        if self._task is None:
            self._forget()
        elif self._dialogue.interruptible:
            self._task.cancel()

    # --- the loop --------------------

    def _pump(self, scheduled: bool = False) -> None:
        """Answer complete lines until one takes time, the client stops reading, or no more."""
        if self._pumping and not scheduled:
            return
        self._pumping = False
        replies: list[bytes] = []
        budget = COMMANDS_A_TURN
        while self._ready() and (answer := self._next_answer()) is not None:
            if isinstance(answer, bytes):
                replies.append(answer)
                if self._dialogue.finished:
                    break
                budget -= 1
                if not budget:
                    self._pumping = True
                    asyncio.get_running_loop().call_soon(self._pump, True)
                    break
                if len(answer) > 1024:  # see whether the client reads before it gets more
                    self.write(b"".join(replies))
                    replies.clear()
            else:
                self.write(b"".join(replies))
                replies.clear()
                self._task = asyncio.get_running_loop().create_task(self._work(answer))
                self._task.add_done_callback(partial(self._worked, answer=answer))
        if replies:
            self.write(b"".join(replies))
        self._settle()

    def _ready(self) -> bool:
        # A dialogue that has finished answers nothing more, whatever was sent behind its end.
        return (
            self._task is None
            and self._writable
            and not self._closing
            and not self._dialogue.finished
        )

    def _next_answer(self) -> Answer | None:
        try:
            line = self._lines.next_line()
        except LineTooLong:
            return self._dialogue.line_too_long()
        if line is None:
            return None
        self._last_active = self._clock.monotonic()
        if self._stopping:
            self._dialogue.finished = True
            return self._dialogue.refuse_stopping()
        try:
            return self._dialogue.receive(line)
        except Exception as error:  # the one funnel: a fault of ours ends this session alone
            self._dialogue.finished = True
            return self._dialogue.failed(error)

    async def _work(self, answer: Coroutine[Any, Any, bytes]) -> None:
        """Run the one command that takes time."""
        try:
            self.write(await answer)
        except ConnectionResetError:
            self._transport.abort()
        except Exception as error:  # the same funnel
            self._dialogue.finished = True
            self.write(self._dialogue.failed(error))

    def _worked(self, task: asyncio.Task[None], answer: Coroutine[Any, Any, bytes]) -> None:
        """The command is done, or was cancelled, perhaps before it began."""
        answer.close()
        self._task = None
        self._last_active = self._clock.monotonic()
        if self._lost:
            self._forget()
        elif self._closing:
            self._end()
        else:
            self._pump()

    def _settle(self) -> None:
        """Close if it is time to, and read only while there is room for more."""
        if self._closing or self._task is not None or self._pumping:
            pass
        elif self._dialogue.finished:
            self._close("session ended")
        elif self._writable and self._eof:
            self._close("connection closed by client")
        elif self._writable and self._stopping:
            self._close("server is stopping")
        elif self._lines.dropped > MAX_DROPPED:
            self._close("line too long")
        if self._closing:
            return
        wanted = len(self._lines) < READ_HIGH
        if wanted is not self._reading and not self._eof:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _close(self, reason: str) -> None:
        """Close in order: what is written goes out first."""
        self._closing = True
        self._reason = self._reason or reason
        self._last_active = self._clock.monotonic()
        if self._task is None:
            self._end()
        elif self._dialogue.interruptible:
            self._task.cancel()
        # What must not be interrupted ends first, and its reply goes out.

    def _end(self) -> None:
        """Close the transport once nothing is left to say.

        A socket closed with octets unread answers with a reset, which can destroy the last
        reply on its way; so input that still waits is taken in and dropped for a moment. And
        while the server stops, the client closes first: what it has not taken from the network
        yet could go with the server's container.
        """
        pending = len(self._lines) > 0 or self._lines.dropped > 0 or not self._reading
        self._lines.clear()
        if (pending or self._linger_s) and not self._eof and self._transport.can_write_eof():
            if not self._reading:
                self._transport.resume_reading()
            self._transport.write_eof()
        else:
            self._transport.close()

    def _forget(self) -> None:
        dialogue = self._dialogue
        self._listener.connections.discard(self)
        dialogue.lost(self._reason)

    # --- what the listener calls --------------------

    def stop(self) -> None:
        """Finish the command in progress, then close."""
        self._stopping = True
        if self._task is not None or self._transport.get_write_buffer_size() > 0:
            self._linger_s = math.inf  # the listener's grace ends it
        elif self.idle_s() < LINGER_S:
            self._linger_s = LINGER_S
        self._pump()

    def sweep(self) -> None:
        """Close the connection if its client has been silent for too long."""
        idle = self.idle_s()
        if self._closing:
            if idle > max(LINGER_S, self._linger_s) and self._task is None:
                unsent = self._transport.get_write_buffer_size() > 0
                if not unsent or idle > self._dialogue.idle_limit_s():
                    self._transport.abort()
        elif (self._task is None or not self._writable) and idle > self._dialogue.idle_limit_s():
            self._reason = "idle"
            if self._writable:
                self._close("idle")
            else:
                self.abort("idle")


class Listener:
    """Listening sockets and the connections that came in through them.

    A subclass gives each connection its dialogue. ``sweep_s`` is how often silent clients are
    looked for, in seconds: one coarse sweep rather than a timer a command.
    """

    line_limit = 1024
    sweep_s = 1.0

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.Task[None] | None = None

    def dialogue(self, connection: Connection) -> Dialogue:
        """Make the dialogue of a new connection."""
        raise NotImplementedError

    def admit(self, connection: Connection) -> Dialogue:
        """Take a new connection in."""
        self.connections.add(connection)
        return self.dialogue(connection)

    def count_sent(self, octets: int) -> None:
        """Count octets handed to the network."""

    async def start(self, sockets: list[socket.socket]) -> None:
        """Serve the sockets, which are bound already."""
        loop = asyncio.get_running_loop()
        for sock in sockets:
            server = await loop.create_server(lambda: Connection(self), sock=sock, backlog=1024)
            self._servers.append(server)
        self._sweeper = loop.create_task(self._sweep())

    async def stop(self, grace_s: float) -> int:
        """Take no more connections and end those there are; give how many had to be cut."""
        for server in self._servers:
            server.close()
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
        return len(cut)

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep(self.sweep_s)
            for connection in list(self.connections):
                connection.sweep()


def address_text(address: object) -> str:
    """Write a socket address the usual way; an IPv4-mapped IPv6 address is the IPv4 address."""
    if not isinstance(address, tuple) or len(address) < 2:
        return "unknown"
    host, port = str(address[0]), address[1]
    host = host.removeprefix("::ffff:") if "." in host else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
