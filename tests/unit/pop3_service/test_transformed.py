"""What a session says of mail that goes through a transform, over a real connection."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lineproto.clock import SystemClock
from pop3_service.control.counters import CounterBoard
from pop3_service.control.plane import Admitted, Credentials, LoginOutcome
from pop3_service.domain.account import USER_FACTS, AccountFacts, AccountName
from pop3_service.domain.audit import LoginEvent
from pop3_service.domain.errors import TransformFailed
from pop3_service.domain.preferences import Preferences
from pop3_service.domain.settings import Settings
from pop3_service.domain.subject import EVERYONE
from pop3_service.domain.transforms import (
    Activation,
    ActiveTransforms,
    Mode,
    OnFailure,
    Transform,
    TransformCount,
    TransformTable,
    total,
)
from pop3_service.maildir.paths import MailPaths, make_folder
from pop3_service.worker import shadows, transformed
from pop3_service.worker.context import Greeting, WorkerContext
from pop3_service.worker.listener import Pop3Listener
from pop3_service.worker.shadows import MOST_WAITING, Shadows
from support.fake_transform import FakePrograms

WAIT_S = 30
SHORT = b"Subject: a\n\nabc\n"
LONG = b"Subject: b\r\n\r\nabc\r\n.def\r\n"
UTF8 = b"Subject: caf\xc3\xa9\n\nabc\n"


def growing(octets: bytes) -> bytes:
    return octets + b"one more line\n"


def upper(octets: bytes) -> bytes:
    return octets.upper()


def ascii_only(octets: bytes) -> bytes:
    return octets.decode().encode("ascii", "replace")


def failing_on_b(octets: bytes) -> bytes:
    if b"Subject: b" in octets:
        raise TransformFailed("status 1")
    return growing(octets)


def transform(id_: int, name: str, on_failure: OnFailure = OnFailure.REFUSE) -> Transform:
    return Transform(id_, "", 1, name, ((name,),), on_failure)


GROWING = transform(1, "growing")
UPPER = transform(2, "upper")
PROGRAMS = {
    "growing": growing,
    "upper": upper,
    "ascii": ascii_only,
    "failing": failing_on_b,
    "cat": bytes,
}


class Control:
    """Lets everybody in."""

    def __init__(self) -> None:
        self.facts = USER_FACTS
        self.counts: list[TransformCount] = []

    async def login(self, credentials: Credentials) -> LoginOutcome:
        return Admitted(credentials.name.decode(), facts=self.facts)

    def report_logins(self, events: list[LoginEvent]) -> None:
        """Nobody keeps them."""

    def report_transforms(self, counts: list[TransformCount]) -> None:
        self.counts += counts


class Client:
    """A connection that is read line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def line(self) -> str:
        read = await asyncio.wait_for(self._reader.readline(), WAIT_S)
        return read.decode().removesuffix("\r\n")

    async def ask(self, command: str) -> str:
        self._writer.write(f"{command}\r\n".encode())
        return await self.line()

    async def ask_many(self, command: str) -> tuple[str, list[str]]:
        first, lines = await self.ask(command), []
        assert first.startswith("+OK"), first
        while (line := await self.line()) != ".":
            lines.append(line)
        return first, lines

    async def retr(self, number: int) -> tuple[int, bytes]:
        """The octets that were told, and the message."""
        first, lines = await self.ask_many(f"RETR {number}")
        whole = "".join(line.removeprefix(".") + "\r\n" for line in lines).encode()
        return int(first.split()[1]), whole

    def close(self) -> None:
        self._writer.close()


