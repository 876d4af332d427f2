from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from lineproto import logs

NASTY = "a\r\nlevel=error event=forged\x1b[31m\0\x07\x85\u2028\"'=\\ {0} %s ${jndi:x}"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
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
