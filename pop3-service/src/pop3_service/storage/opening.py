"""A database file made ready to be used: examined first, copied before it is migrated.

Nothing is written to a file that is not known to be sound and ours. A new one is made under another
name and put in place whole, so an empty file is never one of ours.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from pop3_service.domain.errors import StoreUnavailable
from pop3_service.storage import migrate, tables
from pop3_service.storage.durable import put_in_place, removed_on_failure, sync

MAGIC = b"SQLite format 3\0"
BUSY_S = 5.0
"""Seconds to wait for another process that has the file locked."""
BEFORE = ".before-v"


class Unusable(Exception):
    """The file cannot be used as a database of ours; the text says why."""


def make_ready(path: Path) -> None:
    """Examine the database at a path and bring it to the newest schema; make it if there is none.

    Before it is migrated to revision NNNN, a copy is kept beside it as ``….before-vNNNN``; once it
    is migrated, the copies of earlier migrations go.

    Raises:
        StoreUnavailable: it cannot be used; it is as it was.
    """
    try:
        if not os.path.lexists(path):
            _refuse_lost(path)
            make(path)
        elif examine(path) != migrate.HEAD:
            copy = path.with_name(f"{path.name}{BEFORE}{migrate.HEAD}")
            copy_whole(path, copy)
            migrate.migrate(path)
            examine(path)
            _remove_other_copies(copy)
        _use_wal(path)
        os.chmod(path, 0o600)
    except (DBAPIError, OSError, sqlite3.Error, Unusable, migrate.BrokenReference) as error:
        raise StoreUnavailable(f"cannot use {path}: {why(error)}") from error


def make(path: Path, revision: str | None = None) -> None:
    """Make an empty database, of the newest schema or another, whole or not at all.

    Raises:
        OSError, sqlite3.Error, sqlalchemy.exc.DBAPIError
    """
    new = path.with_name(f"{path.name}.new")
    with removed_on_failure(new):
        _make_private(new)
        migrate.migrate(new, revision)
        _use_wal(new)
        put_in_place(new, path)


def examine(path: Path) -> str:
    """Look at a database without changing it; give its revision.

    Raises:
        Unusable: it is not whole, not ours, or of a newer version.
        OSError, sqlite3.Error: it cannot be read.
    """
    with _opened(path) as connection:
        revision = _revision(connection)
        _examine_structure(connection)
        if revision == migrate.HEAD:
            _examine_tables(connection)
    return revision


def examine_structure(path: Path) -> None:
    """Look whether a database of any kind is whole, without changing it.

    Raises:
        Unusable, OSError, sqlite3.Error
    """
    with _opened(path) as connection:
        _examine_structure(connection)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    _examine_file(path)
    # With a rollback journal beside it, the file is whole only once that was played back.
    mode = "rw" if path.with_name(f"{path.name}-journal").exists() else "ro"
    address = f"{path.absolute().as_uri()}?mode={mode}"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY_S)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection


def _examine_structure(connection: sqlite3.Connection) -> None:
    problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if problem != "ok":
        raise Unusable(f"it is damaged ({problem}); restore a backup")
    broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if broken is not None:
        raise Unusable(
            f"it is damaged (a row of {broken[0]} names one of {broken[2]} that is gone);"
            " restore a backup"
        )


def copy_whole(path: Path, copy: Path) -> None:
    """Copy a database, as it is at this moment, to a file for its owner alone, durably.

    Others may read and write it meanwhile. What was deleted from it is not in the copy.

    Raises:
        OSError, sqlite3.Error
    """
    new = copy.with_name(f"{copy.name}.new")
    with removed_on_failure(new):
        _make_private(new)
        with contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            connection.execute("VACUUM INTO ?", (str(new),))
        put_in_place(new, copy)


def why(error: Exception) -> object:
    """Say what went wrong, without SQLAlchemy's own words about it."""
    if isinstance(error, DBAPIError):
        return error.orig
    return error.strerror if isinstance(error, OSError) and error.strerror else error


def _refuse_lost(path: Path) -> None:
    for end in ("-wal", "-journal"):
        left = path.with_name(path.name + end)
        if left.exists() and left.stat().st_size:
            raise Unusable(f"it is gone, but {left.name} is there; restore a backup, or move that"
                           " away to begin anew")  # fmt: skip


def _examine_file(path: Path) -> None:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise Unusable("it is no file")
    with open(path, "r+b") as file:
        head = file.read(len(MAGIC))
    if not head:
        raise Unusable("it is empty: what was in it is lost; restore a backup, or move it away to"
                       " begin anew")  # fmt: skip
    if head != MAGIC:
        raise Unusable("it is no database")


def _revision(connection: sqlite3.Connection) -> str:
    query = "select type, name from sqlite_master where name not like 'sqlite_%'"
    found = set(connection.execute(query))
    if ("table", "alembic_version") not in found:
        raise Unusable("it holds tables of another program, or none")
    for kind, name in found:
        if kind not in ("table", "index"):
            raise Unusable(f"it holds a {kind} that is not ours: {name}")
    row = connection.execute("select version_num from alembic_version").fetchone()
    if row is None:
        raise Unusable("it is damaged (it does not say its version); restore a backup")
    revision = str(row[0])
    if revision > migrate.HEAD:
        raise Unusable(f"it was written by a newer version (schema {revision}; this program knows"
                       f" {migrate.HEAD})")  # fmt: skip
    return revision


def _examine_tables(connection: sqlite3.Connection) -> None:
    for name, table in tables.metadata.tables.items():
        found = {row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')}
        if missing := {column.name for column in table.columns} - found:
            raise Unusable(f"it is damaged (table {name} has no {min(missing)}); restore a backup")


def _make_private(path: Path) -> None:
    """Make an empty file that is never open to others."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _use_wal(path: Path) -> None:
    # This is written into the file, so it waits until the file is known to be ours; and it works
    # outside a transaction only.
    with contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _remove_other_copies(kept: Path) -> None:
    stem = kept.name.partition(BEFORE)[0] + BEFORE
    for path in kept.parent.iterdir():
        if path.name.startswith(stem) and path != kept:
            path.unlink()
    sync(kept.parent)
