"""Framing: octets become lines, however they are cut. The one place that knows where a line ends.

A line ends at LF. One CR before the LF belongs to the line ending; any other CR is part of the
line (RFC 1939 section 3, read leniently for clients that send a bare LF).
"""

from __future__ import annotations

from dataclasses import dataclass


class LineTooLong(Exception):
    """A line passed the limit before its LF came. Its octets are dropped until that LF."""


@dataclass(frozen=True, slots=True)
class LongLines:
    """Lines that begin with ``start``, in any case, may be longer: up to ``limit`` octets."""

    start: bytes
    limit: int


class LineBuffer:
    """Collect octets and yield complete lines without their line ending.

    ``limit`` counts the octets of a line including its line ending (RFC 2449 section 4); it may be
    changed between lines. ``long_lines`` are lines that have a limit of their own.

    After ``LineTooLong`` the rest of that line is dropped as it comes, so the buffer never holds
    more than one line of a misbehaving client; ``dropped`` counts those octets, and ``waiting``
    those received and not yet given out: attributes, as they are asked for with every line.
    """

    __slots__ = ("_data", "_dropping", "_long_lines", "_start", "dropped", "limit", "waiting")

    def __init__(self, limit: int, long_lines: LongLines | None = None) -> None:
        self.limit = limit
        self._long_lines = long_lines
        self.dropped = 0
        self.waiting = 0
        self._data = b""
        self._start = 0
        self._dropping = False

    def feed(self, octets: bytes) -> None:
        """Take the next octets as they came from the network."""
        self._data = self._data[self._start :] + octets if self.waiting else octets
        self._start = 0
        self.waiting = len(self._data)

    def next_line(self) -> bytes | None:
        """Give the next complete line, or None until more octets come.

        Raises:
            LineTooLong: as soon as an unfinished line passes ``limit``, once a line.
        """
        if self._dropping and not self._drop():
            return None
        if not self.waiting:
            return None
        start = self._start
        end = self._data.find(b"\n", start)
        size = end + 1 - start if end >= 0 else self.waiting
        if size > self.limit and not self._may_be_longer(size):
            self._dropping = True
            self._drop()
            raise LineTooLong
        if end < 0:
            return None
        line = self._data[start:end]
        self._start = end + 1
        self.waiting -= size
        return line[:-1] if line.endswith(b"\r") else line

    def clear(self) -> None:
        """Forget everything received, the partial line too."""
        self._data = b""
        self._start = self.waiting = 0
        self._dropping = False

    def _may_be_longer(self, size: int) -> bool:
        allowed = self._long_lines
        if allowed is None or size > allowed.limit:
            return False
        start = self._data[self._start : self._start + len(allowed.start)]
        return start.upper() == allowed.start

    def _drop(self) -> bool:
        """Drop octets through the next LF. True once it was there."""
        end = self._data.find(b"\n", self._start)
        if end >= 0:
            size = end + 1 - self._start
            self.dropped += size
            self.waiting -= size
            self._start = end + 1
            self._dropping = False
            return True
        self.dropped += self.waiting
        self._data = b""
        self._start = self.waiting = 0
        return False
