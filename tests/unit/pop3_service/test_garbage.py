"""A session that has ended is freed at once: nothing of it waits for the garbage collector."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from lineproto.clock import SystemClock
from lineproto.connection import Connection
from lineproto.framing import LineBuffer
from lineproto.stream import Stream
from pop3_service.control.counters import CounterBoard
from pop3_service.control.plane import Admitted, Credentials, LoginOutcome, Refused
from pop3_service.domain.account import AccountName
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.session import SessionEvent
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import TransformCount
from pop3_service.maildir.maildrop import Maildrop
from pop3_service.maildir.paths import MailPaths, make_folder
from pop3_service.pop3.session import Session
from pop3_service.worker.context import Greeting, WorkerContext
from pop3_service.worker.dialogue import Pop3Dialogue
from pop3_service.worker.listener import Pop3Listener
from pop3_service.worker.maildrops import OpenMaildrop
from pop3mgmt.reasons import Reason
from support.certificates import authority

KINDS = (
    Pop3Dialogue, Connection, Stream, LineBuffer, Session, OpenMaildrop, Maildrop, ssl.SSLSocket,
)  # fmt: skip
SESSIONS = 1000
SOME = 50
WAIT_S = 60
MAIL = b"Subject: hello\n\nsome mail\n"
LARGE = 8 << 20


class Control:
    """Lets in whose password is right."""

    def __init__(self) -> None:
        self.logins: list[LoginEvent] = []

    async def login(self, credentials: Credentials) -> LoginOutcome:
        if credentials.password != b"secret":
            return Refused(Reason.INVALID_CREDENTIALS)
        return Admitted(credentials.name.decode())

    def report(self, event: SessionEvent) -> None:
        """Nobody watches."""

    def report_logins(self, events: list[LoginEvent]) -> None:
        self.logins.extend(events)

    def report_transforms(self, counts: list[TransformCount]) -> None:
        """Nobody counts them."""


class Served:
    """A listener in this loop, and its ports."""

    def __init__(self, root: Path, listener: Pop3Listener, pop3: int, pop3_tls: int) -> None:
        self.root = root
        self.listener = listener
        self.pop3 = pop3
        self.pop3_tls = pop3_tls

    def deliver(self, octets: bytes, name: str) -> None:
        (self.root / "ana/new" / name).write_bytes(octets)

    async def ended(self) -> None:
        """Wait until the server has let go of every connection."""
        async with asyncio.timeout(WAIT_S):
            while self.listener.connections:
                await asyncio.sleep(0)
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    root = tmp_path / "mail"
    root.mkdir()
    make_folder(root, (AccountName("ana"),))
    board = CounterBoard.create(1)
    context = WorkerContext(
        Control(), MailPaths(root), Settings(), Greeting("mail.example", "1.2.3"), board, 0,
        tmp_path / "spool", SystemClock(),
    )  # fmt: skip
    listener = Pop3Listener(context)
    await listener.set_certificates([authority().issue("mail.example").pair])
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [sock.getsockname()[1] for sock in sockets]
    await listener.start(sockets[:1], sockets[1:])
    yield Served(root, listener, *ports)
    await listener.stop(0)
    board.close()


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def living() -> Counter[str]:
    return Counter(type(it).__name__ for it in gc.get_objects() if isinstance(it, KINDS))


class Client:
    """A client that says a few words."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def line(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return await self.reader.readline()

    async def ask(self, command: str) -> bytes:
        self.writer.write(command.encode() + b"\r\n")
        return await self.line()

    async def log_in(self, password: str = "secret") -> bytes:
        await self.ask("USER ana")
        return await self.ask(f"PASS {password}")

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    client = Client(reader, writer)
    try:
        assert (await client.line()).startswith(b"+OK")
        yield client
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def client_context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


async def reads_and_quits(client: Client, served: Served) -> None:
    assert (await client.log_in()).startswith(b"+OK")
    assert await client.ask("RETR 1") == b"+OK 29 octets\r\n"
    while await client.line() != b".\r\n":
        pass
    assert (await client.ask("QUIT")).startswith(b"+OK")
    assert await client.line() == b""


async def goes_without_a_word(client: Client, served: Served) -> None:
    """The greeting was enough."""


async def goes_without_quit(client: Client, served: Served) -> None:
    assert (await client.log_in()).startswith(b"+OK")


