"""Lines of SCMP become a verb and its arguments (SCMP.md, section 3). No I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from unicodedata import category

LINE_LIMIT = 4096
"""Octets of a command line with CRLF."""

# Telnet commands (RFC 854): IAC and one octet, IAC WILL|WONT|DO|DONT and an option, or an option's
# value between IAC SB and IAC SE. A client sends them when a person presses an interrupt key, say;
# they are no part of SCMP.
_TELNET = re.compile(rb"\xff(?:\xfa.*?\xff\xf0|[\xfb-\xfe].|[^\xfa-\xfe])", re.DOTALL)
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories of control characters, C1 and the line separators among them."""


class BadLine(Exception):
    """The line is no command; the text is the reply's."""


@dataclass(frozen=True, slots=True)
class Line:
    """A verb in capitals, its words, and all that was written after the blank behind the verb."""

    verb: str
    words: tuple[str, ...] = field(repr=False)
    rest: str = field(repr=False)


def parse(octets: bytes) -> Line:
    """Split a line without its line ending. Keywords are indifferent to case.

    Raises:
        BadLine: it is empty, not UTF-8, or holds control characters.
    """
    try:
        text = _TELNET.sub(b"", octets).decode()
    except UnicodeDecodeError:
        raise BadLine("a command is UTF-8 text") from None
    if not text.isprintable() and any(category(c) in _CONTROLS for c in text):
        raise BadLine("a command holds no control characters")
    keyword, _, rest = text.lstrip(" ").partition(" ")
    if not keyword:
        raise BadLine("empty line; send HELP")
    return Line(keyword.upper(), tuple(word for word in rest.split(" ") if word), rest)


def after_words(line: Line, count: int) -> str:
    """Give what was written behind the first so many words, blanks between words and all."""
    rest = line.rest.lstrip(" ")
    for _ in range(count):
        rest = rest.partition(" ")[2].lstrip(" ")
    return rest.rstrip(" ")


def number(word: str) -> int | None:
    """Read a whole number of ASCII digits; anything else is None."""
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 10 else None
