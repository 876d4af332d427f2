"""Header fields where they stand in the octets, and what a Content-Type or a file name says.

The plain forms are read here, because a program starts for each message and the email package
takes longer to import than all the rest; whatever is not plain, the email package reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_FIELD = re.compile(rb"([!-9;-~]+):")
MAX_HEADER = 1024 * 1024
_CONTINUED = (0x20, 0x09)
_VALUE = re.compile(
    r"""\s*([^\s;"()<>@,:\\/\[\]?=]+(?:/[^\s;"()<>@,:\\/\[\]?=]+)?)\s*((?:;.*)?)""", re.DOTALL
)
_PARAMETER = re.compile(
    r""";\s*(?:([!#$&+\-.^_`{|}~0-9A-Za-z]+)=(?:"([^"\\]*)"|([^\s;"()<>@,\\\[\]?=]+))\s*)?"""
)


class Field(NamedTuple):
    """A header field: its span in the octets, line end included, and its raw value, folded."""

    name: bytes
    start: int
    end: int
    raw: bytes = b""

    @property
    def value(self) -> str:
        """The value in one line. Octets above 127 are kept as latin-1 characters."""
        return _unfold(self.raw)


class Header:
    """A header: fields in order, where it ends, and where the body begins.

    ``separated`` tells whether an empty line stands before the body. ``unclear`` says why the
    header can be read in more than one way, if it can.
    """

    __slots__ = ("body", "end", "fields", "separated", "unclear")

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.end = self.body = 0
        self.separated = False
        self.unclear = ""

    def named(self, name: bytes) -> Iterator[Field]:
        """Give the fields of a name (lower case)."""
        return (it for it in self.fields if it.name.lower() == name)

    def first(self, name: bytes) -> Field | None:
        """Give the first field of a name (lower case)."""
        return next(self.named(name), None)


def read_header(octets: bytes, start: int, end: int) -> Header:
    """Find the fields from ``start`` on, as far as the empty line or ``end``."""
    header = Header()
    lines: list[tuple[bytes, int, int]] = []
    at = start
    while at < end:
        if at - start > MAX_HEADER:
            header.unclear = f"a header has more than {MAX_HEADER} octets"
            break
        stop = octets.find(b"\n", at, end) + 1 or end
        if octets[at:stop] in (b"\n", b"\r\n"):
            header.separated = True
            break
        if octets[at] in _CONTINUED and lines:
            name, begun, _ = lines[-1]
            lines[-1] = (name, begun, stop)
        elif found := _FIELD.match(octets, at, stop):
            lines.append((found[1], at, stop))
        elif not (at == start and octets.startswith(b"From ", at, end)):
            header.unclear = "a header has a line that is no field"
            break
        at = stop
    header.end = at
    header.body = stop if header.separated else at
    raw = octets[start:at]
    if b"\0" in raw or raw.count(b"\r") != raw.count(b"\r\n"):
        header.unclear = "a header has a NUL or a CR alone"
    header.fields = [
        Field(name, begun, stop, octets[begun + len(name) + 1 : stop])
        for name, begun, stop in lines
    ]
    return header


def _unfold(raw: bytes) -> str:
    return raw.decode("latin-1").replace("\r\n", "").replace("\n", "").strip(" \t")


class Parameterised(NamedTuple):
    """A value such as ``text/plain; charset=utf-8``: all lower case but the parameters' values."""

    value: str = ""
    parameters: Mapping[str, str] = {}


def read_parameters(value: str) -> Parameterised | None:
    """Read a value with its parameters; None if it is not plain: encoded, commented, broken."""
    found = _VALUE.fullmatch(value)
    if not found or "=?" in value or not value.isascii():
        return None
    parameters: dict[str, str] = {}
    rest, at = found[2], 0
    while at < len(rest):
        item = _PARAMETER.match(rest, at)
        if not item:
            return None
        at = item.end()
        if item[1]:
            name = item[1].lower()
            if name in parameters:
                return None
            parameters[name] = item[2] if item[2] is not None else item[3]
    return Parameterised(found[1].lower(), parameters)


def read_content_type(found: Field | None, default: str) -> Parameterised:
    """Say what a Content-Type field means; one that means nothing is the default."""
    if found is None:
        return Parameterised(default)
    value = found.value
    plain = read_parameters(value)
    if plain is None:
        from email.message import Message

        message = Message()
        message.set_default_type(default)
        message["Content-Type"] = value
        parameters: dict[str, str] = {}
        for name, told in message.get_params(failobj=[])[1:]:
            known = told if isinstance(told, str) else collapse(told)
            parameters.setdefault(str(name).lower(), known)
        return Parameterised(message.get_content_type(), parameters)
    if plain.value.count("/") == 1:
        return plain
    return Parameterised("text/plain", plain.parameters)


def read_disposition(found: Field | None) -> Parameterised:
    """Say what a Content-Disposition field means."""
    if found is None:
        return Parameterised()
    plain = read_parameters(found.value)
    if plain is None:
        from email.message import Message

        message = Message()
        message["Content-Disposition"] = found.value
        name = message.get_filename()
        return Parameterised(
            str(message.get_content_disposition() or ""),
            {"filename": decode_words(name)} if name else {},
        )
    return plain


def collapse(encoded: tuple[str | None, str | None, str]) -> str:
    """Decode a parameter of RFC 2231; an unknown charset leaves it as it is."""
    from email.utils import collapse_rfc2231_value

    return str(collapse_rfc2231_value(encoded))


def decode_words(value: str) -> str:
    """Decode the encoded words (RFC 2047) of a value; octets above 127 are taken for UTF-8."""
    if not value.isascii():
        try:
            value = value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            pass
    if "=?" not in value:
        return value
    from email.errors import HeaderParseError
    from email.header import decode_header

    try:
        pieces = decode_header(value)
    except (HeaderParseError, ValueError):
        return value
    decoded = ""
    for piece, charset in pieces:
        if isinstance(piece, str):
            decoded += piece
            continue
        try:
            decoded += piece.decode(charset or "latin-1", "replace")
        except (LookupError, UnicodeError):
            decoded += piece.decode("latin-1")
    return decoded
