"""Rows of transforms and activations, read and written."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row

from pop3_service.domain.subject import Scope, Subject
from pop3_service.domain.transforms import (
    Activation,
    ActivationEnd,
    ActivationRecord,
    EndReason,
    Mode,
    OnFailure,
    Transform,
    TransformCount,
)
from pop3_service.storage import tables

NEW, FORMER = "new_", "old_"
"""How the names of columns begin, in a record, that are of its version and of the one before."""


def subject_of(row: Row[Any]) -> Subject:
    """Read whom an activation is for."""
    return Subject(Scope(row.scope), row.subject)


def activation_values(new: Activation) -> dict[str, Any]:
    """Write an activation that begins."""
    return {
        "scope": new.subject.scope.value,
        "subject": str(new.subject.name),
        "transform": new.transform.id if new.transform else None,
        "mode": new.mode.value,
        "former": new.former.id if new.former else None,
        "inherits": new.inherits,
        "before": new.before or None,
        "accounts": json.dumps([str(it) for it in new.accounts]),
        "share": new.share,
        "failure_limit": new.failure_limit,
        "set_by": str(new.set_by),
        "set_time": stored_time(new.set_time_s),
    }


def end_values(end: ActivationEnd, count: TransformCount | None = None) -> dict[str, Any]:
    """Write how one ended, and what came of it if that is known."""
    values: dict[str, Any] = {
        "end_time": stored_time(end.time_s),
        "ended_by": str(end.by),
        "end_reason": end.reason.value,
    }
    return values if count is None else values | {"counts": count_text(count)}


def record_of(row: Row[Any]) -> ActivationRecord:
    """Read an activation with its versions, which have prefixes of their own."""
    activation = Activation(
        row.id,
        subject_of(row),
        transform_of(row, NEW) if row.transform is not None else None,
        Mode(row.mode),
        transform_of(row, FORMER) if row.former is not None else None,
        tuple(json.loads(row.accounts)),
        row.share,
        row.failure_limit,
        row.set_by,
        seconds_of(row.set_time),
        row.inherits,
        row.before or 0,
    )
    end = None
    if row.end_time is not None:
        end = ActivationEnd(EndReason(row.end_reason), row.ended_by, seconds_of(row.end_time))
    return ActivationRecord(activation, TransformCount(row.id, **json.loads(row.counts)), end)


def transform_of(row: Row[Any], prefix: str = "") -> Transform:
    """Read a version; its columns may have a prefix."""
    found = {column.name: getattr(row, prefix + column.name) for column in tables.transforms.c}
    return Transform(
        found["id"],
        found["name"],
        found["version"],
        found["command_line"],
        tuple(tuple(words) for words in json.loads(found["programs"])),
        OnFailure(found["on_failure"]),
        found["note"],
        found["created_by"],
        seconds_of(found["create_time"]),
    )


def count_text(count: TransformCount) -> str:
    """Write what came of an activation."""
    values = asdict(count)
    del values["activation"]
    return json.dumps(values)


def stored_time(seconds: float) -> datetime:
    """Write a time (Unix)."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def seconds_of(time: datetime) -> float:
    """Read a time."""
    return time.replace(tzinfo=UTC).timestamp()