async def is_reset(client: Client, served: Served) -> None:
    assert (await client.log_in()).startswith(b"+OK")
    client.reset()


async def is_refused(client: Client, served: Served) -> None:
    assert (await client.log_in("wrong")).startswith(b"-ERR [AUTH]")


async def deletes_and_quits(client: Client, served: Served) -> None:
    served.deliver(MAIL, "2000.M2P1.host")
    assert (await client.log_in()).startswith(b"+OK")
    assert (await client.ask("DELE 2")).startswith(b"+OK")
    assert (await client.ask("QUIT")).startswith(b"+OK 1")


async def goes_while_mail_is_deleted(client: Client, served: Served) -> None:
    served.deliver(MAIL, "2000.M2P1.host")
    assert (await client.log_in()).startswith(b"+OK")
    client.writer.write(b"DELE 2\r\nQUIT\r\n")
    await client.line()
    client.reset()


async def goes_in_the_middle_of_a_message(client: Client, served: Served) -> None:
    if not (served.root / "ana/new/3000.M3P1.host").exists():
        served.deliver(b"x" * 998 + b"\n" + b"y" * LARGE, "3000.M3P1.host")
    assert (await client.log_in()).startswith(b"+OK")
    assert (await client.ask("RETR 2")).startswith(b"+OK")
    await client.line()
    client.reset()


async def secures_itself_and_quits(client: Client, served: Served) -> None:
    assert (await client.ask("STLS")).startswith(b"+OK")
    await client.writer.start_tls(client_context())
    await reads_and_quits(client, served)


async def speaks_no_tls(client: Client, served: Served) -> None:
    assert (await client.ask("STLS")).startswith(b"+OK")
    client.writer.write(b"USER ana\r\n")
    with contextlib.suppress(ConnectionError):
        assert not (await client.reader.read()).startswith(b"+OK")


async def is_disconnected(client: Client, served: Served) -> None:
    assert (await client.log_in()).startswith(b"+OK")
    [dialogue] = served.listener._dialogues.values()
    dialogue.disconnect()
    del dialogue
    assert await client.line() == b""


ENDS: tuple[Callable[[Client, Served], Awaitable[None]], ...] = (
    reads_and_quits, goes_without_a_word, goes_without_quit, is_reset, is_refused,
    deletes_and_quits, goes_while_mail_is_deleted, goes_in_the_middle_of_a_message,
    secures_itself_and_quits, speaks_no_tls, is_disconnected,
)  # fmt: skip


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_nothing_of_a_session_is_left_however_it_ends(
    served: Served, end: Callable[[Client, Served], Awaitable[None]]
) -> None:
    served.deliver(MAIL, "1000.M1P1.host")
    before = living()
    for _ in range(SOME):
        async with connected(served.pop3) as client:
            await end(client, served)
        await served.ended()
    del client
    with contextlib.suppress(TimeoutError):  # the poller may still be at its last turn
        async with asyncio.timeout(WAIT_S):
            while living() - before:
                await asyncio.sleep(0)
    assert living() - before == Counter()


@pytest.mark.usefixtures("no_collector")
async def test_a_session_that_a_sweep_has_seen_is_let_go_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept, sweep = asyncio.Event(), Connection.sweep
    monkeypatch.setattr(Connection, "sweep", lambda self: (sweep(self), swept.set()))
    before = living()
    async with connected(served.pop3) as client, asyncio.timeout(WAIT_S):
        await swept.wait()
    await served.ended()
    del client
    with contextlib.suppress(TimeoutError):  # the poller may still be at its last turn
        async with asyncio.timeout(WAIT_S):
            while living() - before:
                await asyncio.sleep(0)
    assert living() - before == Counter()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("in_tls", [False, True], ids=["clear", "TLS"])
async def test_a_thousand_sessions_leave_nothing(served: Served, in_tls: bool) -> None:
    served.deliver(MAIL, "1000.M1P1.host")
    tls = client_context() if in_tls else None
    connect = partial(connected, served.pop3_tls if in_tls else served.pop3, tls)
    before = living()
    for _ in range(SESSIONS // 10 if in_tls else SESSIONS):
        async with connect() as client:
            await reads_and_quits(client, served)
    await served.ended()
    del client
    with contextlib.suppress(TimeoutError):  # the poller may still be at its last turn
        async with asyncio.timeout(WAIT_S):
            while living() - before:
                await asyncio.sleep(0)
    assert living() - before == Counter()
