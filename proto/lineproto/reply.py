"""Replies: ``+OK``, ``-ERR`` and listings (RFC 1939 section 3, RFC 2449 section 8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from lineproto.stuffing import END

LINE_LIMIT = 512
"""The longest reply line in octets with CRLF (RFC 1939 section 3)."""


@dataclass(frozen=True, slots=True)
class Ok:
    """A positive reply of one line."""

    text: str = ""

    def encode(self) -> bytes:
        """Give the wire form."""
        return _line("+OK", self.text)


@dataclass(frozen=True, slots=True)
class Err:
    """A negative reply of one line; ``code`` is a response code such as ``IN-USE``."""

    text: str
    code: str | None = None

    def encode(self) -> bytes:
        """Give the wire form."""
        return _line("-ERR", f"[{self.code}] {self.text}" if self.code else self.text)


@dataclass(frozen=True, slots=True)
class Listing:
    """A positive reply of many lines; ``lines`` may be an iterator, then it is encoded once.

    ``plain`` promises lines of printable ASCII that begin with no dot: they are not looked at.
    """

    text: str
    lines: Iterable[str]
    plain: bool = False

    def encode(self) -> bytes:
        """Give the wire form, the final dot too."""
        return b"".join(self.chunks())

    def chunks(self, size: int = 4096) -> Iterator[bytes]:
        """Give the wire form in pieces of ``size`` lines."""
        lines = iter(self.lines)
        before = _line("+OK", self.text)
        while len(piece := list(islice(lines, size))) == size:
            yield before + self._encoded(piece)
            before = b""
        yield before + self._encoded(piece) + END

    def _encoded(self, lines: list[str]) -> bytes:
        if self.plain:
            return "\r\n".join((*lines, "")).encode("ascii")
        return b"".join(map(stuffed_line, lines))


@dataclass(frozen=True, slots=True)
class Ready:
    """A positive reply made earlier: its wire form, the final dot too."""

    octets: bytes

    def encode(self) -> bytes:
        """Give the wire form."""
        return self.octets


Reply = Ok | Err | Listing | Ready


def printable(text: str) -> str:
    """Replace what could move a terminal or end a line: controls become ``?``."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def stuffed_line(text: str) -> bytes:
    """Give one line of a listing, stuffed and ended."""
    octets = printable(text).encode("utf-8", "replace")
    return (b"." if octets.startswith(b".") else b"") + octets + b"\r\n"


def _line(status: str, text: str) -> bytes:
    octets = f"{status} {printable(text)}".rstrip().encode("utf-8", "replace")
    if len(octets) > LINE_LIMIT - 2:
        octets = octets[: LINE_LIMIT - 2].decode("utf-8", "ignore").encode()
    return octets + b"\r\n"
