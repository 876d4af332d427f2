"""One message: its file's name and identity, its order, its unique id."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from typing import NamedTuple

UIDL_MAX = 70
_UIDL = re.compile(rb"[\x21-\x7e]{1,70}")
_TIME = re.compile(r"(\d{1,18})\.")
_MICROSECONDS = re.compile(r"M(\d{1,18})")


class Identity(NamedTuple):
    """What tells whether a file is still the one that was listed."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Identity:
        """Take it from a stat result."""
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a snapshot. ``octets`` is its size in CRLF form, as STAT and LIST tell it."""

    folder: str
    name: str
    uidl: str
    octets: int
    identity: Identity


def base_name(name: str) -> str:
    """Give the part of a Maildir file name that flags do not change."""
    return name.partition(":2,")[0]


def unique_id(name: str, occurrence: int = 1) -> str:
    """Give the UIDL of a file name (RFC 1939 section 7: 1 to 70 octets of 0x21 to 0x7E).

    Two files should never have one base name; where they do, ``occurrence`` counts them.
    """
    base = os.fsencode(base_name(name))
    if occurrence == 1 and _UIDL.fullmatch(base):
        return base.decode("ascii")
    if occurrence > 1:
        base += b"\0%d" % occurrence
    digest = hashlib.sha256(base).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def order(name: str, mtime_ns: int) -> tuple[int, int, str]:
    """Give the sort key of a message: delivery seconds, microseconds, then the name."""
    time = _TIME.match(name)
    if time is None:
        return mtime_ns // 10**9, 0, name
    micro = _MICROSECONDS.search(name, time.end())
    return int(time[1]), int(micro[1]) if micro else 0, name
