"""A backup of a data folder: every database and every key in it, as they are at one moment.

Who writes to a database meanwhile does not wait, and is not in it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pop3_service.domain.errors import BackupInvalid, BackupNotFound, StoreUnavailable
from pop3_service.storage import opening
from pop3_service.storage.durable import put_in_place, removed_on_failure
from pop3mgmt.backup_file import BadBackup, Manifest, backed_up, pack, read_manifest

ACCOUNTS, AUDIT = "valija.db", "audit.db"
DATABASES = (ACCOUNTS, AUDIT)
"""Every database in the data folder."""
RECORDS = frozenset({AUDIT, "audit.key"})
"""What is restored only where there is no audit: what has happened is undone by nothing."""
BACKUPS = "backups"
WORK = "backup.work."
"""How the folders begin that a backup is put together in; what a killed process left is removed."""
MAX_KEY = 64 * 1024
OWN_NAME = re.compile(r"valija-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}\.tar")
"""The names that backups of the service's own folder are given."""
DAY = len("valija-20260101")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.tar")


@dataclass(frozen=True, slots=True)
class Stored:
    """A backup in the service's own folder."""

    name: str
    manifest: Manifest


@contextlib.contextmanager
def work_folder(folder: Path) -> Iterator[Path]:
    """Give a folder for what is put together; it is removed at the end.

    Raises:
        StoreUnavailable: the disk is full, or fails.
    """
    work = folder / f"{WORK}{secrets.token_hex(8)}"
    try:
        work.mkdir(mode=0o700)
        yield work
    except (OSError, sqlite3.Error, opening.Unusable) as error:
        raise StoreUnavailable(f"the backup failed: {opening.why(error)}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_work(folder: Path) -> None:
    """Remove what a killed process left behind."""
    for path in folder.glob(f"{WORK}*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in (folder / BACKUPS).glob("valija-*.tar.new"):
        path.unlink(missing_ok=True)


def collect(
    folder: Path, work: Path, keys: Mapping[str, Path], version: str, now: datetime
) -> Manifest:
    """Copy the databases of a data folder, then the keys, by name; what is not there is left out.

    Raises:
        OSError, sqlite3.Error, opening.Unusable
    """
    for name in DATABASES:
        if (folder / name).exists():
            opening.copy_whole(folder / name, work / name)
    # A key is made before anything is sealed with it, so it is there for all that was copied.
    for name, path in keys.items():
        if path.exists():
            _copy_key(path, work / name)
    revision = opening.examine(work / ACCOUNTS)
    with contextlib.closing(sqlite3.connect(work / ACCOUNTS)) as database:
        count = database.execute("select count(*) from accounts").fetchone()[0]
    files = tuple(backed_up(path) for path in sorted(work.iterdir()))
    return Manifest(version, now.astimezone(UTC), revision, count, files)


def store(folder: Path, work: Path, manifest: Manifest) -> Stored:
    """Write a backup to the folder of backups, durably.

    Raises:
        OSError
    """
    backups = folder / BACKUPS
    backups.mkdir(mode=0o700, exist_ok=True)
    name = f"valija-{manifest.create_time:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}.tar"
    new = backups / f"{name}.new"
    with removed_on_failure(new):
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.writelines(pack(manifest, work))
        put_in_place(new, backups / name)
    return Stored(name, manifest)


def cut(folder: Path, kept: int, made: str) -> list[str]:
    """Remove old backups, besides the one just ``made``; give their names.

    The newest are kept, so many, and the last one of each of so many days on which there are some:
    many in a row do not push out all that was before. Files with other names are not ours.

    Raises:
        OSError
    """
    backups = folder / BACKUPS
    names = sorted(
        (it.name for it in backups.iterdir() if OWN_NAME.fullmatch(it.name)), reverse=True
    )
    last_of_day: dict[str, str] = {}
    for name in names:
        last_of_day.setdefault(name[:DAY], name)
    keep = {made, *names[:kept], *list(last_of_day.values())[:kept]}
    old = [name for name in names if name not in keep]
    for name in old:
        (backups / name).unlink(missing_ok=True)
    return old


def stored(folder: Path) -> list[Stored]:
    """Give the backups there are, in order of name; what is none is left out."""
    found = []
    backups = folder / BACKUPS
    for path in sorted(backups.iterdir()) if backups.is_dir() else ():
        with contextlib.suppress(BackupNotFound, BackupInvalid, BadBackup, OSError):
            with open_stored(folder, path.name) as file:
                found.append(Stored(path.name, read_manifest(file)))
    return found


def open_stored(folder: Path, name: str) -> BinaryIO:
    """Open a backup by its name.

    Raises:
        BackupNotFound: there is none of that name; a path is no name.
    """
    if not NAME.fullmatch(name):
        raise BackupNotFound(name)
    try:
        fd = os.open(
            folder / BACKUPS / name,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
        )
    except OSError:
        raise BackupNotFound(name) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise BackupNotFound(name)
    return open(fd, "rb")


def _copy_key(path: Path, copy: Path) -> None:
    with path.open("rb") as file:
        octets = file.read(MAX_KEY + 1)
    if len(octets) > MAX_KEY:
        raise opening.Unusable(f"{path} is too long for a key")
    fd = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(octets)
