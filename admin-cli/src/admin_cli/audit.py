"""audit: who did what, and whether that is still as it was written."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from admin_cli.commands import TEXT, Noun
from admin_cli.connection import call
from admin_cli.exit_codes import DAMAGED
from admin_cli.output import (
    Column,
    Record,
    as_json,
    local_time,
    note,
    show_facts,
    show_line,
    show_list,
    text_or_dash,
    timestamp,
)

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.audit_pb2 import AuditEntry, AuditFilter, VerifyAuditResponse

F = TypeVar("F", bound=Callable[..., Any])


def _object(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) if values else ""


COLUMNS = (
    Column("entry_time", "TIME", local_time, width=19),
    Column("actor", "ACTOR", text_or_dash, width=12),
    Column("action", "ACTION", width=22),
    Column("target", "TARGET", text_or_dash, width=12),
    Column("outcome", "OUTCOME", width=8),
    Column("address", "FROM", text_or_dash, width=15),
    Column("via", "VIA", width=5),
    Column("before", "BEFORE", _object),
    Column("after", "AFTER", _object),
)
VERIFY_COLUMNS = (
    Column("whole", "whole", lambda whole: "yes" if whole else "NO"),
    Column("entry_count", "entries"),
    Column("batch_count", "batches"),
    Column("removed_count", "removed by age"),
    Column("head", "head"),
)
BEGUN: Record = {"action": "watching", "sequence": 0}
"""The first line of a follow for scripts: from here on no entry is missed."""


def filters(function: F) -> F:
    """Add the options that say which entries are meant; they come as one ``AuditFilter``."""

    @functools.wraps(function)
    def with_filter(since: str | None, until: str | None, **more: Any) -> Any:
        from pop3mgmt.v1.audit_pb2 import AuditFilter

        meant = AuditFilter()
        for name in ("actor", "action", "target", "outcome", "address"):
            setattr(meant, name, more.pop(name) or "")
        for name, text in (("since", since), ("until", until)):
            if text is not None:
                getattr(meant, f"{name}_time").FromDatetime(_time(name, text))
        return function(meant=meant, **more)

    for name, text in (
        ("until", "Before this time."),
        ("since", "From this time on, as 2026-01-31 or 2026-01-31T18:00:00Z."),
        ("address", "From this address."),
        ("outcome", "ok, refused, or a reason such as PERMISSION_DENIED."),
        ("target", "Done to this."),
        ("action", "Actions that begin so, such as login or accounts.create."),
        ("actor", "Of this account or token."),
    ):
        with_filter = click.option(
            f"--{name}", type=TEXT, default=None, metavar=name.upper(), help=text
        )(with_filter)
    return with_filter  # type: ignore[return-value]


@click.group(cls=Noun)
def audit() -> None:
    """Show and verify who did what."""


@audit.command(
    "list",
    calls=("AuditService/ListAuditEntries",),
    examples=(
        "pop3ctl audit list",
        "pop3ctl audit list --action login --outcome refused --limit 100",
        "pop3ctl audit list --actor alice --since 2026-01-31 --json",
    ),
)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N",
              help="At most so many.")  # fmt: skip
@filters
def list_entries(meant: AuditFilter, limit: int) -> None:
    """List entries, the newest first."""

    async def collect(caller: Caller) -> list[Record]:
        return [entry_record(it) async for it in caller.list_audit_entries(meant, limit)]

    show_list(call(collect), COLUMNS)


@audit.command(
    "export",
    calls=("AuditService/ListAuditEntries",),
    examples=("pop3ctl audit export > audit.jsonl", "pop3ctl audit export --since 2026-01-01"),
)
@filters
def export_entries(meant: AuditFilter) -> None:
    """Print all entries as JSON, one a line, the newest first."""

    async def export(caller: Caller) -> None:
        async for entry in caller.list_audit_entries(meant):
            click.echo(json.dumps(entry_record(entry)))

    call(export)


@audit.command(
    "follow",
    calls=("AuditService/WatchAudit",),
    examples=("pop3ctl audit follow", "pop3ctl audit follow --action login --json"),
)
@filters
def follow(meant: AuditFilter) -> None:
    """Print each entry as it is written, until Ctrl-C.

    With --json, one object a line; the first has the action "watching".
    """

    async def watch(caller: Caller) -> None:
        header = True
        async for response in caller.watch_audit(meant):
            if response.HasField("entry"):
                if response.skipped_count:
                    note(f"entries left out: {response.skipped_count}")
                record = entry_record(response.entry) | {"skipped_count": response.skipped_count}
                show_line(record, COLUMNS, header=header)
                header = False
            elif as_json():
                show_line(BEGUN, (), header=False)
            else:
                note("following the audit; Ctrl-C ends it")

    call(watch)


@audit.command(
    "verify",
    calls=("AuditService/VerifyAudit",),
    examples=("pop3ctl audit verify", 'pop3ctl audit verify --head "$HEAD"'),
)
@click.option("--head", type=TEXT, default=None, metavar="BATCH:HASH",
              help="A head that the chain must have come past: the log tells it.")  # fmt: skip
def verify(head: str | None) -> int:
    """Look at the whole audit for what was changed, removed or cut off; exit 11 if anything was."""
    found = call(lambda caller: caller.verify_audit(head or ""))
    record = verification_record(found)
    show_facts(record, VERIFY_COLUMNS)
    if not as_json():
        for it in found.damage:
            click.echo(
                f"batch {it.batch}, entries {it.first_sequence} to {it.last_sequence}: {it.text}"
            )
    return DAMAGED if found.damage else 0


def _time(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            "a time is as 2026-01-31 or 2026-01-31T18:00:00Z", param_hint=f"--{name}"
        ) from None
    return moment.astimezone(UTC)


def entry_record(entry: AuditEntry) -> Record:
    """Give an entry's values under their names in the contract, JSON as it is."""
    return {
        "sequence": entry.sequence,
        "entry_time": timestamp(entry.entry_time),
        "action": entry.action,
        "actor": entry.actor,
        "actor_kind": entry.ActorKind.Name(entry.actor_kind).removeprefix("ACTOR_KIND_").lower(),
        "token_name": entry.token_name,
        "address": entry.address,
        "via": entry.via,
        "target": entry.target,
        "outcome": entry.outcome,
        "count": entry.count,
        "before": json.loads(entry.before_json or "{}"),
        "after": json.loads(entry.after_json or "{}"),
    }


def verification_record(found: VerifyAuditResponse) -> Record:
    """Give what a look found under its names in the contract."""
    return {
        "whole": not found.damage,
        "entry_count": found.entry_count,
        "batch_count": found.batch_count,
        "removed_count": found.removed_count,
        "head": found.head,
        "damage": [
            {
                "batch": it.batch,
                "first_sequence": it.first_sequence,
                "last_sequence": it.last_sequence,
                "text": it.text,
            }
            for it in found.damage
        ],
    }
