"""Expiry: old messages of a maildrop are removed for good (EXPIRE, RFC 2449 section 6.7).

A message is as old as the seconds at the beginning of its file's name say, which whoever delivered
it wrote there (see ``order``); where they cannot be a time, as its mtime says; where that is none
either, as its ctime does.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from pop3_service.maildir.listing import FOLDERS
from pop3_service.maildir.lock import MaildropLock, lock_key
from pop3_service.maildir.message import is_mail
from pop3_service.maildir.opening import FOLDER_FLAGS
from pop3_service.maildir.paths import maildrop_error, open_folder

_SECONDS = re.compile(r"(\d{9,10})\.")
_FIRST_S = 100_000_000
"""A time of 1973: a smaller number, zeros before it or not, is no time of delivery. Programs that
want files to be alike give them an mtime of 0 or 1."""
_AHEAD_S = 86_400
"""A time further in the future than this is none either."""


class Expired(NamedTuple):
    """What a turn did: messages gone for certain and their stored octets, and those that are not.

    ``more`` says that there may be more to do.
    """

    removed: int = 0
    octets: int = 0
    failed: int = 0
    more: bool = False


class _Old(NamedTuple):
    folder: str
    name: str
    inode: int
    size: int


def expire(root: Path, parts: tuple[str, ...], now_s: float, age_s: float, limit: int) -> Expired:
    """Remove durably what was delivered ``age_s`` ago and longer, up to ``limit`` messages.

    The maildrop is locked only if there is something to remove. With a limit of 0 nothing is
    done: ``more`` then says whether there would be.

    Raises:
        MaildropInUse: a session has it.
        MaildropUnavailable, MaildropUnusable: it cannot be read.
    """
    try:
        folder_fd = open_folder(root, parts)
    except FileNotFoundError:
        return Expired()
    except OSError as error:
        raise maildrop_error("cannot read the maildrop", error) from error
    try:
        old = _old_messages(folder_fd, now_s, age_s, limit or 1)
        if not old or not limit:
            return Expired(more=bool(old))
        return _remove_locked(root, parts, folder_fd, old, limit)
    except OSError as error:
        raise maildrop_error("cannot read the maildrop", error) from error
    finally:
        os.close(folder_fd)


def delivered_s(name: str, mtime_s: float, now_s: float) -> float:
    """Give when a message was delivered, in seconds (Unix)."""
    seconds = _SECONDS.match(name)
    if seconds is not None and _FIRST_S <= int(seconds[1]) <= now_s + _AHEAD_S:
        return int(seconds[1])
    return mtime_s


def _old_messages(folder_fd: int, now_s: float, age_s: float, limit: int) -> list[_Old]:
    found: list[_Old] = []
    for folder in FOLDERS:
        fd = os.open(folder, FOLDER_FLAGS, dir_fd=folder_fd)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if len(found) >= limit:
                        return found
                    if entry.name.startswith("."):
                        continue
                    if delivered_s(entry.name, 0, now_s) > now_s - age_s:
                        continue  # most are young: their name alone says it
                    _take_old(found, folder, entry, now_s, age_s)
        finally:
            os.close(fd)
    return found


def _take_old(
    found: list[_Old], folder: str, entry: os.DirEntry[str], now_s: float, age_s: float
) -> None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    mtime_s = status.st_mtime if status.st_mtime >= _FIRST_S else status.st_ctime
    delivered = delivered_s(entry.name, mtime_s, now_s)
    if is_mail(status) and delivered <= now_s - age_s:
        found.append(_Old(folder, entry.name, status.st_ino, status.st_size))


def _remove_locked(
    root: Path, parts: tuple[str, ...], folder_fd: int, old: list[_Old], limit: int
) -> Expired:
    lock = MaildropLock(root)
    try:
        lock.acquire(lock_key(parts))
        removed = [_remove(folder_fd, folder, old) for folder in FOLDERS]
    finally:
        lock.close()
    count, octets, failed = (sum(column) for column in zip(*removed, strict=True))
    return Expired(count, octets, failed, more=len(old) >= limit and count > 0)


def _remove(folder_fd: int, folder: str, old: list[_Old]) -> tuple[int, int, int]:
    """Remove those in a folder; give how many are gone for certain, their octets, and the rest."""
    count = octets = failed = 0
    doomed = [message for message in old if message.folder == folder]
    if not doomed:
        return 0, 0, 0
    fd = os.open(folder, FOLDER_FLAGS, dir_fd=folder_fd)
    try:
        for message in doomed:
            try:
                status = os.stat(message.name, dir_fd=fd, follow_symlinks=False)
                if status.st_ino != message.inode:
                    continue
                os.unlink(message.name, dir_fd=fd)
            except FileNotFoundError:  # renamed by another program: the next look finds it
                continue
            except OSError:
                failed += 1
            else:
                count += 1
                octets += message.size
        try:
            os.fsync(fd)
        except OSError:
            return 0, 0, failed + count
    finally:
        os.close(fd)
    return count, octets, failed
