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
import ssl
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lineproto.framing import LineBuffer, LineTooLong
from lineproto.stream import Stream

if TYPE_CHECKING:
    from lineproto.listener import Listener

READ_HIGH = 64 * 1024
"""Octets waiting unread in a connection at which it stops reading."""
WRITE_HIGH = 64 * 1024
"""Octets waiting unsent at which a connection stops answering."""
COMMANDS_A_TURN = 100
"""Commands answered before other connections get their turn."""
OCTETS_A_COMMAND = 4096
"""A reply counts as one more command for so many octets."""
MAX_DROPPED = 1024 * 1024
"""Octets of overlong lines after which a connection is closed."""
LINGER_S = 2.0
"""How long a closed connection still takes in what the client had already sent."""
CLOSED_BY_CLIENT = "connection closed by client"
"""The reason of an end that a client brought about in order."""
HANDSHAKE_S = 30.0
"""How long a TLS handshake may take."""

Answer = bytes | Coroutine[Any, Any, bytes]


class Via(NamedTuple):
    """A proxy that a connection came through.

    ``itself`` says that the proxy speaks for itself, as health checks do. ``tls`` is the version
    and cipher of the TLS that the client speaks with the proxy; empty where there is none.
    """

    proxy: str
    itself: bool
    tls: str


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


