"""The maildrop lock (RFC 1939 section 4): one session at a time, across processes and containers.

The kernel holds the lock and drops it with the process, so none can go stale.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import threading
from pathlib import Path

from pop3_service.domain.errors import MaildropInUse, MaildropUnavailable

LOCK_FILE = ".valija.lock"


def lock_key(parts: tuple[str, ...]) -> int:
    """Give the place of a maildrop's byte in the lock file, by its path beneath the root."""
    digest = hashlib.sha256(os.fsencode("/".join(parts))).digest()
    return int.from_bytes(digest[:8], "big") >> 2


class MaildropLock:
    """Locks on maildrops, each a byte of one file at the mail root.

    A directory cannot be locked on a network file system, and a file a maildrop would cost a
    descriptor a session. A byte range of one open file description does not exclude itself, so
    a set excludes the sessions of this process from one another.
    """

    def __init__(self, root: Path) -> None:
        """Open the lock file.

        Raises:
            MaildropUnavailable: it cannot be made or opened.
        """
        self._held: set[int] = set()
        self._guard = threading.Lock()  # sessions lock in the loop and in threads
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(root / LOCK_FILE, flags, 0o600)
        except OSError as error:
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
        """Let go of all locks."""
        os.close(self._fd)

    def _set(self, kind: int, key: int) -> None:
        # struct flock: l_type, l_whence, l_start, l_len, l_pid (0 for an OFD lock).
        fcntl.fcntl(
            self._fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, key, 1, 0)
        )
