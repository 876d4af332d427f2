"""A dialogue that tests steer, over real sockets, and a client that reads only when told to.

Nothing here waits for time to pass: ``turns`` and ``until`` let the loop go round.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Iterable

from lineproto.connection import Connection
from lineproto.listener import Listener
from lineproto.stream import Stream
from pop3_service.worker.tls import server_context
from support.certificates import authority
from support.tls import TlsEnd, client_context
from unit.pop3_service.clock import FakeClock

BIG = b"x" * 9_998 + b"\r\n"
IDLE_S = 600.0
SERVER = server_context([authority().issue("talks.example").pair])
"""What every handshake of the server is done with."""


async def turns(count: int = 20) -> None:
    """Let the loop go round, so that what is on its way arrives."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(fact: Callable[[], object]) -> None:
    """Let the loop go round until the fact holds."""
    async with asyncio.timeout(60):
        while not fact():
            await asyncio.sleep(0)


class Talk:
    """A dialogue: most lines come back as they are, the others are in the table of ``receive``."""

    def __init__(self, connection: Connection, heard: list[tuple["Talk", bytes]]) -> None:
        self.finished = False
        self.interruptible = True
        self.connection = connection
        self.heard = heard
        self.go = asyncio.Event()
        self.outcomes: list[str] = []
        self.faults: list[Exception] = []
        self.lost_reasons: list[str] = []

    @property
    def lines(self) -> list[bytes]:
        return [line for talk, line in self.heard if talk is self]

    def greet(self) -> bytes:
        return b"hello\r\n"

    def receive(self, line: bytes):
        self.heard.append((self, line))
        match line:
            case b"quit":
                self.finished = True
                return b"bye\r\n"
            case b"big":
                return BIG
            case b"nothing":
                return b""
            case b"fault":
                raise ValueError("at once")
            case b"wait" | b"commit" | b"late fault" | b"break":
                return self._wait(line)
            case b"stream":
                return self._stream()
            case b"stls":
                self.connection.start_tls(SERVER)
                return b"go\r\n"
        return line + b"\r\n"

    async def _wait(self, line: bytes) -> bytes:
        self.interruptible = line != b"commit"
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.outcomes.append("cancelled")
            raise
        if line == b"late fault":
            raise ValueError("later")
        if line == b"break":
            raise ConnectionResetError("the message broke")
        self.outcomes.append("done")
        return line + b" done\r\n"

    async def _stream(self) -> bytes:
        try:
            for _ in range(100):
                self.connection.write(BIG * 3)
                await self.connection.drain()
        except ConnectionResetError:
            self.outcomes.append("reset")
            raise
        except asyncio.CancelledError:
            self.outcomes.append("cancelled")
            raise
        return b"end\r\n"

    def line_too_long(self) -> bytes:
        return b"too long\r\n"

    def refuse_stopping(self) -> bytes:
        return b"stopping\r\n"

    def failed(self, error: Exception) -> bytes:
        self.faults.append(error)
        return b"fault\r\n"

    def idle_limit_s(self) -> float:
        return IDLE_S

    def lost(self, reason: str) -> None:
        self.lost_reasons.append(reason)


