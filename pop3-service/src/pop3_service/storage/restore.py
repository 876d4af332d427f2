"""A backup put in force: wholly, or not at all, wherever it is cut off.

It is unpacked, examined and migrated beside the data. Renaming that folder is the moment from which
it counts; what remains is done over at the next start if need be. All is done with links, so that
what was there before can be put back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from pop3_service.domain.errors import BackupInvalid, StoreUnavailable
from pop3_service.storage import opening
from pop3_service.storage.backup import (
    ACCOUNTS,
    AUDIT,
    DATABASES,
    MAX_KEY,
    RECORDS,
    remove_work,
)
from pop3_service.storage.durable import sync
from pop3_service.storage.revoked import keep_revoked
from pop3mgmt.backup_file import BadBackup, Manifest, unpack

STAGED, READY = "restore.new", "restore.ready"
BEFORE = ".before-restore"
LOGS = ("-wal", "-shm", "-journal")

log = structlog.get_logger()


class Torn(Exception):
    """Neither the old nor the new could be put in force; the next start goes on with the new."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A backup that was found good, and what an admin should know of it."""

    manifest: Manifest
    account_count: int
    warnings: tuple[str, ...]


def stage(folder: Path, source: BinaryIO, keys: Mapping[str, Path]) -> Staged:
    """Unpack a backup beside the data, and make it ready to be put in force.

    ``keys`` are the keys of this service by name; one that is not in ``folder`` is not restored.

    Raises:
        BackupInvalid: it is no backup that can be used; nothing is left of it.
        StoreUnavailable: the disk is full, or fails.
    """
    staged = folder / STAGED
    try:
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o700)
        return _staged(staged, source, _inside(folder, keys), keys)
    except BadBackup as error:
        discard(folder)
        raise BackupInvalid(str(error)) from None
    except OSError as error:
        discard(folder)
        raise StoreUnavailable(f"the backup cannot be unpacked: {opening.why(error)}") from error
    except BaseException:
        discard(folder)
        raise


def discard(folder: Path) -> None:
    """Remove what was staged, if anything."""
    shutil.rmtree(folder / STAGED, ignore_errors=True)


def put_in_force(folder: Path) -> None:
    """Replace the data, which nobody has open, by what was staged.

    What was there before is kept as ``….before-restore``.

    Raises:
        StoreUnavailable: it could not be; all is as it was.
        Torn: it could neither be finished nor undone.
    """
    try:
        # Once more, with what was revoked while it was staged.
        keep_revoked(folder / ACCOUNTS, folder / STAGED / ACCOUNTS)
        sync(folder / STAGED / ACCOUNTS)
        names = sorted(it.name for it in (folder / STAGED).iterdir())
        _keep(folder, names)
        os.rename(folder / STAGED, folder / READY)
    except (OSError, sqlite3.Error) as error:
        discard(folder)
        raise StoreUnavailable(f"the backup was not restored: {opening.why(error)}") from error
    try:
        _go_on(folder, names)
    except OSError as error:
        _undo(folder, names)
        raise StoreUnavailable(f"the backup was not restored: {opening.why(error)}") from error
    discard(folder)


def finish(folder: Path) -> None:
    """At a start, before anything is opened: end a restore that was cut off, and clear up.

    Raises:
        OSError
    """
    if (folder / READY).is_dir():
        _go_on(folder, sorted(it.name for it in (folder / READY).iterdir()))
        log.warning("a restore that was cut off has been finished")
    discard(folder)
    remove_work(folder)


