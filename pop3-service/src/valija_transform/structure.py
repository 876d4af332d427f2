"""A message's parts, as spans of its octets (RFC 2045, RFC 2046)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from valija_transform.failures import Unclear
from valija_transform.fields import (
    Field,
    Header,
    Parameterised,
    decode_words,
    read_content_type,
    read_disposition,
    read_header,
)

MAX_PARTS = 1000
MAX_DEPTH = 30
"""Multiparts and messages inside one another."""
MAX_FIELD = 16 * 1024
"""Octets of a field such as Content-Type: to take one apart takes the square of its length."""
_IDENTITY = frozenset({"", "7bit", "8bit", "binary"})
_ONCE = (b"content-type", b"content-transfer-encoding", b"content-disposition")


class Part:
    """A part: header from ``start`` to ``header.end``, body from ``body`` to ``end``.

    ``outer`` is where its delimiter line begins (a message has none: it is ``start``), and
    ``outer_end`` where the next one does. A multipart's children are its parts, a message/rfc822's
    only child is the message in it. ``unclear`` says why the part can be read in more than one
    way; then it has no children and is not to be touched.
    """

    def __init__(
        self,
        octets: bytes,
        span: tuple[int, int],
        header: Header,
        content_type: Parameterised,
        parent: Part | None = None,
    ) -> None:
        self.octets = octets
        self.start, self.end = self.outer, self.outer_end = span
        self.header = header
        self.type = content_type
        self.parent = parent
        self.children: list[Part] = []
        self.unclear = ""
        self.closed = True

    @property
    def body(self) -> int:
        """Where the body begins."""
        return self.header.body

    @property
    def body_octets(self) -> bytes:
        """The body as it stands there, still encoded."""
        return self.octets[self.body : self.end]

    @property
    def content_type(self) -> str:
        """The type, such as ``text/plain``."""
        return self.type.value

    @property
    def is_multipart(self) -> bool:
        """Whether it consists of parts."""
        return self.content_type.startswith("multipart/")

    @property
    def is_message(self) -> bool:
        """Whether it is a message in a message."""
        return self.content_type in ("message/rfc822", "message/global")

    @property
    def encoding(self) -> str:
        """The content-transfer-encoding, lower case; empty where none is given."""
        found = self.header.first(b"content-transfer-encoding")
        told = re.split("[(;]", found.value)[0].strip().lower() if found else ""
        # Written like this now and then, and read by all in the same way.
        return told[0] + "bit" if re.fullmatch("[78][- ]?bits?", told) else told

    @property
    def disposition(self) -> Parameterised:
        """``inline`` or ``attachment`` or nothing."""
        return read_disposition(self.header.first(b"content-disposition"))

    @property
    def names(self) -> list[str]:
        """The file names it gives itself, decoded; a client may show any of them."""
        both = (self.disposition.parameters.get("filename"), self.type.parameters.get("name"))
        return [decode_words(name) for name in both if name]

    @property
    def eol(self) -> bytes:
        """The line end that is in use here."""
        at = self.octets.find(b"\n", self.start)
        if at < 0:
            at = self.octets.find(b"\n")
        return b"\r\n" if at > 0 and self.octets[at - 1] == 0x0D else b"\n"

    def content_fields(self) -> list[Field]:
        """The fields that speak of the body: Content-Type and its like."""
        return [it for it in self.header.fields if it.name.lower().startswith(b"content-")]

    def walk(self) -> Iterator[Part]:
        """Give this part and all in it, in order."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting += reversed(part.children)


class _Mark(NamedTuple):
    """A delimiter line: where it begins, where the next line does, and whether it was cut off."""

    at: int
    start: int
    closes: bool
    cut: bool

    @property
    def ends(self) -> bool:
        """Whether no part begins behind it."""
        return self.closes or self.cut


class _Reader:
    """Reads one message; counts its parts."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.count = 0

    def part(self, start: int, end: int, default: str, parent: Part | None, depth: int) -> Part:
        self.count += 1
        if self.count > MAX_PARTS or depth > MAX_DEPTH:
            raise Unclear(f"more than {MAX_PARTS} parts, or {MAX_DEPTH} inside one another")
        header = read_header(self.octets, start, end)
        content_type = read_content_type(header.first(b"content-type"), default)
        part = Part(self.octets, (start, end), header, content_type, parent)
        part.unclear = header.unclear or _confusing(header)
        if not part.unclear:
            if part.is_multipart:
                self._multipart(part, depth)
            elif part.is_message:
                self._message(part, depth)
        return part

    def _message(self, part: Part, depth: int) -> None:
        if part.encoding not in _IDENTITY:
            part.unclear = "a message in it is encoded"
        else:
            part.children = [self.part(part.body, part.end, "text/plain", part, depth + 1)]

    def _multipart(self, part: Part, depth: int) -> None:
        boundary = part.type.parameters.get("boundary", "").rstrip()
        if part.encoding not in _IDENTITY:
            part.unclear = "a multipart is encoded"
            return
        if not boundary or len(boundary) > 256:
            part.unclear = "a multipart has no boundary"
            return
        marks = self._delimiters(part, boundary.encode("latin-1", "replace"))
        if not marks:
            part.unclear = "a multipart's boundary is not in it"
            return
        part.closed = marks[-1].closes
        default = "message/rfc822" if part.content_type == "multipart/digest" else "text/plain"
        for mark, following in zip(marks, [*marks[1:], None], strict=True):
            if mark.ends:
                break
            limit = following.at if following else part.end
            end = self._before(limit, mark.start) if following else limit
            child = self.part(mark.start, end, default, part, depth + 1)
            child.outer, child.outer_end = mark.at, limit
            part.children.append(child)

    def _delimiters(self, part: Part, boundary: bytes) -> list[_Mark]:
        line = re.compile(rb"--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
        marks: list[_Mark] = []
        needle = b"\n--" + boundary
        at = part.body if self.octets.startswith(needle[1:], part.body, part.end) else -1
        if at < 0:
            at = self.octets.find(needle, max(part.body - 1, 0), part.end) + 1 or -1
        while at >= 0:
            if found := line.match(self.octets, at, part.end):
                marks.append(_Mark(at, found.end(), bool(found[1]), not found[0].endswith(b"\n")))
                if marks[-1].ends or len(marks) > MAX_PARTS:
                    break
            # The line end of one delimiter may be the one before the next.
            at = self.octets.find(needle, at, part.end) + 1 or -1
        return marks

    def _before(self, delimiter: int, start: int) -> int:
        """The line end before a delimiter belongs to it."""
        at = delimiter - 1
        if at > 0 and self.octets[at - 1] == 0x0D:
            at -= 1
        return max(at, start)


def _confusing(header: Header) -> str:
    for name in _ONCE:
        if len({it.value for it in header.named(name)}) > 1:
            return f"a header has two fields {name.decode().title()}"
        if any(len(it.raw) > MAX_FIELD for it in header.named(name)):
            return f"a field of more than {MAX_FIELD} octets says what the part is"
    return ""


def read_structure(octets: bytes) -> Part:
    """Find all parts of a message.

    Raises:
        Unclear: it has more parts, or deeper ones, than any honest message.
    """
    return _Reader(octets).part(0, len(octets), "text/plain", None, 0)
