"""The index: one file a maildrop that remembers sizes. A cache; it may be deleted at any time.

A line is ``inode size mtime_ns octets base-name``; the last line is the CRC-32 of all before it.
An entry counts only while the file's identity is the same, and what a read finds out decides.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable

from pop3_service.maildir.message import Identity, Message, base_name

INDEX_FILE = ".valija-index"
READ_SIZE = 1024 * 1024
_HEADER = b"valija-index 1\n"

Sizes = dict[tuple[int, int, int], int]
"""Octets in CRLF form by inode, size and mtime (ns)."""


def load(folder_fd: int) -> Sizes:
    """Read the index; nothing if it is missing, damaged or cannot be read."""
    try:
        data = _read(folder_fd)
    except OSError:
        return {}
    body, _, check = data.rstrip(b"\n").rpartition(b"\n")
    body += b"\n"
    if not body.startswith(_HEADER) or check != b"%08x" % zlib.crc32(body):
        return {}
    sizes: Sizes = {}
    for line in body.splitlines()[1:]:
        inode, size, mtime_ns, octets = map(int, line.split(b" ", 4)[:4])
        sizes[inode, size, mtime_ns] = octets
    return sizes


def save(folder_fd: int, messages: Iterable[Message]) -> None:
    """Write the index anew, in one step; a failure is no harm. The caller holds the lock."""
    lines = [_HEADER]
    for message in messages:
        base = os.fsencode(base_name(message.name))
        if b"\n" in base or b"\r" in base:
            continue
        _, inode, size, mtime_ns = message.identity
        lines.append(b"%d %d %d %d %s\n" % (inode, size, mtime_ns, message.octets, base))
    body = b"".join(lines)
    temporary = f"{INDEX_FILE}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        fd = os.open(temporary, flags, 0o600, dir_fd=folder_fd)
        try:
            with open(fd, "wb") as file:
                file.write(body + b"%08x\n" % zlib.crc32(body))
            os.rename(temporary, INDEX_FILE, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        except OSError:
            os.unlink(temporary, dir_fd=folder_fd)


def _read(folder_fd: int) -> bytes:
    # What lies under this name may be anything; a FIFO, say, must not hold up the login.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    fd = os.open(INDEX_FILE, flags, dir_fd=folder_fd)
    try:
        pieces = []
        while piece := os.read(fd, READ_SIZE):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def known_octets(sizes: Sizes, identity: Identity) -> int | None:
    """Give the octets of a file that is still the one that was measured."""
    return sizes.get((identity.inode, identity.size, identity.mtime_ns))
