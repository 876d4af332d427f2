"""All accounts may be others from one moment to the next: what a worker does with its sessions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lineproto.clock import SystemClock
from pop3_service.control.counters import CounterBoard
from pop3_service.control.plane import Admitted, Credentials, DisconnectOrder, LoginOutcome
from pop3_service.domain.account import AccountName
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import TransformCount
from pop3_service.maildir.paths import MailPaths, make_folder
from pop3_service.worker.context import Greeting, WorkerContext
from pop3_service.worker.listener import Pop3Listener

ALL = DisconnectOrder(everybody=True, forget=True)


class Control:
    """Lets everybody in, once it may."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may = asyncio.Event()
        self.count = 0

    async def login(self, credentials: Credentials) -> LoginOutcome:
        self.count += 1
        self.asked.set()
        await self.may.wait()
        return Admitted(credentials.name.decode())

    def report_logins(self, events: list[LoginEvent]) -> None:
        """Nobody keeps them."""

    def report_transforms(self, counts: list[TransformCount]) -> None:
        """Nobody counts them."""


class Client:
    """A connection that is read line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def line(self) -> str:
        return (await asyncio.wait_for(self._reader.readline(), 20)).decode().rstrip()

    async def begin(self, name: str) -> None:
        self.writer.write(f"USER {name}\r\nPASS secret\r\n".encode())
        assert (await self.line()).startswith("+OK")


class Served:
    """A listener and what it asks."""

    def __init__(self, listener: Pop3Listener, control: Control, port: int) -> None:
        self.listener, self.control, self._port = listener, control, port

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self._port))
        assert (await client.line()).startswith("+OK")
        return client


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    root = tmp_path / "mail"
    root.mkdir()
    for name in ("ana", "eva"):
        make_folder(root, (AccountName(name),))
    board, control = CounterBoard.create(1), Control()
    context = WorkerContext(
        control, MailPaths(root), Settings(), Greeting("mail.example", "1"), board, 0,  # type: ignore[arg-type]
        tmp_path / "spool", SystemClock(),
    )  # fmt: skip
    listener = Pop3Listener(context)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await listener.start([sock], [])
    yield Served(listener, control, port)
    await listener.stop(0)
    board.close()


async def test_every_session_ends_and_nobody_is_remembered(served: Served) -> None:
    served.control.may.set()
    clients = [await served.connect() for _ in range(2)]
    unnamed = await served.connect()
    for client, name in zip(clients, ("ana", "eva"), strict=True):
        await client.begin(name)
        assert await client.line() == "+OK Logged in"
    assert await served.listener.disconnect(ALL) == 2
    for client in clients:
        assert await client.line() == ""
        client.writer.close()
    # Who has not logged in goes on, and is asked about anew.
    await unnamed.begin("ana")
    assert await unnamed.line() == "+OK Logged in"
    assert served.control.count == 3
    unnamed.writer.close()


async def test_a_login_under_way_is_to_be_tried_again_and_is_not_remembered(
    served: Served,
) -> None:
    client = await served.connect()
    await client.begin("ana")
    await asyncio.wait_for(served.control.asked.wait(), 20)
    assert await served.listener.disconnect(ALL) == 0
    served.control.may.set()
    # Not [AUTH]: a mail program would ask its user for another password.
    assert (await client.line()).startswith("-ERR [SYS/TEMP]")
    await client.begin("ana")
    assert await client.line() == "+OK Logged in"
    assert served.control.count == 2
    client.writer.close()
