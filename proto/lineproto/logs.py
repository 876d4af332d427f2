"""Structured logs to standard output: one event a line, as logfmt or JSON.

structlog, because it keeps events as facts until they are written. Only the services log, so it is
a dependency of theirs and not of this distribution.

A busy server ends thousands of sessions a second, each with its line. So logfmt is written by one
function instead of a chain of them, and what is no warning waits a moment for more: several lines
go out in one write.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import re
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from typing import TextIO

import structlog

FLUSH_S = 0.05
"""How long a line may wait for others, in a program that runs a loop."""
MAX_WRITE = 4096
"""Octets of one write at most, but for a longer line: a pipe takes so many whole (PIPE_BUF)."""
_NEEDS_QUOTES = re.compile(r'[ ="]')


class LogFormat(StrEnum):
    """How a line is written."""

    LOGFMT = "logfmt"
    JSON = "json"


def configure(level: str, form: str) -> Callable[[], None]:
    """Set up logging for this process; ``level`` is a name such as ``info``.

    What comes back writes out what is still held back.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    processors: list[structlog.typing.Processor] = [structlog.processors.format_exc_info]
    if LogFormat(form) is LogFormat.JSON:
        processors += [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _escaped,
            structlog.processors.JSONRenderer(),
        ]
    else:
        processors.append(_logfmt)
    output = Output(sys.stdout)
    atexit.register(output.flush)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=True,
    )
    sys.unraisablehook = _log_unraisable
    return output.flush


def _log_unraisable(fault: sys.UnraisableHookArgs) -> None:
    """Log what no caller could catch, as the name of a TLS client that is no text (ssl's fault)."""
    hostile = isinstance(fault.exc_value, UnicodeError)
    structlog.get_logger().warning(
        "a callback failed",
        of=repr(fault.object)[:100],
        reason=repr(fault.exc_value)[:200],
        exc_info=None if hostile else fault.exc_value,
    )


class Output:
    """Where lines go. A warning and what is worse goes out at once, with all before it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []

    def info(self, line: str) -> None:
        """Take a line; it is written with those that come within a moment."""
        self._waiting.append(line)
        if len(self._waiting) > 1:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            loop.call_later(FLUSH_S, self.flush)

    debug = info

    def warning(self, line: str) -> None:
        """Write a line now."""
        self._waiting.append(line)
        self.flush()

    error = critical = warning

    def flush(self) -> None:
        """Write what waits; no write ends within a line, as other processes write there too."""
        waiting, self._waiting = self._waiting, []
        piece: list[str] = []
        size = 0
        for line in waiting:
            length = len(line.encode("utf-8", "replace")) + 1
            if piece and size + length > MAX_WRITE:
                self._write(piece)
                piece, size = [], 0
            piece.append(line)
            size += length
        if piece:
            self._write(piece)

    def _write(self, lines: list[str]) -> None:
        self._stream.write("\n".join(lines) + "\n")
        self._stream.flush()


def _logfmt(_: object, level: str, event: structlog.typing.EventDict) -> str:
    """Write an event as ``timestamp=… level=… event=… fact=…``."""
    name = event.pop("event", "")
    words = [f"timestamp={_timestamp()} level={level} event={_word(name)}"]
    words += [f"{key}={_word(value)}" for key, value in event.items()]
    return " ".join(words)


def _word(value: object) -> str:
    if type(value) is int or type(value) is float:
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = _printable(str(value))
    if _NEEDS_QUOTES.search(text) is None:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Timestamps:
    """The time in UTC as RFC 3339 has it, with microseconds; a second is written once."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        second, micro = divmod(time.time_ns() // 1000, 1_000_000)
        if second != self._second:
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._text}.{micro:06}Z"


_timestamp = _Timestamps()


def _printable(text: str) -> str:
    """Write control characters as escapes: a terminal that shows the log must not obey them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _escaped(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _printable(value)
    return event
