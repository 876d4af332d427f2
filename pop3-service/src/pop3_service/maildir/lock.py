"""The maildrop lock (RFC 1939 section 4): one session at a time, across processes and containers.

The kernel holds the lock and drops it with the process, so none can go stale.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import struct
import threading
from pathlib import Path

from pop3_service.domain.errors import MaildropInUse, MaildropUnavailable
from pop3_service.maildir.opening import FOLDER_FLAGS

LOCK_FOLDER = ".valija-locks"
FILES = 128
"""The kernel goes through all locks of a file one by one. Measured with 10,000 sessions in one
file: more than 1 ms a login; in so many files they are not noticed."""


def lock_key(parts: tuple[str, ...]) -> int:
    """Give the place of a maildrop's byte in the lock files, by its path beneath the root."""
    digest = hashlib.sha256(os.fsencode("/".join(parts))).digest()
    return int.from_bytes(digest[:8], "big") >> 2


class MaildropLock:
    """Locks on maildrops, each a byte of one of a few files at the mail root.

    A directory cannot be locked on a network file system, and a file a maildrop would cost a
    descriptor a session. A byte range of one open file description does not exclude itself, so
    a set excludes the sessions of this process from one another.
    """

    def __init__(self, root: Path) -> None:
        """Open the lock files.

        Raises:
            MaildropUnavailable: they cannot be made or opened.
        """
        self._held: set[int] = set()
        self._guard = threading.Lock()  # sessions lock in the loop and in threads
        self._fds: list[int] = []
        try:
            self._open_files(root / LOCK_FOLDER)
        except OSError as error:
            self.close()
            raise MaildropUnavailable(f"cannot lock maildrops: {error.strerror}") from error

    def acquire(self, key: int) -> None:
        """Lock a maildrop by its ``lock_key``.

        Raises:
            MaildropInUse: another session holds it.
            MaildropUnavailable: the file system refused to lock.
        """
        with self._guard:
            if key in self._held:
                raise MaildropInUse
            try:
                self._set(fcntl.F_WRLCK, key)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise MaildropInUse from None
                raise MaildropUnavailable(f"cannot lock the maildrop: {error.strerror}") from error
            self._held.add(key)

    def release(self, key: int) -> None:
        """Unlock."""
        with self._guard:
            if key in self._held:
                self._set(fcntl.F_UNLCK, key)
                self._held.discard(key)

    def close(self) -> None:
        """Let go of all locks; one that is released later is no error."""
        self._held.clear()
        while self._fds:
            os.close(self._fds.pop())

    def _open_files(self, folder: Path) -> None:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)
        folder_fd = os.open(folder, FOLDER_FLAGS)
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            for number in range(FILES):
                self._fds.append(os.open(f"{number:02x}", flags, 0o600, dir_fd=folder_fd))
        finally:
            os.close(folder_fd)

    def _set(self, kind: int, key: int) -> None:
        place, file = divmod(key, FILES)
        # struct flock: l_type, l_whence, l_start, l_len, l_pid (0 for an OFD lock).
        flock = struct.pack("hhqqi4x", kind, os.SEEK_SET, place, 1, 0)
        fcntl.fcntl(self._fds[file], fcntl.F_OFD_SETLK, flock)
