"""Imported unique ids: those that messages had at another server, by the base names of their files.

One durable file a maildrop. Only an import writes it. It is no cache: without it, every client of
the account would download all its mail again. So one that cannot be read is told, and the maildrop
stays shut rather than showing other ids.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping

import msgspec

from pop3_service.domain.errors import MaildropDamaged
from pop3_service.maildir import checked
from pop3_service.maildir.index import INDEX_FILE
from pop3_service.maildir.opening import FOLDER_FLAGS

IMPORTED_FILE = ".valija-uidl"
NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that say nothing of the file: mail must not seem to be gone because of them."""
_HEADER = b"valija-uidl 1\n"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[bytes, str])


def are_imported(folder_fd: int) -> bool:
    """Whether a Maildir has imported ids, readable or not."""
    return os.access(IMPORTED_FILE, os.F_OK, dir_fd=folder_fd, follow_symlinks=False)


def load(folder_fd: int) -> dict[str, str]:
    """Give the imported ids by base name; none where nothing was imported.

    Raises:
        MaildropDamaged: the file is there and cannot be read as it was written.
        OSError: there is no room to read it now.
    """
    try:
        body = checked.read(folder_fd, IMPORTED_FILE, _HEADER)
    except FileNotFoundError:
        return {}
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise MaildropDamaged(
            f"the imported unique ids cannot be read: {error.strerror}"
        ) from error
    if body is None:
        raise MaildropDamaged("the imported unique ids are damaged")
    try:
        ids = {os.fsdecode(base): uidl for base, uidl in _decoder.decode(body).items()}
    except msgspec.DecodeError as error:
        raise MaildropDamaged("the imported unique ids are damaged") from error
    octets = "".join(ids.values())
    if not (octets.isascii() and octets.isprintable()):  # none was imported so
        raise MaildropDamaged("the imported unique ids are damaged")
    return ids


def save(folder_fd: int, ids: Mapping[str, str]) -> None:
    """Write the ids in one step, durably; whoever knows the maildrop by others then looks again.

    The caller holds the maildrop's lock.

    Raises:
        OSError: nothing was written, or it is not known to be durable.
    """
    body = _encoder.encode({os.fsencode(base): uidl for base, uidl in ids.items()})
    temporary = f"{IMPORTED_FILE}.new"
    # A FIFO or a link may lie there, or what an import that was cut off left.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder_fd)
    checked.write(folder_fd, temporary, _HEADER, body, durable=True)
    # What workers keep of a maildrop, and the index, count while its folders do not change; this
    # costs nothing at any login. It is durable before the ids are: a session that ended may
    # write its index with the ids of before at any time, and that would count after a power cut.
    _touch(folder_fd, "cur")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(INDEX_FILE, dir_fd=folder_fd)
    os.rename(temporary, IMPORTED_FILE, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    settle(folder_fd)


def settle(folder_fd: int) -> None:
    """Make sure that the ids are durable; the import that wrote them may have failed at it.

    Raises:
        OSError: it is not known.
    """
    os.fsync(folder_fd)


def _touch(folder_fd: int, name: str) -> None:
    fd = os.open(name, FOLDER_FLAGS, dir_fd=folder_fd)
    try:
        os.utime(fd)
        os.fsync(fd)
    finally:
        os.close(fd)
