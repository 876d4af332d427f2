"""Data folders to be backed up and restored, told apart by their marks."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pop3_service.storage import backup, migrate
from pop3_service.storage.store import FILE
from pop3mgmt.backup_file import Manifest, backed_up, pack
from support import database

KEY = "apop.key"
TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def fill(folder: Path, mark: str, *, with_key: bool = True) -> Path:
    """Make a data folder whose database and key carry a mark."""
    database.provide(folder)
    with contextlib.closing(sqlite3.connect(folder / FILE)) as opened:
        opened.execute(
            "insert into accounts (name, role, password_hash, create_time, has_default_password)"
            " values (?, 'admin', 'hash', '2026-01-01 00:00:00.000000', 0)",
            (mark,),
        )
        opened.commit()
    if with_key:
        (folder / KEY).write_text(mark)
        (folder / KEY).chmod(0o600)
    return folder


def marks(folder: Path) -> tuple[list[str], str]:
    """The accounts and the key that are in force in a data folder."""
    with contextlib.closing(sqlite3.connect(folder / FILE)) as database:
        names = [row[0] for row in database.execute("select name from accounts order by name")]
    key = folder / KEY
    return names, key.read_text() if key.exists() else ""


def keys(folder: Path) -> Mapping[str, Path]:
    """The keys of a service whose data are in a folder."""
    return {KEY: folder / KEY}


def made_of(folder: Path) -> bytes:
    """A backup as the service makes it."""
    with backup.work_folder(folder) as work:
        manifest = backup.collect(folder, work, keys(folder), "1.2.3", TIME)
        return b"".join(pack(manifest, work))


def forged(folder: Path, schema: str = migrate.HEAD) -> bytes:
    """A backup of whatever is in a folder, whether it makes sense or not."""
    files = tuple(backed_up(it) for it in sorted(folder.iterdir()))
    return b"".join(pack(Manifest("1.2.3", TIME, schema, 1, files), folder))
