"""Entries and logins to rows and back, and the schema that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

from pop3_service.domain.audit import (
    OK,
    ActorKind,
    AuditEntry,
    LoginEvent,
    Via,
    host_of,
    printable,
)
from pop3_service.storage.audit_chain import Row

E = TypeVar("E", bound=StrEnum)

COLUMNS = (
    *("sequence", "batch", "time_us", "action", "actor", "actor_kind", "token"),
    *("address", "via", "target", "outcome", "count", "before", "after"),
)
MAX_DETAIL = 4096
"""Characters of what was before or after, as JSON; more is left out and said so."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE entries (
        sequence INTEGER PRIMARY KEY,
        batch INTEGER NOT NULL,
        time_us INTEGER NOT NULL,
        action TEXT NOT NULL,
        actor TEXT NOT NULL,
        actor_kind TEXT NOT NULL,
        token TEXT NOT NULL,
        address TEXT NOT NULL,
        via TEXT NOT NULL,
        target TEXT NOT NULL,
        outcome TEXT NOT NULL,
        count INTEGER NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL
    );
    CREATE INDEX entries_by_actor ON entries (actor, sequence);
    CREATE INDEX entries_of_acts ON entries (sequence) WHERE via <> 'pop3';
    CREATE TABLE batches (
        number INTEGER PRIMARY KEY,
        first INTEGER NOT NULL,
        count INTEGER NOT NULL,
        time_us INTEGER NOT NULL,
        hash BLOB NOT NULL
    );
    CREATE INDEX batches_by_time ON batches (time_us);
    CREATE TABLE checkpoint (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        batch INTEGER NOT NULL,
        hash BLOB NOT NULL,
        next_sequence INTEGER NOT NULL,
        removed INTEGER NOT NULL,
        time_us INTEGER NOT NULL,
        mac BLOB NOT NULL
    );
    CREATE TABLE key_check (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        mac BLOB NOT NULL
    );
    """,
)
"""Each brings the schema one version on; ``PRAGMA user_version`` counts them."""


def row_of(entry: AuditEntry, sequence: int, batch: int) -> Row:
    """Write an entry; every text in it is bounded and prints."""
    return (
        sequence,
        batch,
        round(entry.time_s * 1_000_000),
        printable(entry.action),
        printable(entry.actor),
        entry.actor_kind.value,
        printable(entry.token),
        printable(entry.address),
        entry.via.value,
        printable(entry.target),
        printable(entry.outcome),
        entry.count,
        _detail(entry.before),
        _detail(entry.after),
    )


def login_row(event: LoginEvent, count: int, sequence: int, batch: int) -> Row:
    """Write a login, or so many refusals that are alike."""
    time_s, account, peer, mechanism, tls, reason, app_password = event
    return (
        sequence,
        batch,
        round(time_s * 1_000_000),
        "login.pop3",
        str(account) if account.isprintable() and len(account) <= 255 else printable(account),
        "nobody" if reason else "account",
        "",
        host_of(peer),
        "pop3",
        "",
        reason or OK,
        count,
        "",
        _how(mechanism, tls, app_password),
    )


def entry_of(row: Row) -> AuditEntry:
    """Read an entry; one that was changed by others may hold anything."""
    values = dict(zip(COLUMNS, row, strict=True))
    return AuditEntry(
        time_s=int(values["time_us"]) / 1_000_000,
        action=str(values["action"]),
        actor=str(values["actor"]),
        actor_kind=_member(ActorKind, values["actor_kind"], ActorKind.NOBODY),
        token=str(values["token"]),
        address=str(values["address"]),
        via=_member(Via, values["via"], Via.SERVICE),
        target=str(values["target"]),
        outcome=str(values["outcome"]),
        before=_values(str(values["before"])),
        after=_values(str(values["after"])),
        count=int(values["count"]),
        sequence=int(values["sequence"]),
    )


def together(events: Iterable[LoginEvent], most: int) -> list[tuple[LoginEvent, int]]:
    """Put refusals that are alike together; give each login or group with its count.

    Of a flood only the first ``most`` groups keep their names and addresses; the others are put
    together by reason alone.
    """
    found: list[tuple[LoginEvent, int]] = []
    groups: dict[tuple[str, ...], int] = {}
    for event in events:
        if not event.reason:
            found.append((event, 1))
            continue
        key = (event.account, host_of(event.peer), event.mechanism, event.tls, event.reason)
        if key not in groups and len(groups) >= most:
            event = LoginEvent(event.time_s, "", "", "", "", event.reason)
            key = ("", "", "", "", event.reason)
        at = groups.get(key)
        if at is None:
            groups[key] = len(found)
            found.append((event, 1))
        else:
            found[at] = (found[at][0], found[at][1] + 1)
    return found


def _member(kind: type[E], value: object, otherwise: E) -> E:
    try:
        return kind(str(value))
    except ValueError:
        return otherwise


def _values(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        read = json.loads(text)
    except ValueError:
        read = text
    return read if isinstance(read, dict) else {"unreadable": read}


def _detail(values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    text = json.dumps(values, default=str, sort_keys=True)
    return text if len(text) <= MAX_DETAIL else json.dumps({"left_out_characters": len(text)})


@lru_cache(maxsize=1024)
def _how(mechanism: str, tls: str, app_password: str) -> str:
    how = {"mechanism": mechanism, "tls": tls, "app_password": app_password}
    return json.dumps({key: printable(value) for key, value in how.items() if value})
