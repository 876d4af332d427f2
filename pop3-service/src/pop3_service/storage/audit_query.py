"""Entries by filter, the newest first."""

from __future__ import annotations

import sqlite3
from typing import Any

from pop3_service.domain.audit import OK
from pop3_service.domain.audit_log import REFUSED, AuditFilter
from pop3_service.storage.audit_chain import Row
from pop3_service.storage.audit_rows import COLUMNS

LATE_US = 3600 * 1_000_000
"""An entry is written so much later than it happened, at most: far more than it ever takes."""


def newest(
    connection: sqlite3.Connection, meant: AuditFilter, before: int, limit: int
) -> list[Row]:
    """Give rows, the newest first: those below a sequence number (0 for all)."""
    terms: list[str] = []
    values: list[Any] = []

    def add(term: str, *more: Any) -> None:
        terms.append(term)
        values.extend(more)

    if before:
        add("sequence < ?", before)
    _add_times(meant, add)
    for column in ("actor", "target", "address"):
        if wanted := getattr(meant, column):
            add(f"{column} = ?", wanted)
    if meant.action:
        add("substr(action, 1, ?) = ?", len(meant.action), meant.action)
        if not "login.pop3".startswith(meant.action):
            add("via <> 'pop3'")  # there is an index of those
    if meant.outcome == REFUSED:
        add("outcome <> ?", OK)
    elif meant.outcome:
        add("outcome = ?", meant.outcome)
    where = " AND ".join(terms) or "1"
    query = (
        f"SELECT {', '.join(COLUMNS)} FROM entries WHERE {where}"  # noqa: S608 - our own terms
        " ORDER BY sequence DESC LIMIT ?"
    )
    return connection.execute(query, (*values, limit)).fetchall()


def _add_times(meant: AuditFilter, add: Any) -> None:
    """Ask for times; batches tell where to look, as there is no index of the entries' times."""
    if meant.since_s:
        since_us = round(meant.since_s * 1_000_000)
        add("time_us >= ?", since_us)
        add(
            "sequence >= coalesce((SELECT min(first) FROM batches WHERE time_us >= ?), 0)", since_us
        )
    if meant.until_s:
        until_us = round(meant.until_s * 1_000_000)
        add("time_us < ?", until_us)
        add(
            "sequence < coalesce((SELECT max(first + count) FROM batches WHERE time_us < ?), 0)",
            until_us + LATE_US,
        )