class Served:
    """A listener, what it asks, and what stands in for programs."""

    def __init__(self, root: Path, context: WorkerContext, control: Control, port: int) -> None:
        self.context, self.control = context, control
        self.programs = FakePrograms(PROGRAMS)
        context.session_transform = self.programs.through  # type: ignore[assignment, method-assign]
        context.shadows = Shadows(
            self.programs.through,  # type: ignore[arg-type]
            context.on_disk,
            context.transform_reports.add,
        )
        self._root, self._port = root, port
        self.clients: list[Client] = []

    def deliver(self, *messages: bytes) -> None:
        for number, message in enumerate(messages, 1):
            (self._root / f"ana/new/{number}.M{number}P1.host").write_bytes(message)

    def activate(self, *activations: Activation) -> None:
        self.context.transforms = ActiveTransforms(TransformTable(activations))

    async def connect(self, *before: str) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self._port))
        self.clients.append(client)
        assert (await client.line()).startswith("+OK")
        for command in (*before, "USER ana", "PASS secret"):
            assert (await client.ask(command)).startswith("+OK")
        return client

    def counted(self, activation: int) -> TransformCount:
        self.context.transform_reports.flush()
        return total((it for it in self.control.counts if it.activation == activation), activation)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    root = tmp_path / "mail"
    root.mkdir()
    make_folder(root, (AccountName("ana"),))
    board, control = CounterBoard.create(1), Control()
    context = WorkerContext(
        control, MailPaths(root), Settings(), Greeting("mail.example", "1"), board, 0,  # type: ignore[arg-type]
        tmp_path / "spool", SystemClock(),
    )  # fmt: skip
    listener = Pop3Listener(context)
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    await listener.start([sock], [])
    served = Served(root, context, control, port)
    yield served
    for client in served.clients:
        client.close()
    await listener.stop(0)
    board.close()
    assert served.programs.held == 0


# --- sizes --------------------


@pytest.mark.parametrize("at_once", [1000, 1], ids=["at once", "in a thread"])
async def test_stat_list_and_retr_speak_of_the_transformed_message(
    served: Served, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformed, "AT_ONCE", at_once)
    served.deliver(SHORT, LONG)
    served.activate(Activation(1, EVERYONE, GROWING))
    client = await served.connect()
    assert await client.ask("STAT") == "+OK 2 74"
    assert await client.ask_many("LIST") == ("+OK 2 messages (74 octets)", ["1 34", "2 40"])
    assert await client.ask("LIST 2") == "+OK 2 40"
    assert await client.retr(1) == (34, b"Subject: a\r\n\r\nabc\r\none more line\r\n")
    assert await client.retr(2) == (40, b"Subject: b\r\n\r\nabc\r\n.def\r\none more line\r\n")
    assert await client.ask_many("TOP 2 3") == (
        "+OK top of message follows",
        ["Subject: b", "", "abc", "..def", "one more line"],
    )
    assert (await client.ask("DELE 1")).startswith("+OK")
    assert await client.ask("STAT") == "+OK 1 40"
    assert await client.ask("LIST 1") == "-ERR message 1 is deleted"
    assert (await client.ask("RSET")).startswith("+OK")
    assert await client.ask("STAT") == "+OK 2 74"


async def test_the_size_that_retr_told_is_the_one_that_list_tells(served: Served) -> None:
    served.deliver(SHORT, LONG)
    served.activate(Activation(1, EVERYONE, GROWING))
    client = await served.connect()
    assert (await client.retr(2))[0] == 40
    served.programs.results.clear()
    served.programs.programs = PROGRAMS | {"growing": bytes}  # it gives another size from now on
    assert await client.ask("LIST 2") == "+OK 2 40"
    assert await client.ask("RETR 2") == ("-ERR [SYS/TEMP] the message could not be transformed")
    assert (await client.retr(1))[0] == 19


async def test_sizes_that_take_long_can_be_asked_for_again_and_nothing_else_waits(
    served: Served,
) -> None:
    served.deliver(SHORT, LONG)
    served.activate(Activation(1, EVERYONE, GROWING))
    served.programs.free.clear()
    client = await served.connect()
    pending = "-ERR [SYS/TEMP] sizes are being computed, 0 of 2, ask again soon"
    for command in ("STAT", "LIST", "LIST 2"):
        assert await client.ask(command) == pending
    assert await client.ask("LIST 3") == "-ERR no such message, there are 2"
    assert (await client.ask_many("UIDL"))[1] == ["1 1.M1P1.host", "2 2.M2P1.host"]
    assert (await client.ask("DELE 2")).startswith("+OK")
    assert await client.ask("LIST 2") == "-ERR message 2 is deleted"
    assert (await client.ask("LANG es")).startswith("+OK")
    assert await client.ask("STAT") == (
        "-ERR [SYS/TEMP] se están calculando los tamaños, 0 de 2, vuelva a preguntar pronto"
    )
    served.programs.free.set()
    assert await client.ask("STAT") == "+OK 1 34"


