"""maildrop import-uidl: take over unique ids, and tell first what that would change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from admin_cli.commands import TEXT, Command
from admin_cli.connection import call
from admin_cli.errors import Refused
from admin_cli.output import Column, Record, as_json, note, safe, show_list, size
from pop3mgmt.reasons import Reason

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.maildrop_pb2 import ImportUniqueIdsResponse, MessageTotal

SOURCES: dict[str, int] = {"dovecot": 1, "courier": 2}
"""The numbers of the contract's IdSource; see ``accounts.ROLES``."""

FILES = {"dovecot": "dovecot-uidlist", "courier": "courierpop3dsizelist"}
GROUPS = ("all", "kept", "changed", "refused", "missing")
STOPPING = frozenset(
    {
        Reason.INVALID_CREDENTIALS,
        Reason.PERMISSION_DENIED,
        Reason.SERVICE_UNAVAILABLE,
        Reason.INTERNAL,
    }
)
"""What is no matter of one account, so that there is no use in going on to the next."""


def _count(total: Record) -> str:
    return f"{total['message_count']}"


COLUMNS = (
    Column("name", "NAME"),
    *(Column(group, group.upper(), _count, right=True) for group in GROUPS),
    Column("gone_count", "GONE", right=True),
    Column("note", "NOTE"),
)


@click.command(
    "import-uidl",
    cls=Command,
    calls=("MaildropService/ImportUniqueIds",),
    also=("AccountsService/ListAccounts",),
    examples=(
        "pop3ctl maildrop import-uidl --from dovecot --all --dry-run",
        "pop3ctl maildrop import-uidl --from dovecot --format '%v.%u' alice bob",
        "pop3ctl maildrop import-uidl --from courier --all --json",
    ),
)
@click.option("--from", "source", type=click.Choice(list(SOURCES)), required=True,
              help="The server that kept the ids.")  # fmt: skip
@click.option(
    "--format",
    "uidl_format",
    default="",
    metavar="FORMAT",
    help="Dovecot's pop3_uidl_format, or a name: dovecot, cyrus, cyrus-old, courier-2, courier-1,"
    " uw, tpop3d.",
)
@click.option("--all", "everyone", is_flag=True, help="All accounts.")
@click.option("--dry-run", is_flag=True, help="Change nothing; tell what would change.")
@click.argument("names", metavar="[NAME]...", type=TEXT, nargs=-1)
def import_uidl(
    source: str, uidl_format: str, everyone: bool, dry_run: bool, names: Sequence[str]
) -> None:
    """Keep the unique ids of another server, so that no client downloads its mail again.

    The server's own file, dovecot-uidlist or courierpop3dsizelist, is in the Maildir that moved
    here. KEPT messages have their old id afterwards, CHANGED ones of them another one now. REFUSED
    have an old id that cannot be one, MISSING none in the file, GONE ids no message.
    """
    if everyone is bool(names):
        raise click.UsageError("give NAME, some of them, or --all")
    if uidl_format and source != "dovecot":
        raise click.UsageError("--format is for --from dovecot")
    records = call(lambda caller: _import(caller, source, uidl_format, dry_run, names))
    total = _total(records)
    if as_json():
        found = {"dry_run": dry_run, "accounts": records, "total": total}
        click.echo(json.dumps(found, indent=2))
    else:
        _show(records, total, source, dry_run)
    failed = [record for record in records if record["error"]]
    if failed:
        first = failed[0]["error"]
        text = f"{len(failed)} of {len(records)} accounts failed; {failed[0]['name']}: "
        raise Refused(Reason(first["reason"]), text + first["message"])


async def _import(
    caller: Caller, source: str, uidl_format: str, dry_run: bool, names: Sequence[str]
) -> list[Record]:
    from pop3mgmt.errors import ManagementError
    from pop3mgmt.v1.maildrop_pb2 import IdSource

    number = IdSource.Value(f"ID_SOURCE_{source.upper()}")
    found = list(names) or [account.name for account in await caller.list_accounts()]
    records = []
    for name in found:
        await caller.renew_when_due()
        try:
            result = await caller.import_unique_ids(name, number, uidl_format, dry_run=dry_run)
        except ManagementError as error:
            if error.reason in STOPPING:
                raise
            records.append(_failed(name, error))
        else:
            records.append(_record(name, result))
    return records


def _record(name: str, result: ImportUniqueIdsResponse) -> Record:
    def total(messages: MessageTotal) -> Record:
        return {"message_count": messages.message_count, "size_bytes": messages.size_bytes}

    return {
        "name": name,
        "source_found": result.source_found,
        **{group: total(getattr(result, group)) for group in GROUPS},
        "gone_count": result.gone_count,
        "broken_line_count": result.broken_line_count,
        "problems": list(result.problems),
        "error": None,
    }


def _failed(name: str, error: Any) -> Record:
    return {
        "name": name,
        "source_found": False,
        **{group: {"message_count": 0, "size_bytes": 0} for group in GROUPS},
        "gone_count": 0,
        "broken_line_count": 0,
        "problems": [],
        "error": {"reason": error.reason.value, "message": error.text},
    }


def _total(records: Sequence[Record]) -> Record:
    """Sum up; ``again`` is what clients of the old server download again."""
    found = [record for record in records if record["source_found"]]
    return {
        "account_count": len(records),
        "source_count": len(found),
        "failed_count": sum(record["error"] is not None for record in records),
        **{group: _sum(found, group) for group in GROUPS},
        "again_without_import": _sum(found, "changed", "refused"),
        "again_with_import": _sum(found, "refused"),
    }


def _sum(records: Sequence[Record], *groups: str) -> Record:
    counts = [sum(record[group]["message_count"] for group in groups) for record in records]
    return {
        "account_count": sum(count > 0 for count in counts),
        "message_count": sum(counts),
        "size_bytes": sum(record[group]["size_bytes"] for record in records for group in groups),
    }


def _show(records: Sequence[Record], total: Record, source: str, dry_run: bool) -> None:
    shown = [
        {**record, "note": _note(record)}
        for record in records
        if record["source_found"] or record["error"]
    ]
    show_list(shown, COLUMNS)
    for record in shown:
        for problem in record["problems"]:
            note(f"{record['name']}: {problem}")
    of_all = f"{total['source_count']} of {total['account_count']} accounts have a {FILES[source]}"
    lines = [of_all]
    if dry_run:
        lines.append(f"without the import, {_again(total['again_without_import'])} again")
        lines.append(f"with it, {_again(total['again_with_import'])} again")
    else:
        kept = total["kept"]
        lines.append(
            f"{kept['message_count']} messages in {kept['account_count']} accounts have their"
            f" old id; {_again(total['again_with_import'])} again"
        )
    if total["missing"]["message_count"]:
        lines.append(
            f"{total['missing']['message_count']} messages ({size(total['missing']['size_bytes'])})"
            " are not in the files: new since, or downloaded again"
        )
    for line in lines:
        click.echo(safe(line))


def _again(total: Record) -> str:
    return (
        f"{total['account_count']} users download"
        f" {total['message_count']} messages ({size(total['size_bytes'])})"
    )


def _note(record: Record) -> str:
    if record["error"]:
        return str(record["error"]["message"])
    broken = record["broken_line_count"]
    return f"{broken} lines cannot be read" if broken else ""
