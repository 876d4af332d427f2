"""The index: one file a maildrop that remembers what was listed. A cache; it may be deleted.

It is MessagePack in a checked file: the state of the folders at a listing that still holds, or
nothing, and the messages. An entry counts only while the file's identity is the same, and what a
read finds out decides.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Sequence

import msgspec

from pop3_service.maildir import checked
from pop3_service.maildir.message import Message

INDEX_FILE = ".valija-index"
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
        body = checked.read(folder_fd, INDEX_FILE, _HEADER)
    except OSError:
        return Index()
    if body is None:
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
    with contextlib.suppress(OSError):
        checked.write(folder_fd, temporary, _HEADER, body, durable=False)
        try:
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