# --- when it fails --------------------


async def test_a_message_that_fails_is_refused_alone(served: Served) -> None:
    served.deliver(SHORT, LONG)
    served.activate(Activation(5, EVERYONE, transform(3, "failing")))
    client = await served.connect()
    for command in ("RETR 2", "TOP 2 0", "RETR 2"):
        assert await client.ask(command) == "-ERR [SYS/TEMP] the message could not be transformed"
    assert await client.ask("STAT") == "+OK 2 59"
    assert await client.ask("LIST 2") == "+OK 2 25"  # as it is stored
    assert (await client.retr(1))[0] == 34
    assert served.counted(5) == TransformCount(5, 2, 1, seconds=0.5, failure="status 1")


async def test_a_message_that_fails_is_sent_as_it_is_where_that_is_wanted(served: Served) -> None:
    served.deliver(SHORT, LONG)
    served.activate(Activation(1, EVERYONE, transform(3, "failing", OnFailure.ORIGINAL)))
    client = await served.connect()
    assert await client.ask("STAT") == "+OK 2 59"
    assert await client.retr(2) == (25, LONG)
    assert (await client.ask_many("TOP 2 0"))[1] == ["Subject: b", ""]
    assert (await client.retr(1))[0] == 34


async def test_a_message_that_went_meanwhile_is_gone_as_without_a_transform(
    served: Served, tmp_path: Path
) -> None:
    served.deliver(SHORT, LONG)
    served.activate(Activation(1, EVERYONE, GROWING))
    client = await served.connect()
    (tmp_path / "mail/ana/new/1.M1P1.host").unlink()
    gone = "-ERR the message was removed or changed by another program"
    assert await client.ask("RETR 1") == gone
    assert await client.ask("STAT") == "+OK 2 59"
    assert await client.ask("RETR 1") == gone
    assert (await client.ask("DELE 1")).startswith("+OK")
    assert await client.ask("QUIT") == "+OK 1 messages deleted, bye"


# --- which one holds --------------------


async def test_a_session_keeps_what_it_began_with(served: Served) -> None:
    served.deliver(SHORT, LONG)
    served.activate(Activation(1, EVERYONE, GROWING))
    client = await served.connect()
    served.activate(Activation(2, EVERYONE, UPPER, former=GROWING))
    assert (await client.retr(1))[0] == 34
    served.activate()
    assert await client.ask("STAT") == "+OK 2 74"
    assert await client.ask("QUIT") == "+OK bye"
    client = await served.connect()
    assert await client.retr(1) == (19, b"Subject: a\r\n\r\nabc\r\n")
    served.activate(Activation(3, EVERYONE, UPPER))
    assert await client.retr(2) == (25, LONG)


@pytest.mark.parametrize("optional", [True, False])
async def test_an_account_s_own_choice_counts_where_it_may(served: Served, optional: bool) -> None:
    served.deliver(SHORT)
    served.context.configure(Settings(transform_optional=optional))
    served.control.facts = AccountFacts(preferences=Preferences(transform=False))
    served.activate(Activation(1, EVERYONE, GROWING))
    client = await served.connect()
    assert await client.ask("STAT") == ("+OK 1 19" if optional else "+OK 1 34")
    served.context.configure(Settings(transform_optional=not optional))
    assert (await client.retr(1))[0] == (19 if optional else 34)


