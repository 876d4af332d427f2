"""Listing: the messages of a Maildir, in order, with their sizes and unique ids.

Only regular files with one name are mail. Dot-names, directories, FIFOs, sockets, devices, links
and files that cannot be read are passed over and counted.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from lineproto.stuffing import OctetCounter
from pop3_service.maildir import index
from pop3_service.maildir.message import Identity, Message, base_name, order, unique_id

CHUNK = 256 * 1024
RESCANS = 3
FOLDERS = ("new", "cur")
"""``new`` first: a file that moves to ``cur`` meanwhile is seen twice rather than not at all."""
READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Listing:
    """The messages, and how many entries were no mail."""

    messages: tuple[Message, ...]
    passed_over: int


@dataclass(frozen=True, slots=True)
class _Entry:
    folder: str
    name: str
    identity: Identity


def is_mail(entry: os.stat_result) -> bool:
    """Whether a directory entry (not followed) can be a message."""
    return stat.S_ISREG(entry.st_mode) and entry.st_nlink == 1


def list_messages(folder_fd: int, *, update_index: bool) -> Listing:
    """List a Maildir's messages. Reads only files that the index does not know.

    ``update_index`` is for callers that hold the maildrop lock.

    Raises:
        OSError: ``cur`` or ``new`` cannot be read.
    """
    entries, passed_over = _stable_scan(folder_fd)
    entries.sort(key=lambda entry: order(entry.name, entry.identity.mtime_ns))
    sizes = index.load(folder_fd)
    messages: list[Message] = []
    seen: dict[str, int] = {}
    measured = 0
    for entry in entries:
        octets = index.known_octets(sizes, entry.identity)
        if octets is None:
            octets = _measure(folder_fd, entry)
            measured += 1
        if octets is None:
            passed_over += 1
            continue
        base = base_name(entry.name)
        seen[base] = occurrence = seen.get(base, 0) + 1
        uidl = unique_id(entry.name, occurrence)
        messages.append(Message(entry.folder, entry.name, uidl, octets, entry.identity))
    if update_index and (measured or len(sizes) != len(messages)):
        index.save(folder_fd, messages)
    return Listing(tuple(messages), passed_over)


def _stable_scan(folder_fd: int) -> tuple[list[_Entry], int]:
    """Scan until nothing was renamed meanwhile, a few times at most."""
    for _ in range(RESCANS):
        before = _mtimes(folder_fd)
        found = _scan(folder_fd)
        if _mtimes(folder_fd) == before:
            break
    return found


def _mtimes(folder_fd: int) -> list[int]:
    return [os.stat(folder, dir_fd=folder_fd).st_mtime_ns for folder in FOLDERS]


def _scan(folder_fd: int) -> tuple[list[_Entry], int]:
    entries: dict[tuple[int, int], _Entry] = {}
    passed_over = 0
    for folder in FOLDERS:
        fd = os.open(folder, FOLDER_FLAGS, dir_fd=folder_fd)
        try:
            with os.scandir(fd) as found:
                for item in found:
                    if item.name.startswith("."):
                        continue
                    try:
                        status = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    if not is_mail(status):
                        passed_over += 1
                        continue
                    entry = _Entry(folder, item.name, Identity.of(status))
                    entries[status.st_dev, status.st_ino] = entry
        finally:
            os.close(fd)
    return list(entries.values()), passed_over


def _measure(folder_fd: int, entry: _Entry) -> int | None:
    """Count a message's octets by reading it; None if it cannot be read or is gone."""
    try:
        fd = os.open(f"{entry.folder}/{entry.name}", READ_FLAGS, dir_fd=folder_fd)
    except OSError:
        return None
    try:
        if not is_mail(os.fstat(fd)):
            return None
        counter = OctetCounter()
        while chunk := os.read(fd, CHUNK):
            counter.feed(chunk)
        return counter.finish()
    except OSError:
        return None
    finally:
        os.close(fd)
