"""The files in which other servers keep unique ids: read into base name and id."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from pop3_service.domain.errors import InvalidArgument
from pop3_service.maildir.uidl_format import OldMessage, UidlFormat

DOVECOT_FORMAT = "dovecot"
_NUMBER = re.compile(rb"\d{1,20}")
_COURIER_HEADER = re.compile(rb"/([123]) +\d{1,20}(?: +\d{1,20})?\s*")
_COURIER_IDS = re.compile(rb"(\d{1,20})(?::(\d{1,20})(?::\d+)?)?")
_ESCAPED_BY_COURIER = frozenset(b"'\"+")


class IdSource(StrEnum):
    """A server whose ids can be taken over."""

    DOVECOT = "dovecot"
    COURIER = "courier"

    @property
    def file(self) -> str:
        """The file's name in the Maildir."""
        return {IdSource.DOVECOT: "dovecot-uidlist", IdSource.COURIER: "courierpop3dsizelist"}[self]


@dataclass(slots=True)
class OldIds:
    """What such a file says: ids by base name as they are there, and lines that say nothing."""

    ids: dict[str, str] = field(default_factory=dict)
    broken_lines: int = 0


def read_old_ids(source: IdSource, data: bytes, uidl_format: str = "") -> OldIds:
    """Read a server's file. ``uidl_format`` is Dovecot's ``pop3_uidl_format``.

    Raises:
        InvalidArgument: the file's first line or the format cannot be read.
    """
    if source is IdSource.DOVECOT:
        return _read_dovecot(data, UidlFormat(uidl_format or DOVECOT_FORMAT))
    if uidl_format:
        raise InvalidArgument("a format is for Dovecot's ids; Courier has one of its own")
    return _read_courier(data)


def _read_dovecot(data: bytes, uidl_format: UidlFormat) -> OldIds:
    lines = _lines(data)
    version, *fields = next(lines, b"").split() or [b""]
    validity = b""
    if version == b"3":
        validity = next((it[1:] for it in fields if it[:1] == b"V"), b"")
    elif version == b"1":
        validity = fields[0] if fields else b""
    if not _NUMBER.fullmatch(validity):
        raise InvalidArgument("dovecot-uidlist: the first line is none of versions 1 and 3")
    take = _dovecot_3 if version == b"3" else _dovecot_1
    return _collect(lines, lambda line: take(line, int(validity), uidl_format))


def _dovecot_3(line: bytes, validity: int, uidl_format: UidlFormat) -> tuple[bytes, str] | None:
    """Read ``<uid> [<letter><value> …] :<file name>``."""
    head, colon, name = line.partition(b" :")
    uid, *extras = head.split(b" ")
    if not colon or not name or not _NUMBER.fullmatch(uid):
        return None
    values = {it[:1]: it[1:] for it in extras}
    base = os.fsdecode(name.partition(b":")[0])
    own = values.get(b"P")  # an id of its own goes before the format; an empty one is the name
    if own is not None:
        return name, os.fsdecode(own) or base
    guid = os.fsdecode(values.get(b"G", b"")) or base
    return name, uidl_format.fill(OldMessage(int(uid), validity, base, guid))


def _dovecot_1(line: bytes, validity: int, uidl_format: UidlFormat) -> tuple[bytes, str] | None:
    """Read ``<uid> <file name>``."""
    uid, _, name = line.partition(b" ")
    if not name or not _NUMBER.fullmatch(uid):
        return None
    base = os.fsdecode(name.partition(b":")[0])
    return name, uidl_format.fill(OldMessage(int(uid), validity, base, base))


def _read_courier(data: bytes) -> OldIds:
    if not data.startswith(b"/"):
        return _collect(_lines(data), _courier_0)
    lines = _lines(data)
    if not _COURIER_HEADER.fullmatch(next(lines)):
        raise InvalidArgument("courierpop3dsizelist: the first line is none of versions 1 to 3")
    return _collect(lines, _courier)


def _courier_0(line: bytes) -> tuple[bytes, str] | None:
    """Read ``<file name> <octets>``; the id is the name."""
    name, _, octets = line.rpartition(b" ")
    if not name or not _NUMBER.fullmatch(octets):
        return None
    return name, _courier_name(name)


def _courier(line: bytes) -> tuple[bytes, str] | None:
    """Read ``<file name> <octets> <uid>[:<uidvalidity>[:<needs UTF-8>]]``."""
    name, octets, ids = [*line.rsplit(b" ", 2), b"", b""][:3]
    found = _COURIER_IDS.fullmatch(ids)
    if not name or not _NUMBER.fullmatch(octets) or found is None:
        return None
    uid, validity = int(found[1]), int(found[2] or 0)
    if not uid:
        return name, _courier_name(name)
    return name, f"UID{uid}-{validity}" if validity else f"UID{uid}"


def _courier_name(name: bytes) -> str:
    return "".join(
        f"+{octet:02X}" if not 0x21 <= octet <= 0x7E or octet in _ESCAPED_BY_COURIER else chr(octet)
        for octet in name.partition(b":")[0]
    )


def _lines(data: bytes) -> Iterator[bytes]:
    # A name may hold any octet but this one.
    return (line for line in data.split(b"\n") if line)


def _collect(lines: Iterator[bytes], read: Callable[[bytes], tuple[bytes, str] | None]) -> OldIds:
    found = OldIds()
    for line in lines:
        entry = read(line)
        if entry is None:
            found.broken_lines += 1
        else:
            found.ids[os.fsdecode(entry[0].partition(b":2,")[0])] = entry[1]
    return found
