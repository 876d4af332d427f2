"""The private folder of a run: made, measured and removed, whatever was put in it."""

from __future__ import annotations

import fcntl
import os
import stat

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_DEPTH = 64
LEAST_OCTETS = 4096
"""What a file or a folder counts at least, so that their number is bounded too."""


def make(parent: str) -> tuple[str, int]:
    """Make a folder; give its path, and a descriptor that holds it: while it is open, it is in use.

    Raises:
        OSError: there is no room, or no right.
    """
    while True:
        path = f"{parent}/{os.urandom(8).hex()}"
        os.mkdir(path, 0o700)
        try:
            return path, _hold(path, fcntl.LOCK_SH)
        except (BlockingIOError, FileNotFoundError):  # it was just swept up
            continue


def _hold(path: str, kind: int) -> int:
    fd = os.open(path, _FOLDER)
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
        os.stat(path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def sweep(parent: str) -> None:
    """Remove what runs have left whose keepers were killed."""
    for name in os.listdir(parent):
        try:
            fd = _hold(f"{parent}/{name}", fcntl.LOCK_EX)
        except OSError:  # it is in use, or just gone
            continue
        try:
            remove(f"{parent}/{name}")
        except OSError:
            continue
        finally:
            os.close(fd)


class TooMuch(Exception):
    """There is more than may be, or it cannot be measured."""


def measure(folder: str, limit: int, pids: tuple[int, ...], output: tuple[int, int]) -> int:
    """Count the octets that a run holds on its disk, in its folder or in files without a name.

    ``output`` (device, inode) is not counted. A file that is neither in the folder nor open is not
    seen: one that a program maps only.

    Raises:
        TooMuch: it is more than the limit, deeper than ``MAX_DEPTH``, or in a folder that even its
            owner cannot read.
    """
    total, device = 0, os.stat(folder).st_dev
    waiting = [(folder, 0)]
    while waiting:
        path, depth = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    total += max(status.st_blocks * 512, LEAST_OCTETS)
                    if total > limit:
                        raise TooMuch
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            raise TooMuch from None
        if depth > MAX_DEPTH:
            raise TooMuch
    return total + _nameless(device, limit - total, pids, output)


def _nameless(device: int, limit: int, pids: tuple[int, ...], output: tuple[int, int]) -> int:
    """Count the octets of open files without a name."""
    total, seen = 0, {output}
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            try:
                status = os.stat(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            which = (status.st_dev, status.st_ino)
            nameless = stat.S_ISREG(status.st_mode) and not status.st_nlink
            if nameless and status.st_dev == device and which not in seen:
                seen.add(which)
                total += status.st_blocks * 512
                if total > limit:
                    raise TooMuch
    return total


def remove(folder: str) -> None:
    """Remove a folder in which nothing lives any more; how deep it is does not matter.

    What is in a sub-folder is moved up before that is removed, so no path grows long.
    """
    os.chmod(folder, 0o700)
    root = os.open(folder, _FOLDER)
    try:
        count = 0
        while entries := _entries(root):
            for name, is_folder in entries:
                if not is_folder:
                    os.unlink(name, dir_fd=root)
                    continue
                count = _empty(root, name, count)
                os.rmdir(name, dir_fd=root)
    finally:
        os.close(root)
    os.rmdir(folder)


def _entries(fd: int) -> list[tuple[str, bool]]:
    with os.scandir(fd) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _empty(root: int, name: str, count: int) -> int:
    """Remove a sub-folder's files and move its own sub-folders up; count those moved."""
    os.chmod(name, 0o700, dir_fd=root)
    fd = os.open(name, _FOLDER, dir_fd=root)
    try:
        for inner, is_folder in _entries(fd):
            if is_folder:
                count += 1
                os.chmod(inner, 0o700, dir_fd=fd)
                os.rename(inner, f"{os.urandom(12).hex()}.{count}", src_dir_fd=fd, dst_dir_fd=root)
            else:
                os.unlink(inner, dir_fd=fd)
    finally:
        os.close(fd)
    return count
