"""The index: one file a maildrop that remembers what was listed. A cache; it may be deleted.

After a line that names the format and one with the CRC-32 of the rest comes MessagePack: the state
of the folders at a listing that still holds, or nothing, and the messages. An entry counts only
while the file's identity is the same, and what a read finds out decides.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import zlib
from collections.abc import Sequence

import msgspec

from pop3_service.maildir.message import Message

INDEX_FILE = ".valija-index"
READ_SIZE = 1024 * 1024
_HEADER = b"valija-index 3\n"
_FOLDERS = frozenset({"new", "cur"})
_counter = itertools.count(1)

FolderState = tuple[int, int, int, int, int, int]
"""Device, inode and mtime (ns) of ``new`` and of ``cur``."""


class Index(msgspec.Struct, frozen=True, array_like=True):
    """What an index file holds. With a ``state``, all messages there were in that state."""

    state: FolderState | None = None
    messages: tuple[Message, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Index)


def load(folder_fd: int) -> Index:
    """Read the index; an empty one if it is missing, damaged or cannot be read."""
    try:
        data = _read(folder_fd)
    except OSError:
        return Index()
    start = len(_HEADER) + 9
    body = data[start:]
    if data[:start] != _HEADER + b"%08x\n" % zlib.crc32(body):
        return Index()
    try:
        stored = _decoder.decode(body)
    except msgspec.DecodeError:
        return Index()
    return stored if _is_sound(stored) else Index()


def save(folder_fd: int, messages: Sequence[Message], state: FolderState | None) -> None:
    """Write the index anew, in one step; a failure is no harm."""
    try:
        body = _encoder.encode(Index(state, tuple(messages)))
    except UnicodeEncodeError:  # names that are no UTF-8: these are measured each time
        body = _encoder.encode(Index(None, tuple(filter(_has_plain_name, messages))))
    temporary = f"{INDEX_FILE}.{os.getpid()}.{next(_counter)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        fd = os.open(temporary, flags, 0o600, dir_fd=folder_fd)
        try:
            with open(fd, "wb") as file:
                file.write(_HEADER + b"%08x\n" % zlib.crc32(body))
                file.write(body)
            os.rename(temporary, INDEX_FILE, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        except OSError:
            os.unlink(temporary, dir_fd=folder_fd)


def remove(folder_fd: int) -> None:
    """Remove the index, where a file is not as it says; the next listing looks at every file."""
    with contextlib.suppress(OSError):
        os.unlink(INDEX_FILE, dir_fd=folder_fd)


def _is_sound(stored: Index) -> bool:
    """Whether no entry leads out of the Maildir, and all ids can stand in a listing.

    Whoever delivers to it can write an index too.
    """
    messages = stored.messages
    ids = "".join([message.uidl for message in messages])
    return (
        {message.folder for message in messages} <= _FOLDERS
        and "/" not in "".join([message.name for message in messages])
        and ids.isascii()
        and "\r" not in ids
        and "\n" not in ids
    )


def _has_plain_name(message: Message) -> bool:
    try:
        message.name.encode()
    except UnicodeEncodeError:
        return False
    return True


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