def _staged(
    staged: Path, source: BinaryIO, inside: Collection[str], keys: Mapping[str, Path]
) -> Staged:
    left_out: list[str] = []

    has_audit = (staged.parent / AUDIT).exists()

    def into(name: str) -> BinaryIO | None:
        if name in RECORDS and has_audit:
            return None
        if name in inside or name in DATABASES:
            fd = os.open(staged / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            return open(fd, "wb")
        if name not in keys:
            raise BadBackup(f"{name} in it is of a newer version")
        left_out.append(name)
        return None

    manifest = unpack(source, into)
    if not (staged / ACCOUNTS).exists():
        raise BadBackup(f"{ACCOUNTS} is missing")
    for path in staged.iterdir():
        if path.name in inside and path.stat().st_size > MAX_KEY:
            raise BadBackup(f"{path.name} is too long for a key")
    try:
        if (staged / AUDIT).exists():
            opening.examine_structure(staged / AUDIT)
        opening.make_ready(staged / ACCOUNTS)
        count, sealed = _looked_at(staged / ACCOUNTS)
        revoked = keep_revoked(staged.parent / ACCOUNTS, staged / ACCOUNTS)
    except (StoreUnavailable, opening.Unusable, sqlite3.Error) as error:
        if _is_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise BadBackup(str(error).replace(f"{staged}{os.sep}", "")) from None
    for path in staged.iterdir():
        if path.name not in inside and path.name not in DATABASES:
            path.unlink()  # SQLite's, and the copy from before a migration
        else:
            sync(path)
    sync(staged)
    warnings = [
        f"{name} in it is left out: this service has its own elsewhere" for name in left_out
    ]
    if sealed and not any(file.name == "apop.key" for file in manifest.files):
        warnings.append("its APOP secrets are sealed with a key that is not in it")
    if revoked:
        warnings.append(f"{revoked} tokens and app passwords in it were revoked since, and stay so")
    return Staged(manifest, count, tuple(warnings))


def _looked_at(path: Path) -> tuple[int, bool]:
    """Count the accounts and tell whether there are APOP secrets. There must be an admin."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        count, admins = database.execute(
            "select count(*), count(case when role = 'admin' then 1 end) from accounts"
        ).fetchone()
        if not admins:
            raise StoreUnavailable("there is no admin in it")
        return count, database.execute("select 1 from apop_secrets").fetchone() is not None


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        if "disk is full" in str(error):
            return True
        error = error.__cause__
    return False


def _inside(folder: Path, keys: Mapping[str, Path]) -> set[str]:
    return {name for name, path in keys.items() if path.absolute() == (folder / name).absolute()}


def _keep(folder: Path, names: list[str]) -> None:
    for name in names:
        for end in ("", "-wal"):
            _link(folder / f"{name}{end}", folder / f"{name}{BEFORE}{end}")
        for end in ("-shm", "-journal"):
            (folder / f"{name}{BEFORE}{end}").unlink(missing_ok=True)
    sync(folder)


def _go_on(folder: Path, names: list[str]) -> None:
    for name in names:
        _replace(folder / READY / name, folder / name)
    sync(folder)
    # With this name gone it is over: what is in the folder counts no more.
    os.rename(folder / READY, folder / STAGED)
    sync(folder)


def _undo(folder: Path, names: list[str]) -> None:
    try:
        for name in names:
            _replace(folder / f"{name}{BEFORE}", folder / name)
            _link(folder / f"{name}{BEFORE}-wal", folder / f"{name}-wal")
        sync(folder)
        if (folder / READY).is_dir():
            os.rename(folder / READY, folder / STAGED)
            sync(folder)
    except OSError as error:
        raise Torn(
            f"a restore was cut off: {opening.why(error)}; start the service again"
        ) from error
    discard(folder)


def _replace(source: Path, target: Path) -> None:
    """Give a file's place to another, or to none; what SQLite had beside it goes."""
    for end in LOGS:
        target.with_name(target.name + end).unlink(missing_ok=True)
    _link(source, target)


def _link(source: Path, target: Path) -> None:
    """Let ``target`` be the file that ``source`` is; where that is none, neither is it."""
    new = target.with_name(f"{target.name}.link")
    new.unlink(missing_ok=True)
    try:
        os.link(source, new)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        return
    os.rename(new, target)
    # Of two names of one file, renaming leaves both.
    new.unlink(missing_ok=True)