class Client:
    """The other end: a plain socket that reads only when it is told to."""

    def __init__(self, end: socket.socket, talk: Talk, transport: Stream) -> None:
        self.socket = end
        self.talk = talk
        self.transport = transport
        self._unread = b""

    async def send(self, octets: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, octets)

    async def receive(self) -> bytes:
        """Whatever is there, at least one octet; b"" once the server has closed."""
        async with asyncio.timeout(60):
            return await asyncio.get_running_loop().sock_recv(self.socket, 1 << 20)

    async def line(self) -> bytes:
        while b"\n" not in self._unread:
            octets = await self.receive()
            assert octets, "the server closed within a line"
            self._unread += octets
        line, _, self._unread = self._unread.partition(b"\n")
        return line.removesuffix(b"\r")

    async def ask(self, line: bytes) -> bytes:
        await self.send(line + b"\r\n")
        return await self.line()

    async def fill(self, line: bytes) -> int:
        """Send a line again and again until the server takes no more; give how often."""
        octets = (line + b"\r\n") * 100
        sent = quiet = 0
        while quiet < 100:
            try:
                sent += self.socket.send(octets[sent % (len(line) + 2) :])
                quiet = 0
            except BlockingIOError:
                quiet += 1
            await asyncio.sleep(0)
            assert sent < 1 << 24, "the server reads without end"
        return sent // (len(line) + 2)

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        while octets := await self.receive():
            self._unread += octets
        return self._unread

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    @property
    def ended(self) -> list[str]:
        """Why the connection was lost: empty while it lives, and never more than one reason."""
        return self.talk.lost_reasons


class TlsClient(Client):
    """A client in TLS, or about to be. ``cuts`` are the sizes in which its records arrive."""

    def __init__(self, client: Client, context: ssl.SSLContext | None = None) -> None:
        super().__init__(client.socket, client.talk, client.transport)
        self.end = TlsEnd(context or client_context())
        self.notified = False
        self.cuts: Iterable[int] = ()

    async def send(self, octets: bytes) -> None:
        await self.send_raw(self.end.encrypt(octets))

    async def send_raw(self, records: bytes) -> None:
        for size in self.cuts:
            if not records:
                return
            await super().send(records[:size])
            records = records[size:]
            await turns(2)
        await super().send(records)

    async def receive(self) -> bytes:
        records = b""  # those that came behind the handshake's last are there already
        while not (octets := self.end.decrypt(records)):
            if octets is None:
                self.notified = True
                return b""
            records = await super().receive()
            if not records:
                return b""
        return octets

    async def handshake(self) -> None:
        records = b""
        while True:
            await self.send_raw(self.end.handshake(records))
            if self.end.established:
                return
            records = await super().receive()
            assert records, "the server closed within the handshake"

    async def say_goodbye(self) -> None:
        """Send a close_notify and nothing more."""
        await self.send_raw(self.end.goodbye())
        self.half_close()


class Talks(Listener):
    """A listener whose connections talk; ``connect`` gives the other end of a new one."""

    line_limit = 100

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.heard: list[tuple[Talk, bytes]] = []
        self.talks: list[Talk] = []
        self.sent_bytes = 0
        self.count_sent = self._count
        self.refusing = False
        self.accept_errors: list[OSError] = []
        self._ends: list[socket.socket] = []

    def dialogue(self, connection: Connection) -> Talk:
        talk = Talk(connection, self.heard)
        talk.finished = self.refusing
        self.talks.append(talk)
        return talk

    def _count(self, octets: int) -> None:
        self.sent_bytes += octets

    async def connect(self, *, greeted: bool = True) -> Client:
        client = self._connect(None)
        if greeted:
            assert await client.line() == b"hello"
        return client

    async def connect_tls(
        self, context: ssl.SSLContext | None = None, *, greeted: bool = True
    ) -> TlsClient:
        """A connection in TLS from its first octet; without a handshake unless ``greeted``."""
        client = TlsClient(self._connect(SERVER), context)
        if greeted:
            await client.handshake()
            assert await client.line() == b"hello"
        return client

    def tls_context(self) -> ssl.SSLContext | None:
        return SERVER

    def accept_failed(self, error: OSError) -> None:
        self.accept_errors.append(error)

    def _connect(self, context: ssl.SSLContext | None) -> Client:
        end, own = socket.socketpair()
        self._ends.append(end)
        end.setblocking(False)
        for one in (end, own):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        connection = Connection(self, own, "", context)
        return Client(end, self.talks[-1], connection._stream)

    async def close(self) -> None:
        for end in self._ends:
            end.close()
        for talk in self.talks:
            talk.go.set()
        await until(lambda: not self.connections)
        self.poller.close()
