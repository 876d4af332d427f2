"""Changes to a message: spans of its octets and what stands there instead."""

from __future__ import annotations

import re

from valija_transform.fields import Field
from valija_transform.structure import Part

_CHARSET = r"""(?i)(;\s*)charset\s*=\s*(?:"[^"]*"|[^;\s]*)"""
_BASE64_LINE = 57
"""Octets to a base64 line of 76 characters."""
LONGEST_LINE = 998
"""RFC 5322 section 2.1.1, without the line end."""


class Edits:
    """Changes to one message. None may overlap another.

    ``left`` says why something was left that should have been changed, if anything was.
    """

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.left = ""
        self._changes: list[tuple[int, int, bytes]] = []

    def __bool__(self) -> bool:
        return bool(self._changes)

    def replace(self, start: int, end: int, by: bytes) -> None:
        """Put octets in the place of a span; of an empty span: insert them."""
        if self._octets[start:end] != by:
            self._changes.append((start, end, by))

    def pieces(self) -> list[bytes | memoryview]:
        """Give the changed message, piece by piece."""
        whole = memoryview(self._octets)
        pieces: list[bytes | memoryview] = []
        at = 0
        for start, end, by in sorted(self._changes, key=lambda change: change[:2]):
            if start < at:
                raise AssertionError("changes overlap")
            pieces += (whole[at:start], by)
            at = end
        pieces.append(whole[at:])
        return pieces

    def set_field(self, part: Part, name: str, value: str) -> None:
        """Give a part's field a new value where it stands, or add it at the header's end."""
        line = name.encode() + b": " + value.encode("latin-1") + part.eol
        found = part.header.first(name.lower().encode())
        if found:
            self.replace(found.start, found.end, line)
        else:
            self.add_fields(part, line)

    def remove_field(self, found: Field) -> None:
        """Take a field out."""
        self.replace(found.start, found.end, b"")

    def add_fields(self, part: Part, lines: bytes) -> None:
        """Add whole lines at the end of a part's header."""
        at = part.header.end
        if at > part.start and part.octets[at - 1] != 0x0A:
            lines = part.eol + lines.removesuffix(b"\n").removesuffix(b"\r")
        self._changes.append((at, at, lines))

    def set_body(self, part: Part, body: bytes) -> None:
        """Give a part a new body, in its transfer encoding."""
        if not part.header.separated:
            # A cut header ends without an empty line, and one before a delimiter may as well.
            whole = part.octets[: part.header.end].endswith(b"\n")
            body = part.eol * (1 if whole or part.header.end == part.start else 2) + body
        self.replace(part.body, part.end, body)

    def set_content(self, part: Part, lines: bytes, body: bytes) -> None:
        """Give a part a new body and new content fields, and leave its other fields alone."""
        if part.header.first(b"mime-version") is None and is_top(part):
            lines = b"MIME-Version: 1.0" + part.eol + lines
        fields = part.content_fields()
        for found in fields:
            self.remove_field(found)
        if fields:
            first = fields[0]
            self._changes.remove((first.start, first.end, b""))
            self.replace(first.start, first.end, lines)
        else:
            self.add_fields(part, lines)
        self.set_body(part, body)


def is_top(part: Part) -> bool:
    """Whether a part is a message itself, be it in another one."""
    return part.parent is None or part.parent.is_message


def with_charset(part: Part, charset: str) -> str:
    """Give a part's Content-Type with another charset."""
    found = part.header.first(b"content-type")
    if found is None:
        return f"text/plain; charset={charset}"
    value, count = re.subn(_CHARSET, rf"\1charset={charset}", found.value)
    if count == 1 and value.isascii():
        return value
    if count or "charset" in part.type.parameters or not value.isascii():
        return f"{part.content_type}; charset={charset}"
    return f"{value.rstrip('; ')}; charset={charset}"


def base64_lines(octets: bytes, eol: bytes) -> bytes:
    """Encode as base64 in lines; the last one has a line end too."""
    from binascii import b2a_base64

    lines = (octets[at : at + _BASE64_LINE] for at in range(0, len(octets), _BASE64_LINE))
    return b"".join(b2a_base64(line, newline=False) + eol for line in lines)


def encode(octets: bytes, encoding: str, eol: bytes) -> bytes | None:
    """Put octets into a transfer encoding; None where that one does not hold them."""
    if encoding == "base64":
        return base64_lines(octets, eol)
    if encoding == "quoted-printable":
        return _quoted_printable(octets, eol)
    if any(len(line) > LONGEST_LINE for line in octets.split(b"\n")) or b"\0" in octets:
        return None
    return octets if encoding in ("8bit", "binary") or octets.isascii() else None


def _quoted_printable(octets: bytes, eol: bytes) -> bytes | None:
    from binascii import a2b_qp, b2a_qp

    if octets.count(b"\r") != octets.count(b"\r\n"):
        return None
    lines = octets.replace(b"\r\n", b"\n")
    encoded = b2a_qp(lines, quotetabs=False, istext=True)
    if a2b_qp(encoded) != lines:
        return None
    return encoded.replace(b"\n", eol)


def is_text_of(content_type: str) -> bool:
    """Whether a type is text that a reader is shown: plain or HTML."""
    return content_type in ("text/plain", "text/html", "application/xhtml+xml")


def text_part(text: str, eol: bytes) -> tuple[bytes, bytes]:
    """Make a plain text part: its content fields, and its body with a line end at the end."""
    octets = text.encode().replace(b"\n", eol)
    if not octets.endswith(b"\n"):
        octets += eol
    for encoding in ("7bit", "quoted-printable", "base64"):
        charset = "us-ascii" if octets.isascii() else "utf-8"
        body = encode(octets, encoding, eol)
        if body is not None:
            break
    lines = f"Content-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {encoding}\n"
    return lines.encode().replace(b"\n", eol), body or b""
