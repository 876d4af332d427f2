"""Making room among results: what is there longest without use goes, where no session holds it.

All results of one account and transform are used at once, when its sizes are asked for, so the
folder that was not used for longest goes first; within it, the result that was not sent for
longest. One process sweeps at a time; all functions here wait for the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RESULTS = "results"
SPOOL = "spool"
PERIOD_S = 300.0
"""Time between two sweeps where there is room."""
UNUSED_S = 30 * 86_400
"""A folder that nobody used for so long goes: its account or its transform is gone, most likely."""
BLOCK = 4096
"""A result takes whole blocks of the disk."""
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_BOOT_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did: ``used`` octets are left."""

    removed: int
    used: int


@dataclass(frozen=True, slots=True)
class _Seen:
    """A folder of results as a sweep met it."""

    path: str
    used_s: float
    octets: int
    leased: bool


def disk_octets(status: os.stat_result) -> int:
    """Give what a file takes on the disk: at least its size, as what is new is not there yet."""
    return max(status.st_blocks * 512, -(-status.st_size // BLOCK) * BLOCK, BLOCK)


def count(base: Path, change: int, most: int | None = None) -> int:
    """Change the octets that are counted as used, for all processes; give the new count.

    With ``most``, one that would be more is given and not counted.
    """
    fd = os.open(base / "used", _FILE_FLAGS, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        octets = os.pread(fd, 8, 0)
        before = struct.unpack("q", octets)[0] if len(octets) == 8 else 0
        after = max(before + change, 0)
        if change and (most is None or after <= most):
            os.pwrite(fd, struct.pack("q", after), 0)
        return after
    finally:
        os.close(fd)


def take(base: Path, octets: int, most: int) -> int:
    """Count what is about to be published, if no more than ``most`` is used then.

    Give a descriptor to be closed once it is there: until then no sweep counts, for it would not
    see it. -1 says that it would be too much.
    """
    fd = os.open(base / "publishing", _FILE_FLAGS, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        if count(base, octets, most) <= most:
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return -1


def is_due(base: Path, now_s: float) -> bool:
    """Whether the last sweep is a while ago."""
    try:
        return not 0 <= now_s - os.stat(base / "swept").st_mtime < PERIOD_S
    except FileNotFoundError:
        return True


def sweep(root: Path, boot: str, target: int, now_s: float) -> Swept | None:
    """Count anew, remove what nobody will use, and evict until ``target`` octets are used.

    Waits for another's sweep; None if that was enough.
    """
    base = root / boot
    fd = os.open(base / "swept", _FILE_FLAGS, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if not is_due(base, now_s) and count(base, 0) <= target:
            return None
        os.utime(fd, (now_s, now_s))
        _remove_leftovers(root, boot)
        counted = _count_published(base)
        seen, removed = _look(base / RESULTS, now_s)
        used = count(base, sum(it.octets for it in seen) - counted)
        for it in sorted((it for it in seen if not it.leased), key=lambda it: it.used_s):
            if used <= target:
                break
            gone, freed = _evict(it.path, used - target)
            removed += gone
            used = count(base, -freed)
        return Swept(removed, used)
    finally:
        os.close(fd)


def _count_published(base: Path) -> int:
    """Give the count when all that is counted is there to be seen."""
    fd = os.open(base / "publishing", _FILE_FLAGS, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return count(base, 0)
    finally:
        os.close(fd)


def remove_account(path: Path) -> int:
    """Remove an account's results, held or not; give the octets that are free now."""
    freed = 0
    with contextlib.suppress(OSError):
        for folder in list(os.scandir(path)):
            with os.scandir(folder.path) as entries:
                freed += sum(disk_octets(it.stat(follow_symlinks=False)) for it in entries)
    shutil.rmtree(path, ignore_errors=True)
    return freed


def _look(results: Path, now_s: float) -> tuple[list[_Seen], int]:
    """Go through all folders; give them, and how many results of unused ones were removed."""
    seen, removed = [], 0
    for account in _entries(results):
        for folder in _entries(account):
            try:
                it = _measured(folder)
            except OSError:
                continue
            if not it.leased and it.used_s < now_s - UNUSED_S:
                removed += _evict(it.path, it.octets + 1)[0]
            else:
                seen.append(it)
        with contextlib.suppress(OSError):
            os.rmdir(account)  # unless there is something in it
    return seen, removed


def _entries(folder: str | Path) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return [it.path for it in entries if it.is_dir(follow_symlinks=False)]
    return []


def _measured(path: str) -> _Seen:
    fd = os.open(path, FOLDER_FLAGS)
    try:
        leased = not _lock(fd)
        octets = 0
        with os.scandir(fd) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    octets += disk_octets(entry.stat(follow_symlinks=False))
        return _Seen(path, os.fstat(fd).st_mtime, octets, leased)
    finally:
        os.close(fd)


def _evict(path: str, needed: int) -> tuple[int, int]:
    """Remove results until so many octets are free, unless the folder is held now.

    Give how many were removed, and the octets that are free.
    """
    removed = freed = 0
    with contextlib.suppress(OSError), _held_alone(path) as fd:
        with os.scandir(fd) as entries:
            there = [(it.stat(follow_symlinks=False), it.name) for it in entries]
        there.sort(key=lambda it: it[0].st_atime)
        for status, name in there:
            if freed >= needed:
                break
            os.unlink(name, dir_fd=fd)
            removed += 1
            freed += disk_octets(status)
        if removed == len(there):
            os.rmdir(path)  # whoever waits for it will see that it is gone
            os.rmdir(os.path.dirname(path))
    return removed, freed


@contextlib.contextmanager
def _held_alone(path: str) -> Iterator[int]:
    """Hold a folder so that no session can.

    Raises:
        OSError: a session has it.
    """
    fd = os.open(path, FOLDER_FLAGS)
    try:
        if not _lock(fd):
            raise BlockingIOError(errno.EAGAIN, "it is in use", path)
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_leftovers(root: Path, boot: str) -> None:
    """Remove what an earlier start of the machine, or a process that was killed, has left."""
    for path in _entries(root):
        name = os.path.basename(path)
        if name != boot and _BOOT_ID.fullmatch(name):
            shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError), os.scandir(root / boot / SPOOL) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if _lock(fd):  # whoever writes it holds it
                        os.unlink(entry.path)
                finally:
                    os.close(fd)
