"""One at a time for each key, over all processes: so that nothing is computed twice at once.

Within a process that is a lock of asyncio, beyond it a byte of a file; the kernel drops that with
the process, so none can go stale.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

from lineproto.clock import Clock

LOOKS_S = 0.05
"""Pause between two looks at a lock that another process holds."""


class Once:
    """Locks by key; ``file`` is what processes share, made when it is first needed."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._fd = -1
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def alone(self, key: str) -> AsyncIterator[None]:
        """Wait until nobody else is within this block by that key.

        Where the file cannot be had, other processes are not waited for.
        """
        lock, users = self._locks.get(key, (None, 0))
        lock = lock or asyncio.Lock()
        self._locks[key] = lock, users + 1
        try:
            async with lock:
                place = _place(key)
                while not self._set(fcntl.F_WRLCK, place):
                    await self._clock.sleep(LOOKS_S)
                try:
                    yield
                finally:
                    self._set(fcntl.F_UNLCK, place)
        finally:
            users = self._locks[key][1] - 1
            if users:
                self._locks[key] = lock, users
            else:
                del self._locks[key]

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _set(self, kind: int, place: int) -> bool:
        """Lock or unlock a byte; False where another process holds it."""
        # struct flock: l_type, l_whence, l_start, l_len, l_pid (0 for an OFD lock).
        flock = struct.pack("hhqqi4x", kind, os.SEEK_SET, place, 1, 0)
        try:
            if self._fd < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._fd = os.open(self._file, flags, 0o600)
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, flock)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: it is held
            return self._fd < 0
        except OSError:
            return True
        return True


def _place(key: str) -> int:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2
