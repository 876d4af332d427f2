"""What is active for whom, as a record and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admin_cli.output import Record, timestamp
from pop3mgmt.transform_words import show_version

if TYPE_CHECKING:
    from pop3mgmt.v1.transform_activations_pb2 import TransformActivation
    from pop3mgmt.v1.transforms_pb2 import Transform

EVERYONE = "everyone"
WIDEST = 40
"""Characters of a command line in a table."""


def activation_record(activation: TransformActivation) -> Record:
    """Give an activation's values under their names in the contract."""
    from pop3mgmt.v1.transform_activations_pb2 import TransformEndReason, TransformMode

    ended = activation.HasField("end_time")
    reason = TransformEndReason.Name(activation.end_reason).removeprefix("TRANSFORM_END_REASON_")
    counts = activation.counts
    mode = TransformMode.Name(activation.mode).removeprefix("TRANSFORM_MODE_").lower()
    return {
        "id": activation.id,
        "subject": activation.subject,
        "transform": _transform_record(activation, "transform"),
        "mode": mode,
        "former": _transform_record(activation, "former"),
        "inherits": activation.inherits,
        "account_names": list(activation.account_names),
        "share_percent": activation.share_percent,
        "failure_limit_percent": activation.failure_limit_percent,
        "run_count": counts.run_count,
        "failure_count": counts.failure_count,
        "difference_count": counts.difference_count,
        "skipped_count": counts.skipped_count,
        "run_seconds": counts.run_duration.ToMilliseconds() / 1000,
        "last_failure": counts.last_failure,
        "set_by": activation.set_by,
        "set_time": timestamp(activation.set_time),
        "end_time": timestamp(activation.end_time),
        "end_reason": reason.lower() if ended else None,
        "ended_by": activation.ended_by,
    }


def active_words(activation: TransformActivation) -> str:
    """Say in a few words what mail of a subject goes through."""
    record = activation_record(activation)
    wanted = told(record["transform"])
    return wanted if record["mode"] == "on" else f"{_before(record)}, {record['mode']} {wanted}"


def show_trials(records: list[Record]) -> str:
    """Say what is being tried, and how it goes."""
    return "; ".join(map(_trial, records)) or "-"


def _trial(record: Record) -> str:
    words = f"{record['subject']}: {_brief(told(record['transform']))}, {_mode(record)},"
    words += f" {record['run_count']} runs, {record['failure_count']} failed"
    return words if record["mode"] == "canary" else f"{words}, {record['difference_count']} differ"


def told(transform: Record | None) -> str:
    """Name a transform as a person made it: by its name, or its command line; off for none."""
    if transform is None:
        return "off"
    name = transform["name"]
    return show_version(name, transform["version"]) if name else str(transform["command_line"])


def _before(record: Record) -> str:
    """Say what was there before, and is for those whom the activation is not for."""
    inherits = record["inherits"] and record["former"] is None
    return without(record["subject"]) if inherits else told(record["former"])


def without(subject: str) -> str:
    """Say what mail goes through without anything active for the subject itself."""
    return "off" if subject == EVERYONE else "inherited"


def _brief(text: str) -> str:
    """Cut what would make a table too wide to read; JSON has it whole."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def _mode(record: Record) -> str:
    """Say how an activation counts, and for whom a canary is."""
    if record["mode"] != "canary":
        return str(record["mode"])
    share = [f"{record['share_percent']}%"] if record["share_percent"] else []
    return f"canary {_brief(','.join((*share, *record['account_names'])))}"


def row(record: Record) -> Record:
    """Give what the table shows of an activation."""
    end = str(record["end_reason"] or "").replace("_", " ")
    if record["ended_by"]:
        end += f" by {record['ended_by']}"
    elif record["end_reason"] == "given_up":
        end += f": {record['last_failure']}"
    return record | {
        "transform": _brief(told(record["transform"])),
        "mode": _mode(record),
        "former": _brief(_before(record)),
        "end_reason": end,
    }


def _transform_record(activation: TransformActivation, field: str) -> Record | None:
    from pop3mgmt.v1.transforms_pb2 import OnFailure

    if not activation.HasField(field):  # type: ignore[arg-type]
        return None
    found: Transform = getattr(activation, field)
    return {
        "name": found.name,
        "version": found.version,
        "command_line": found.command_line,
        "on_failure": OnFailure.Name(found.on_failure).removeprefix("ON_FAILURE_").lower(),
    }
