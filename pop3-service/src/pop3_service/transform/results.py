"""One account's results of one transform, and the drafts that become results."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from pop3_service.transform.sweeping import disk_octets

USE_NOTED_S = 3600
"""Uses of a result within this time are noted once: a use is no write to the disk."""
VANISHED_S = 3600
"""Age of a result whose message is not there: a younger one may be of mail that has just come."""
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Room(Protocol):
    """Who counts what results take on the disk."""

    def room(self, octets: int) -> AbstractContextManager[bool]:
        """Count a result that is published within the block, if there is room for it."""

    def give_room(self, octets: int) -> None:
        """Count less."""

    def now_s(self) -> float:
        """Give the time (Unix)."""


class Draft:
    """A file that is written, and becomes a result or none."""

    def __init__(self, file: BinaryIO, name: Path | None = None) -> None:
        """``name`` is where it is, for a file system that knows no files without a name."""
        self.file = file
        self._name = name

    @classmethod
    def make(cls, folder: Path) -> Draft:
        """Make an empty one in a folder, without a name if the file system can.

        Raises:
            OSError: it cannot be made.
        """
        with contextlib.suppress(OSError):
            fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
            return cls(open(fd, "r+b", buffering=0))
        return cls.make_named(folder)

    @classmethod
    def make_named(cls, folder: Path) -> Draft:
        """Make one with a name; it is locked, so that a sweep can tell it from a leftover."""
        name = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_SH)
        return cls(open(fd, "r+b", buffering=0), name)

    def link(self, folder_fd: int, name: str) -> None:
        """Give it its name.

        Raises:
            OSError: there is one of that name, or there can be none.
        """
        source = self._name or f"/proc/self/fd/{self.file.fileno()}"
        os.link(source, name, dst_dir_fd=folder_fd, follow_symlinks=self._name is None)
        self.unlink()

    def unlink(self) -> None:
        """Leave it to whoever has it open."""
        name, self._name = self._name, None
        if name is not None:
            with contextlib.suppress(OSError):
                name.unlink()

    def close(self) -> None:
        """Let go of it."""
        self.unlink()
        self.file.close()


class Folder:
    """One account's results of one transform, held so that none is evicted.

    Every method but ``close`` may wait for the disk.
    """

    def __init__(self, room: Room, fd: int) -> None:
        """Take over a folder that is locked."""
        self._room = room
        self._fd = fd
        self._guard = threading.Lock()
        self._users = 1

    def sizes(self) -> dict[str, int]:
        """Give every result's size in octets by its message."""
        with self._used() as fd, os.scandir(fd) as entries:
            return {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}

    def open(self, message: str) -> int | None:
        """Open a message's result to read it; None if there is none."""
        try:
            with self._used() as folder_fd:
                fd = os.open(message, _READ_FLAGS, dir_fd=folder_fd)
        except OSError:
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            os.close(fd)
            return None
        now_s = self._room.now_s()
        if now_s - status.st_atime > USE_NOTED_S:
            with contextlib.suppress(OSError):
                os.utime(fd, ns=(int(now_s * 1e9), status.st_mtime_ns))
        return fd

    def publish(self, message: str, draft: Draft) -> bool:
        """Keep a whole draft as a message's result if there is room for it.

        False if there is a result already: that one counts.
        """
        octets = disk_octets(os.fstat(draft.file.fileno()))
        with self._room.room(octets) as there_is_room:
            if not there_is_room:
                return True
            try:
                with self._used() as fd:
                    draft.link(fd, message)
            except OSError as error:
                self._room.give_room(octets)
                return error.errno != errno.EEXIST
            return True

    def keep_only(self, messages: Iterable[str]) -> None:
        """Remove results whose messages are not there any more."""
        wanted = set(messages)
        before_s = self._room.now_s() - VANISHED_S
        freed = 0
        with contextlib.suppress(OSError), self._used() as fd, os.scandir(fd) as entries:
            for entry in entries:
                if entry.name not in wanted:
                    status = entry.stat(follow_symlinks=False)
                    if status.st_mtime < before_s:
                        os.unlink(entry.name, dir_fd=fd)
                        freed += disk_octets(status)
        self._room.give_room(freed)

    def close(self) -> None:
        """Let it go, and note the use; what is under way in threads comes to its end first."""
        with contextlib.suppress(OSError):
            os.utime(self._fd, (self._room.now_s(), self._room.now_s()))
        self._leave()

    @contextlib.contextmanager
    def _used(self) -> Iterator[int]:
        """Keep the descriptor for a while: it must not be another's when it is used."""
        with self._guard:
            if not self._users:
                raise OSError(errno.EBADF, "the folder was let go")
            self._users += 1
        try:
            yield self._fd
        finally:
            self._leave()

    def _leave(self) -> None:
        with self._guard:
            self._users -= 1
            if not self._users:
                os.close(self._fd)
