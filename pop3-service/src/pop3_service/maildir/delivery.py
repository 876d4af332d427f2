"""Delivery and care from the management side: make, fill, list, read and remove Maildirs."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import BinaryIO

from lineproto.clock import Clock
from lineproto.stuffing import OctetCounter
from pop3_service.domain.errors import MaildropUnavailable, MessageNotFound
from pop3_service.maildir.listing import Snapshot, list_messages
from pop3_service.maildir.message import unique_id
from pop3_service.maildir.opening import open_to_read
from pop3_service.maildir.paths import make_folder, open_folder

REMOVALS = 100
"""Times that a Maildir is removed again because something was written in it meanwhile."""
_counter = itertools.count(1)


class Delivery:
    """One message on its way into a Maildir: written to ``tmp``, then renamed to ``new``.

    The file is synced before it is renamed and the folder after it, so a delivery that was
    answered stays. Use as a context manager; without ``commit`` nothing is left behind.
    """

    def __init__(self, root: Path, parts: tuple[str, ...], clock: Clock) -> None:
        make_folder(root, parts)
        now = clock.now()
        host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
        unique = f"M{now.microsecond}P{os.getpid()}Q{next(_counter)}"
        self.name = f"{int(now.timestamp())}.{unique}.{host[:24]}"
        self._counter = OctetCounter()
        self._file: BinaryIO
        self._done = False
        try:
            self._folder_fd = open_folder(root, parts)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                fd = os.open(f"tmp/{self.name}", flags, 0o600, dir_fd=self._folder_fd)
            except BaseException:
                os.close(self._folder_fd)
                raise
            self._file = open(fd, "wb")
        except OSError as error:
            raise MaildropUnavailable(f"cannot store the message: {error.strerror}") from error

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a full disk was told of already
            self._file.close()
        if not self._done:
            with contextlib.suppress(OSError):  # whoever cleans tmp may have been here first
                os.unlink(f"tmp/{self.name}", dir_fd=self._folder_fd)
        os.close(self._folder_fd)

    def write(self, chunk: bytes) -> None:
        """Write the next octets as they are.

        Raises:
            MaildropUnavailable: the disk is full or failed.
        """
        try:
            self._file.write(chunk)
        except OSError as error:
            raise MaildropUnavailable(f"cannot store the message: {error.strerror}") from error
        self._counter.feed(chunk)

    def commit(self) -> tuple[str, int]:
        """Make the message visible and durable; give its unique id and its octets in CRLF form."""
        folder_fd = self._folder_fd
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            os.rename(
                f"tmp/{self.name}", f"new/{self.name}", src_dir_fd=folder_fd, dst_dir_fd=folder_fd
            )
            self._done = True
            new_fd = os.open("new", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder_fd)
            try:
                os.fsync(new_fd)
            finally:
                os.close(new_fd)
        except OSError as error:
            raise MaildropUnavailable(f"cannot store the message: {error.strerror}") from error
        return unique_id(self.name), self._counter.finish()


def list_maildir(root: Path, parts: tuple[str, ...]) -> Snapshot:
    """List a Maildir without its lock, as a session opened now would.

    Raises:
        MaildropUnavailable: it cannot be read.
    """
    try:
        folder_fd = open_folder(root, parts)
        try:
            return list_messages(folder_fd).snapshot
        finally:
            os.close(folder_fd)
    except FileNotFoundError:
        return Snapshot((), 0)
    except OSError as error:
        raise MaildropUnavailable(f"cannot read the maildrop: {error.strerror}") from error


def open_stored(root: Path, parts: tuple[str, ...], uidl: str) -> BinaryIO:
    """Open a message by its unique id; raises as ``open_counted``."""
    return open_counted(root, parts, uidl)[0]


def open_counted(root: Path, parts: tuple[str, ...], uidl: str) -> tuple[BinaryIO, int]:
    """Open a message by its unique id; give its octets in CRLF form as well.

    Raises:
        MessageNotFound: there is none of that id.
        MaildropUnavailable: it cannot be read.
    """
    for message in list_maildir(root, parts).messages:
        if message.uidl != uidl:
            continue
        try:
            folder_fd = open_folder(root, parts)
            try:
                path = f"{message.folder}/{message.name}"
                return open(open_to_read(folder_fd, path), "rb"), message.octets
            finally:
                os.close(folder_fd)
        except FileNotFoundError:
            break
        except OSError as error:
            raise MaildropUnavailable(f"cannot read the message: {error.strerror}") from error
    raise MessageNotFound(f"there is no message {uidl!r}")


def remove_maildir(root: Path, parts: tuple[str, ...]) -> None:
    """Remove a Maildir with all its mail; one that is not there is no error.

    Raises:
        MaildropUnavailable: some of it is still there.
    """
    try:
        parent_fd = open_folder(root, parts[:-1])
        try:
            _remove_tree(parts[-1], parent_fd)
        finally:
            os.close(parent_fd)
    except FileNotFoundError:
        return
    except OSError as error:
        raise MaildropUnavailable(f"cannot remove the Maildir: {error.strerror}") from error


def _remove_tree(name: str, parent_fd: int) -> None:
    """Remove a folder that others may still rename and write in, as a session that just ended."""
    for tries_left in reversed(range(REMOVALS)):
        try:
            if sys.version_info >= (3, 12):
                shutil.rmtree(name, dir_fd=parent_fd, onexc=_unless_gone)
            else:
                shutil.rmtree(name, dir_fd=parent_fd, onerror=_unless_gone)
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not tries_left:
                raise


def _unless_gone(*_: object) -> None:
    if not isinstance(sys.exception(), FileNotFoundError):
        raise