@pytest.mark.parametrize(
    ("program", "message", "sent"),
    [("ascii", UTF8, True), ("cat", UTF8, False), ("cat", SHORT, True)],
)
async def test_whether_a_header_is_in_utf8_is_what_the_transform_made_of_it(
    served: Served, program: str, message: bytes, sent: bool
) -> None:
    served.deliver(message)
    served.activate(Activation(1, EVERYONE, transform(4, program)))
    client = await served.connect()
    for command in ("RETR 1", "TOP 1 0"):
        if sent:
            assert (await client.ask_many(command))[1][1] == ""
        else:
            assert (await client.ask(command)).startswith("-ERR [UTF8] ")
    assert await client.ask("QUIT") == "+OK bye"
    client = await served.connect("UTF8")
    assert (await client.ask_many("RETR 1"))[1][1] == ""


# --- shadows --------------------


async def test_a_shadow_sees_what_was_delivered_and_counts_what_differs(served: Served) -> None:
    served.deliver(SHORT, LONG)
    served.activate(Activation(7, EVERYONE, transform(3, "failing"), Mode.SHADOW))
    client = await served.connect()
    assert await client.ask("STAT") == "+OK 2 44"
    assert await client.retr(1) == (19, b"Subject: a\r\n\r\nabc\r\n")
    assert await client.retr(2) == (25, LONG)
    await served.context.shadows.idle()
    assert served.counted(7) == TransformCount(7, 2, 1, 1, seconds=0.5, failure="status 1")
    await client.retr(1)  # what was made before says nothing new
    await served.context.shadows.idle()
    assert served.counted(7) == TransformCount(7, 2, 1, 1, seconds=0.5, failure="status 1")


async def test_a_shadow_beside_a_transform_is_compared_with_what_that_made(served: Served) -> None:
    served.deliver(SHORT, LONG)
    served.activate(Activation(8, EVERYONE, transform(9, "cat"), Mode.SHADOW, UPPER))
    client = await served.connect()
    assert await client.retr(1) == (19, b"SUBJECT: A\r\n\r\nABC\r\n")
    await served.context.shadows.idle()
    assert served.counted(8) == TransformCount(8, 1, 0, 1, seconds=0.25)


@pytest.mark.parametrize("message", [SHORT, LONG, b"Subject: no end", b""])
async def test_line_ends_are_no_difference(served: Served, message: bytes) -> None:
    served.deliver(message)
    served.activate(Activation(8, EVERYONE, transform(9, "cat"), Mode.SHADOW))
    client = await served.connect()
    await client.retr(1)
    await served.context.shadows.idle()
    assert served.counted(8) == TransformCount(8, 1, seconds=0.25)


async def test_a_shadow_sees_a_message_that_is_deleted_at_once(served: Served) -> None:
    served.deliver(SHORT)
    served.activate(Activation(8, EVERYONE, UPPER, Mode.SHADOW))
    served.programs.free.clear()
    client = await served.connect()
    await client.retr(1)
    await asyncio.wait_for(served.programs.began.wait(), WAIT_S)
    assert (await client.ask("DELE 1")).startswith("+OK")
    assert await client.ask("QUIT") == "+OK 1 messages deleted, bye"
    served.programs.free.set()
    await served.context.shadows.idle()
    assert served.counted(8) == TransformCount(8, 1, 0, 1, seconds=0.25)


async def test_shadows_that_come_to_nothing_hold_nobody_up_and_are_counted(served: Served) -> None:
    served.deliver(SHORT)
    served.activate(Activation(8, EVERYONE, UPPER, Mode.SHADOW))
    served.programs.free.clear()
    client = await served.connect()
    for _ in range(MOST_WAITING + 3):
        assert (await client.retr(1))[0] == 19
    assert served.counted(8) == TransformCount(8, skipped=3)
    await served.context.shadows.close()
    assert served.counted(8) == TransformCount(8, skipped=MOST_WAITING + 3)


async def test_a_shadow_without_a_descriptor_is_left_out(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_descriptor(fd: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    served.deliver(SHORT)
    served.activate(Activation(8, EVERYONE, transform(9, "cat"), Mode.SHADOW, UPPER))
    client = await served.connect()
    monkeypatch.setattr(shadows.os, "dup", no_descriptor)
    assert (await client.retr(1))[0] == 19
    assert await client.ask("NOOP") == "+OK"
    monkeypatch.undo()
    assert served.counted(8) == TransformCount(8, skipped=1)
