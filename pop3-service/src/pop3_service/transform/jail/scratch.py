"""The private folder of a run: made, measured and removed, whatever was put in it."""

from __future__ import annotations

import fcntl
import os
import stat

from . import tree

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_DEPTH = 64
LEAST_OCTETS = 4096
"""What a file or a folder counts at least, so that their number is bounded too."""
MAX_MAPPINGS = 20_000
"""Mappings that all processes of a run may have: to look through them takes time."""


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

    ``output`` (device, inode) is not counted.

    Raises:
        TooMuch: it is more than the limit, deeper than ``MAX_DEPTH``, or cannot be measured: in a
            folder that even its owner cannot read, held by a program that hides what it holds, or
            in a file that is only mapped.
    """
    total, device = 0, os.stat(folder).st_dev
    seen = {output}
    waiting = [(folder, 0)]
    while waiting:
        path, depth = waiting.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:  # it is gone; those behind it are not
                        continue
                    seen.add((status.st_dev, status.st_ino))
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
    return total + _nameless(folder, device, limit - total, pids, seen)


def _nameless(
    folder: str, device: int, limit: int, pids: tuple[int, ...], seen: set[tuple[int, int]]
) -> int:
    """Count the octets of files without a name: those that are open, or run."""
    total = 0
    # Each thread may have descriptors of its own; memory they have in common.
    threads = [[f"/proc/{pid}/task/{it}" for it in tree.tasks(pid)] for pid in pids]
    for path in (link for process in threads for task in process for link in _links(task)):
        try:
            status = os.stat(path)
        except OSError:
            continue
        which = (status.st_dev, status.st_ino)
        nameless = stat.S_ISREG(status.st_mode) and not status.st_nlink
        if nameless and status.st_dev == device and which not in seen:
            seen.add(which)
            total += status.st_blocks * 512
            if total > limit:
                raise TooMuch
    inodes, left = {inode for _, inode in seen}, MAX_MAPPINGS
    for process in threads:
        for task in process:
            count, mapped = _mapped(task, folder, left)
            left -= count
            if left < 0 or not mapped <= inodes:
                raise TooMuch  # a page of it may be all that is mapped, and it any size
            if count:
                break
    return total


def _links(task: str) -> list[str]:
    """Give the paths to what a thread has open, and to the program that it runs."""
    try:
        names = os.listdir(f"{task}/fd")
    except PermissionError:
        if tree.has_memory(task):
            raise TooMuch from None
        return []  # it is just ending
    except OSError:
        return []
    return [f"{task}/exe", *(f"{task}/fd/{name}" for name in names)]


def _mapped(task: str, folder: str, most: int) -> tuple[int, set[int]]:
    """Count mappings of a thread's process, as far as one more than ``most``.

    Give the inodes of those that are removed files of a folder, too.
    """
    begin, found, count = os.fsencode(folder) + b"/", set(), 0
    try:
        with open(f"{task}/maps", "rb") as file:
            for count, line in enumerate(file, 1):
                if line.endswith(b" (deleted)\n"):
                    _, _, _, _, inode, path = line.split(None, 5)
                    if path.startswith(begin):
                        found.add(int(inode))
                if count > most:
                    break
    except PermissionError:
        if tree.has_memory(task):
            raise TooMuch from None
    except OSError:
        pass  # it is gone
    return count, found


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
