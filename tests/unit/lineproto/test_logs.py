from __future__ import annotations

import asyncio
import io
import json
import ssl
import sys
from collections.abc import Iterator

import pytest
import structlog

from lineproto import logs
from pop3_service.worker.tls import server_context
from support.certificates import authority
from support.tls import TlsEnd, client_context

NASTY = "a\r\nlevel=error event=forged\x1b[31m\0\x07\x85\u2028\"'=\\ {0} %s ${jndi:x}"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    hook = sys.unraisablehook
    yield
    sys.unraisablehook = hook
    structlog.reset_defaults()


def written(form: str, level: str = "info") -> io.TextIOWrapper:
    """Configure logs into memory."""
    sys.stdout = made = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="")
    try:
        logs.configure(level, form)
    finally:
        sys.stdout = sys.__stdout__
    return made


def text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@pytest.mark.attack(9, "logs")
@pytest.mark.parametrize("form", list(logs.LogFormat))
def test_what_a_client_sent_is_one_line_without_control_characters(form: str) -> None:
    stream = written(form)
    structlog.get_logger().info("login refused", name=NASTY, peer="192.0.2.1:1")
    line = text(stream)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert not [c for c in line[:-1] if not c.isprintable()]
    assert "192.0.2.1:1" in line


def test_json_gives_back_what_was_said() -> None:
    stream = written("json")
    structlog.get_logger().warning("message", name=NASTY, octets=3, none=None)
    told = json.loads(text(stream))
    assert (told["event"], told["level"], told["octets"]) == ("message", "warning", 3)
    assert told["name"].startswith("a\\r\\nlevel=error event=forged\\x1b[31m")
    assert told["timestamp"].endswith("Z")


def test_logfmt_begins_with_time_level_and_event() -> None:
    stream = written("logfmt")
    structlog.get_logger().info("service started", port=110)
    words = text(stream).split(" ", 2)
    assert words[0].startswith("timestamp=20")
    assert words[1] == "level=info"
    assert 'event="service started"' in words[2]


def test_an_exception_is_one_line_too() -> None:
    stream = written("logfmt")
    try:
        raise ValueError(NASTY)
    except ValueError as error:
        structlog.get_logger().error("call failed", exc_info=error)
    assert text(stream).count("\n") == 1


@pytest.mark.attack(59, "log")
@pytest.mark.parametrize("form", list(logs.LogFormat))
def test_the_name_of_a_tls_client_that_is_no_text_is_one_short_line(form: str) -> None:
    """Python's ssl can tell nobody, and would write a traceback to the terminal."""
    stream = written(form)
    end = TlsEnd(client_context(), "marker.example")
    hello = end.handshake().replace(b"marker", b"\xff\n\xc3\xb6\x80'")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(hello)
    context = server_context([authority().issue("mail.example").pair])
    with pytest.raises(ssl.SSLError):
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    assert text(stream).count("\n") == 1
    assert "a callback failed" in text(stream)
    assert "Traceback" not in text(stream)
    assert len(text(stream)) < 500


def test_any_other_fault_that_nobody_could_catch_tells_where_it_was() -> None:
    stream = written("logfmt")

    class Bad:
        def __del__(self) -> None:
            raise ValueError("in the end")

    Bad()
    assert text(stream).count("\n") == 1
    assert "__del__" in text(stream)
    assert "in the end" in text(stream)
    assert "Traceback" in text(stream)


def test_less_than_the_level_is_not_written() -> None:
    stream = written("logfmt", "warning")
    structlog.get_logger().info("hidden")
    structlog.get_logger().warning("shown")
    assert "hidden" not in text(stream)
    assert "shown" in text(stream)


def test_a_line_is_one_write_so_that_those_of_two_processes_do_not_mix() -> None:
    class Output(io.RawIOBase):
        def __init__(self) -> None:
            self.writes: list[bytes] = []

        def writable(self) -> bool:
            return True

        def write(self, octets: object) -> int:
            self.writes.append(bytes(octets))  # type: ignore[arg-type]
            return len(self.writes[-1])

    output = Output()
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(output), "utf-8")
    try:
        logs.configure("info", "logfmt")
    finally:
        sys.stdout = sys.__stdout__
    structlog.get_logger().info("one", fact=1)
    structlog.get_logger().info("two")
    assert [line.count(b"\n") for line in output.writes] == [1, 1]
    assert all(line.endswith(b"\n") for line in output.writes)


class Writes(io.StringIO):
    """A stream that remembers what each write was."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


async def test_in_a_loop_lines_of_one_moment_are_one_write() -> None:
    stream = Writes()
    output = logs.Output(stream)
    for number in range(3):
        output.info(f"line {number}")
    assert stream.writes == []
    async with asyncio.timeout(60):
        while not stream.writes:
            await asyncio.sleep(0)
    assert stream.writes == ["line 0\nline 1\nline 2\n"]


async def test_a_warning_is_written_at_once_and_in_its_place() -> None:
    stream = Writes()
    output = logs.Output(stream)
    output.info("one")
    output.warning("two")
    output.info("three")
    assert stream.writes == ["one\ntwo\n"]
    output.flush()
    output.flush()
    assert stream.writes == ["one\ntwo\n", "three\n"]


async def test_no_write_ends_within_a_line_or_is_longer_than_a_pipe_takes_whole() -> None:
    stream = Writes()
    output = logs.Output(stream)
    lines = ["é" * 700 + str(number) for number in range(20)]
    lines.insert(7, "y" * 5000)  # longer than one write: it goes alone
    for line in lines:
        output.info(line)
    output.flush()
    assert "".join(stream.writes) == "".join(line + "\n" for line in lines)
    assert len(stream.writes) > 5
    for text in stream.writes:
        assert text.endswith("\n")
        assert len(text.encode()) <= logs.MAX_WRITE or text == "y" * 5000 + "\n"


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("plain", "plain"),
        ("two words", '"two words"'),
        ('a"b', '"a\\"b"'),
        ("a=b", '"a=b"'),
        ("c:\\d e", '"c:\\\\d e"'),
        ("", ""),
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (1.5, "1.5"),
        (["a b"], "\"['a b']\""),
        ("two\nlines", "two\\nlines"),
    ],
)
def test_a_fact_is_one_word_of_logfmt(value: object, word: str) -> None:
    stream = written("logfmt")
    structlog.get_logger().info("told", fact=value)
    assert text(stream).partition(" fact=")[2] == word + "\n"