class Connection:
    """One connection. A dialogue writes through it and waits in ``drain``."""

    __slots__ = (
        "_clock",
        "_closing",
        "_dialogue",
        "_eof",
        "_greeted",
        "_last_active",
        "_lines",
        "_linger_s",
        "_listener",
        "_lost",
        "_pumping",
        "_reading",
        "_reason",
        "_securing",
        "_stopping",
        "_stream",
        "_task",
        "_waiter",
        "_writable",
        "begins_in_tls",
        "peer",
        "sent_bytes",
        "via",
    )

    def __init__(
        self,
        listener: Listener,
        sock: socket.socket,
        address: object,
        context: ssl.SSLContext | None = None,
        via: Via | None = None,
    ) -> None:
        """Take an accepted socket in and greet, after a TLS handshake if there is a context.

        ``address`` is the client's, also where it came ``via`` a proxy.
        """
        self._listener = listener
        self._clock = listener.clock
        self._lines = LineBuffer(listener.line_limit, listener.long_lines)
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
        self._greeted = False
        self._securing: ssl.SSLContext | None = None
        self._reason = ""
        self._last_active = self._clock.monotonic()
        self.peer = address_text(address)
        self.sent_bytes = 0
        self.begins_in_tls = context is not None
        self.via = via
        self._stream = Stream(sock, listener.poller, self, write_high=WRITE_HIGH)
        self._dialogue = listener.admit(self)
        if context is None:
            self._greet()
        else:
            self._stream.start_tls(context)

    # --- what a dialogue uses --------------------

    def write(self, octets: bytes) -> None:
        """Send octets; a connection that is gone takes them silently."""
        if octets and not self._stream.is_closing():
            # Counted first: whoever has read a reply finds it in the count.
            self.sent_bytes += len(octets)
            self._listener.count_sent(len(octets))
            self._stream.write(octets)

    async def drain(self) -> None:
        """Wait until more may be written.

        Raises:
            ConnectionResetError: the connection is gone.
        """
        if self._stream.is_closing():
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
        self._stream.abort()

    def idle_s(self) -> float:
        """Seconds since the last complete command, or the last progress in sending."""
        return self._clock.monotonic() - self._last_active

    @property
    def local(self) -> str:
        """The address of this end."""
        return address_text(self._stream.local_address())

    @property
    def is_tls(self) -> bool:
        """Whether what is said now is said in TLS."""
        return self._stream.is_tls

    @property
    def tls_context(self) -> ssl.SSLContext | None:
        """The context that the client was given, by the name it asked for; None in clear text."""
        return self._stream.tls_context

    @property
    def tls_version(self) -> str:
        """The TLS version and cipher; empty in clear text. It is known to the end and after."""
        return self._stream.tls_version

    def limit_lines(self, octets: int) -> None:
        """Say how long the lines to come may be; no longer than ``READ_HIGH``."""
        self._lines.limit = octets

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Begin a TLS handshake right after the reply to the present line.

        Whatever was received with that line or comes before the handshake is thrown away, a
        partial line too (RFC 2595 section 4).
        """
        self._securing = context

    # --- what the stream calls --------------------

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

    def tls_established(self) -> None:
        """What is said from now on is in TLS."""
        self._last_active = self._clock.monotonic()
        if not self._greeted:
            self._greet()

    def resume_writing(self) -> None:
        """There is room again."""
        self._writable = True
        self._last_active = self._clock.monotonic()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._pump()

    def connection_lost(self, error: Exception | None) -> None:
        """Let go of everything; a commit in progress goes on by itself."""
        self._closing = True
        self._lost = True
        self._reason = self._reason or _why_lost(error)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError("connection lost"))
        if self._task is None:
            self._forget()
        elif self._dialogue.interruptible:
            self._task.cancel()

    # --- the loop --------------------

    def _greet(self) -> None:
        self._greeted = True
        self.write(self._dialogue.greet())
        if self._dialogue.finished:
            self._close("refused")
        elif self._stopping:
            self._close("server is stopping")

    def _pump(self, scheduled: bool = False) -> None:
        """Answer complete lines until one takes time, the client stops reading, or no more."""
        if self._pumping and not scheduled:
            return
        self._pumping = False
        lines = self._lines
        replies: list[bytes] = []
        budget = COMMANDS_A_TURN
        # A dialogue that has finished answers nothing more, whatever was sent behind its end.
        while (
            self._task is None
            and self._writable
            and not self._closing
            and not self._dialogue.finished
            and (answer := self._next_answer()) is not None
        ):
            if isinstance(answer, bytes):
                replies.append(answer)
                if not lines.waiting or self._dialogue.finished or self._securing is not None:
                    break
                budget -= 1 + len(answer) // OCTETS_A_COMMAND
                if budget <= 0:
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
            self.write(b"".join(replies) if len(replies) > 1 else replies[0])
        if self._securing is not None:
            self._secure(self._securing)
        self._settle()

    def _secure(self, context: ssl.SSLContext) -> None:
        """Forget what was sent in clear text, and begin the handshake once the reply is out."""
        self._securing = None
        self._lines.clear()
        if self._dialogue.finished or self._closing:
            return
        if self._eof:
            self._close(CLOSED_BY_CLIENT)
            return
        if not self._reading:
            self._reading = True
            self._stream.resume_reading()
        self._stream.start_tls(context)

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
            self._stream.abort()
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
        lines = self._lines
        if (
            self._reading
            and not self._closing
            and self._task is None
            and not lines.waiting
            and not lines.dropped
            and not (self._eof or self._stopping or self._pumping or self._dialogue.finished)
        ):
            return  # as most often: the next command is to come
        if self._closing or self._task is not None or self._pumping:
            pass
        elif self._dialogue.finished:
            self._close("session ended")
        elif self._writable and self._eof:
            self._close(CLOSED_BY_CLIENT)
        elif self._writable and self._stopping:
            self._close("server is stopping")
        elif lines.dropped > MAX_DROPPED:
            self._close("line too long")
        if self._closing:
            return
        wanted = lines.waiting <= READ_HIGH  # one more octet may show that a line is too long
        if wanted is not self._reading and not self._eof:
            self._reading = wanted
            if wanted:
                self._stream.resume_reading()
            else:
                self._stream.pause_reading()

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
        pending = (
            self._lines.waiting > 0
            or self._lines.dropped > 0
            or not self._reading
            or self._stream.has_unread_records()
        )
        self._lines.clear()
        if (pending or self._linger_s) and not self._eof and not self._stream.is_handshaking:
            if not self._reading:
                self._stream.resume_reading()
            self._stream.write_eof()
        else:
            self._stream.close()

    def _forget(self) -> None:
        self._listener.release(self)
        self._dialogue.lost(self._reason)
        # It knows this connection. Without the ring all is freed at once, and not when the
        # garbage collector comes, for whom everybody's session waits.
        del self._dialogue

    # --- what the listener calls --------------------

    def stop(self) -> None:
        """Finish the command in progress, then close."""
        self._stopping = True
        if self._stream.is_handshaking:
            self._close("server is stopping")
        elif self._task is not None or self._stream.get_write_buffer_size() > 0:
            self._linger_s = math.inf  # the listener's grace ends it
        elif self.idle_s() < LINGER_S:
            self._linger_s = LINGER_S
        self._pump()

    def sweep(self) -> None:
        """Close the connection if its client has been silent for too long."""
        try:
            self._sweep()
        except Exception as error:  # the same funnel: all others are swept, now and later
            self._dialogue.failed(error)
            self.abort("internal error")

    def _sweep(self) -> None:
        idle = self.idle_s()
        if self._stream.is_handshaking and not self._closing:
            # One too many is only to be told so: it must not hold a descriptor for long.
            if idle > (LINGER_S if self._dialogue.finished else HANDSHAKE_S):
                self.abort("TLS handshake took too long")
        elif self._closing:
            if idle > max(LINGER_S, self._linger_s) and self._task is None:
                unsent = self._stream.get_write_buffer_size() > 0
                if not unsent or idle > self._dialogue.idle_limit_s():
                    self._stream.abort()
        elif (self._task is None or not self._writable) and idle > self._dialogue.idle_limit_s():
            self._reason = "idle"
            if self._writable:
                self._close("idle")
            else:
                self.abort("idle")


def _why_lost(error: Exception | None) -> str:
    if error is None:
        return CLOSED_BY_CLIENT
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error.strerror or 'unknown'}"
    return "connection reset"


def address_text(address: object) -> str:
    """Write a socket address the usual way; an IPv4-mapped IPv6 address is the IPv4 address."""
    if not isinstance(address, tuple) or len(address) < 2:
        return "unknown"
    host, port = str(address[0]), address[1]
    host = host.removeprefix("::ffff:") if "." in host else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
