"""One message: its file's name and identity, its order, its unique id."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from collections.abc import Sequence

import msgspec

from lineproto.stuffing import UTF8_HEADER
from pop3_service.maildir.syscalls import FileStatus

KIND = 0o170000
"""The part of a mode that tells what kind of file it is."""
FLAGS_BEGIN = ":2,"
"""What ends a name's part that stays, and begins its flags (the Maildir format)."""
MAX_UIDL = 70
_UIDL = re.compile(rf"[\x21-\x7e]{{1,{MAX_UIDL}}}")
_TIME = re.compile(r"(\d{1,18})\.(?:M(\d{1,18}))?")
_MICROSECONDS = re.compile(r"M(\d{1,18})")


class Message(msgspec.Struct, array_like=True, gc=False):
    """A message of a snapshot: a msgspec struct, since an index of 100,000 is read at once.

    ``octets`` is its size in CRLF form, as STAT and LIST tell it, and ``form`` what is known of
    its octets (``lineproto.stuffing``): what may change, as more is found out by
    sending it. ``inode``, ``size`` and ``mtime_ns`` tell whether a file is
    still the one that was listed. ``ctime_ns`` is that of the file when ``form`` was true of it:
    nobody can set it, while a message sent by a false form would have a false end.
    """

    folder: str
    name: str
    uidl: str
    octets: int
    form: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int = 0

    @property
    def identity(self) -> str:
        """What tells this file from every other of its maildrop, there now or before it.

        The base name is in it: an inode may come again, with the same size and in the same tick
        of the clock; flags are not, so a message that was seen stays the same.
        """
        facts = f"{base_name(self.name)}\0{self.inode}\0{self.size}\0{self.mtime_ns}"
        return hashlib.blake2b(os.fsencode(facts), digest_size=16).hexdigest()

    def is_in(self, status: os.stat_result | FileStatus) -> bool:
        """Whether the file of this status is the message as it was listed.

        What is known of its octets is forgotten if anything was done to the file since.
        """
        if status.st_ctime_ns != self.ctime_ns:
            self.form &= UTF8_HEADER
            self.ctime_ns = status.st_ctime_ns
        return (
            status.st_ino == self.inode
            and status.st_size == self.size
            and status.st_mtime_ns == self.mtime_ns
            and is_mail(status)
        )


def is_mail(status: os.stat_result | FileStatus) -> bool:
    """Whether a file (not followed) can be a message: a regular one, with one name."""
    return status.st_mode & KIND == stat.S_IFREG and status.st_nlink == 1


def base_name(name: str) -> str:
    """Give the part of a Maildir file name that flags do not change."""
    return name.partition(FLAGS_BEGIN)[0]


def is_unique_id(text: str) -> bool:
    """Whether this can be a UIDL (RFC 1939 section 7)."""
    return _UIDL.fullmatch(text) is not None


def are_unique_ids(texts: Sequence[str]) -> bool:
    """Whether all these can be UIDLs, and no two are the same: as one question, in a tenth."""
    every, text = set(texts), "".join(texts)
    return (
        len(every) == len(texts)
        and "" not in every
        and max(map(len, texts), default=0) <= MAX_UIDL
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


def unique_id(name: str, occurrence: int = 1) -> str:
    """Give the UIDL of a file name (RFC 1939 section 7: 1 to 70 octets of 0x21 to 0x7E).

    Two files should never have one base name; where they do, ``occurrence`` counts them.
    """
    return id_of_base(base_name(name), occurrence)


def id_of_base(base: str, occurrence: int) -> str:
    """Give the UIDL of a file's base name; see ``unique_id``.

    A negative ``occurrence`` gives another one, for a file whose own was imported by another.
    """
    if occurrence == 1 and _UIDL.fullmatch(base):
        return base
    octets = os.fsencode(base)
    if occurrence != 1:
        octets += b"\0%d" % occurrence
    digest = hashlib.sha256(octets).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def order(name: str, mtime_ns: int) -> tuple[int, int, str]:
    """Give the sort key of a message: delivery seconds, microseconds, then the name."""
    time = _TIME.match(name)
    if time is None:
        return mtime_ns // 10**9, 0, name
    seconds, micro = time.group(1, 2)
    if micro is None:
        found = _MICROSECONDS.search(name, time.end())
        micro = found[1] if found else 0
    return int(seconds), int(micro), name
