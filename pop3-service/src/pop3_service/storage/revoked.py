"""Tokens and app passwords that were revoked, so that no restore of a backup brings them back.

Kept is what each is found by, its SHA-256, which tells nobody what it was.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import structlog
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from pop3_service.storage import tables

MOST_TOKENS = 10_000
MOST_APP_PASSWORDS = 100
"""Of an account; nobody pushes out what others have revoked."""
OF_TOKENS = ""
"""Stands where the account does."""

_C = tables.revoked_secrets.c

log = structlog.get_logger()


async def note_revoked(connection: AsyncConnection, digests: list[bytes], account: str) -> None:
    """Keep that secrets are revoked, in the transaction that removes them."""
    for digest in digests:
        await connection.execute(
            insert(tables.revoked_secrets)
            .prefix_with("OR IGNORE")
            .values(digest=digest, account=account)
        )
    most = MOST_APP_PASSWORDS if account else MOST_TOKENS
    newest_first = select(_C.id).where(_C.account == account).order_by(_C.id.desc())
    old = newest_first.offset(most).limit(-1)
    await connection.execute(delete(tables.revoked_secrets).where(_C.id.in_(old)))


def keep_revoked(present: Path, restored: Path) -> int:
    """Take out of a database what was revoked by the present one; give how many it was.

    ``restored`` is to take the place of ``present``, which need not be there, nor be sound: then
    nothing is known of what was revoked.

    Raises:
        sqlite3.Error: ``restored`` cannot be changed.
    """
    found = _revoked(present)
    with contextlib.closing(sqlite3.connect(restored)) as database, database:
        database.executemany(
            "insert or ignore into revoked_secrets (digest, account) values (?, ?)", found
        )
        return sum(
            database.execute(
                f"delete from {table} where digest in (select digest from revoked_secrets)"  # noqa: S608
            ).rowcount
            for table in ("automation_tokens", "app_passwords")
        )


def _revoked(present: Path) -> list[tuple[bytes, str]]:
    if not present.exists():
        return []
    try:
        uri = f"{present.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            query = "select digest, account from revoked_secrets order by id"
            return database.execute(query).fetchall()
    except sqlite3.Error as error:
        log.warning("what was revoked since the backup is not known", error=str(error))
        return []
