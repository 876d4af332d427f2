"""backup: accounts, settings, secrets and their keys, kept elsewhere and put back; no mail."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

import click

from admin_cli.commands import TEXT, Noun
from admin_cli.connection import call
from admin_cli.errors import Refused
from admin_cli.output import (
    Column,
    Record,
    local_time,
    note,
    rfc3339,
    show_done,
    show_facts,
    show_list,
    size,
    text_or_dash,
    timestamp,
)
from admin_cli.terminal import at_terminal, confirm
from pop3mgmt.reasons import Reason

if TYPE_CHECKING:
    from pop3mgmt.backup_file import Manifest
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.backup_pb2 import Backup, Restoration

COLUMNS = (
    Column("name", "NAME", text_or_dash),
    Column("create_time", "MADE", local_time),
    Column("version", "VERSION"),
    Column("account_count", "ACCOUNTS", right=True),
    Column("size_bytes", "SIZE", size, right=True),
)
PRIVATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


@click.group(cls=Noun)
def backup() -> None:
    """Make, list, look at and restore backups."""


@backup.command(
    "create",
    calls=("BackupService/ExportBackup", "BackupService/CreateBackup"),
    examples=(
        "pop3ctl backup create valija.tar",
        "pop3ctl backup create - | ssh vault 'cat > valija.tar'",
        "pop3ctl backup create --on-server",
    ),
)
@click.option("--on-server", is_flag=True, help="Keep it in the service's own folder.")
@click.argument("file", type=TEXT, required=False)
def create_backup(file: str | None, on_server: bool) -> None:
    """Make a backup of this moment, in FILE or on the server; nobody's login waits for it.

    It is as secret as the service's own data: FILE is for its owner alone, and must not exist.
    """
    if bool(file) is on_server:
        raise click.UsageError("give either FILE or --on-server")
    if on_server:
        made = _record(call(lambda caller: caller.create_backup()))
    elif file == "-":
        if sys.stdout.isatty():
            raise click.UsageError("stdout is a terminal; give FILE, or pipe it")
        call(partial(_export, target=sys.stdout.buffer))
        return
    else:
        made = _save(Path(file or ""))
    show_done(made, f"made {made['name']} of {made['account_count']} accounts")


@backup.command(
    "list",
    calls=("BackupService/ListBackups",),
    examples=("pop3ctl backup list", "pop3ctl backup list --json | jq -r '.[-1].name'"),
)
def list_backups() -> None:
    """List the backups in the service's own folder."""
    show_list(map(_record, call(lambda caller: caller.list_backups())), COLUMNS)


@backup.command(
    "verify",
    examples=("pop3ctl backup verify valija.tar", "pop3ctl backup verify - < valija.tar"),
)
@click.argument("file", type=click.File("rb"))
def verify_backup(file: IO[bytes]) -> None:
    """Look whether FILE is a whole backup, without the service; show what it is of."""
    show_facts(_manifest_record(_verified(file), file.name), COLUMNS)


@backup.command(
    "restore",
    calls=("BackupService/ImportBackup", "BackupService/RestoreBackup"),
    examples=(
        "pop3ctl backup restore valija.tar --dry-run",
        "pop3ctl backup restore valija.tar --yes",
        "pop3ctl backup restore --on-server valija-20260102T030405Z-1f2e.tar",
    ),
)
@click.option("--on-server", is_flag=True, help="FILE is a name in the service's own folder.")
@click.option("--dry-run", is_flag=True, help="Change nothing; tell whether it can be restored.")
@click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")
@click.argument("file", type=TEXT)
def restore_backup(file: str, on_server: bool, dry_run: bool, yes: bool) -> None:
    """Put the accounts, settings and secrets of FILE in place of those there are.

    It is looked at wholly first. Then every session and login ends, yours too. Mail stays as it is.
    """
    if not (dry_run or yes):
        if file == "-" or not at_terminal():
            raise click.UsageError("no terminal to ask at; give --yes to restore the backup")
        confirm(f"Replace all accounts and settings by those of {file!r}?")
    if on_server:
        done = call(lambda caller: caller.restore_backup(file, dry_run=dry_run))
    else:
        with click.open_file(file, "rb") as source:
            pieces = iter(partial(source.read, 1 << 18), b"")
            done = call(lambda caller: caller.import_backup(pieces, dry_run=dry_run))
    _show_restoration(done)


def _show_restoration(done: Restoration) -> None:
    for warning in done.warnings:
        note(f"warning: {warning}")
    accounts, ended = done.backup.account_count, done.ended_session_count
    record: Record = {
        "restored": done.restored,
        "ended_session_count": ended,
        "warnings": list(done.warnings),
        "backup": _record(done.backup),
    }
    if done.restored:
        show_done(record, f"restored {accounts} accounts, {ended} sessions ended; log in again")
    else:
        show_done(record, f"{accounts} accounts can be restored; nothing was changed")


async def _export(caller: Caller, target: BinaryIO) -> None:
    async for response in caller.export_backup():
        target.write(response.chunk)
    target.flush()


def _save(path: Path) -> Record:
    """Write a backup to a file, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    if path.exists():
        raise click.UsageError(f"{path} exists already")
    with _removed_on_failure(new), open(os.open(new, PRIVATE, 0o600), "w+b") as file:
        call(partial(_export, target=file))
        os.fsync(file.fileno())
        with new.open("rb") as written:
            manifest = _verified(written)
        os.link(new, path)  # which fails if somebody has made it meanwhile
        new.unlink()
    return _manifest_record(manifest, str(path))


def _verified(file: IO[bytes]) -> Manifest:
    from pop3mgmt.backup_file import BadBackup, unpack

    try:
        return unpack(file, lambda _: None)  # type: ignore[arg-type]
    except BadBackup as error:
        text = f"{file.name} cannot be used: {error}"
        raise Refused(Reason.BACKUP_INVALID, text) from None


@contextlib.contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _record(made: Backup) -> Record:
    return {
        "name": made.name,
        "create_time": timestamp(made.create_time),
        "version": made.version,
        "schema_revision": made.schema_revision,
        "account_count": made.account_count,
        "size_bytes": sum(file.size_bytes for file in made.files),
        "files": [
            {"name": it.name, "size_bytes": it.size_bytes, "sha256": it.checksum}
            for it in made.files
        ],
    }


def _manifest_record(manifest: Manifest, name: str) -> Record:
    return {
        "name": name,
        "create_time": rfc3339(manifest.create_time),
        "version": manifest.version,
        "schema_revision": manifest.schema,
        "account_count": manifest.account_count,
        "size_bytes": manifest.octets,
        "files": [
            {"name": it.name, "size_bytes": it.octets, "sha256": it.sha256} for it in manifest.files
        ],
    }
