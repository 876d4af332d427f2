"""accounts import: take over accounts with their passwords, and tell first what would be made."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import IO, TYPE_CHECKING

import click

from admin_cli.commands import Command
from admin_cli.connection import call
from admin_cli.errors import Refused
from admin_cli.output import Column, Record, as_json, safe, show_list, text_or_dash
from pop3mgmt.reasons import Reason

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.accounts_pb2 import ImportedLine

OUTCOMES: dict[int, str] = {1: "imported", 2: "exists", 3: "refused"}
"""The contract's ImportOutcome by number; see ``accounts.ROLES``."""

COLUMNS = (
    Column("number", "LINE", right=True),
    Column("name", "NAME", text_or_dash),
    Column("outcome", "OUTCOME"),
    Column("why", "WHY"),
)


@click.command(
    "import",
    cls=Command,
    calls=("AccountsService/ImportAccounts",),
    examples=(
        "pop3ctl accounts import --from dovecot-passwd /etc/dovecot/users --dry-run",
        "pop3ctl accounts import --from dovecot-passwd --domain example.org users",
        "pop3ctl accounts import --from dovecot-passwd - --json < users",
    ),
)
@click.option("--from", "source", type=click.Choice(["dovecot-passwd"]), required=True,
              help="What FILE is of.")  # fmt: skip
@click.option("--domain", default="", help="Add @DOMAIN to names without one.")
@click.option("--dry-run", is_flag=True, help="Make no account; tell what would be made.")
@click.argument("file", type=click.File("rb"))
def import_accounts(source: str, domain: str, dry_run: bool, file: IO[bytes]) -> None:
    """Make the accounts of a Dovecot passwd-file, with the passwords they have there.

    All accounts that can be made are made at once, or none if there would be too many. Each line
    that makes none is told. Old hashes (ARGON2ID, ARGON2I, BLF-CRYPT, SHA512-CRYPT, SHA256-CRYPT)
    are replaced by our own at the first login.
    """
    if file.isatty():
        raise click.UsageError("stdin is a terminal; give FILE, or pipe it in")

    async def send(caller: Caller) -> list[ImportedLine]:
        from pop3mgmt.calls.base import CHUNK

        chunks = iter(partial(file.read, CHUNK), b"")
        return await caller.import_accounts(chunks, default_domain=domain, dry_run=dry_run)

    records = [_record(line) for line in call(send)]
    counts = Counter(record["outcome"] for record in records)
    totals: Record = {f"{outcome}_count": counts[outcome] for outcome in OUTCOMES.values()}
    if as_json():
        click.echo(json.dumps({"dry_run": dry_run, "lines": records, **totals}, indent=2))
    else:
        _show(records, counts, dry_run)
    if counts["refused"]:
        first = next(record for record in records if record["outcome"] == "refused")
        text = f"{counts['refused']} lines are refused; line {first['number']}: {first['why']}"
        raise Refused(Reason.INVALID_ARGUMENT, text)


def _record(line: ImportedLine) -> Record:
    return {
        "number": line.number,
        "name": line.name,
        "outcome": OUTCOMES.get(line.outcome, "unknown"),
        "scheme": line.scheme,
        "why": line.why,
    }


def _show(records: list[Record], counts: Counter[str], dry_run: bool) -> None:
    left = [record for record in records if record["outcome"] != "imported"]
    if left:
        show_list(left, COLUMNS)
    schemes = Counter(it["scheme"] for it in records if it["outcome"] == "imported")
    kinds = ", ".join(f"{scheme} {count}" for scheme, count in sorted(schemes.items()))
    made = "would be imported" if dry_run else "imported"
    click.echo(
        safe(
            f"{counts['imported']} accounts {made}{f' ({kinds})' if kinds else ''},"
            f" {counts['exists']} exist already, {counts['refused']} refused"
        )
    )
