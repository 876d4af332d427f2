"""Backups in the service's own folder: SCMP carries no files."""

from __future__ import annotations

from lineproto.reply import Err, Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.v1.backup_pb2 import Backup
from scmp_gateway.command import Line
from scmp_gateway.times import show_time


async def backup(caller: Caller, line: Line) -> Reply:
    """Make a backup."""
    made = await caller.create_backup()
    return Ok(f"backup {made.name} made, {made.account_count} accounts")


async def backups(caller: Caller, line: Line) -> Reply:
    """All backups there are."""
    found = await caller.list_backups()
    return Listing(f"{len(found)} backups", [_backup_line(it) for it in found])


async def restore(caller: Caller, line: Line) -> Reply:
    """Put a backup in force, or only look at it."""
    name, *check = line.words
    if check and check[0].upper() != "CHECK":
        return Err("usage: RESTORE <backup> [CHECK]")
    done = await caller.restore_backup(name, dry_run=bool(check))
    of = f"{name}, {done.backup.account_count} accounts"
    notes = "".join(f"; warning: {text}" for text in done.warnings)
    if not done.restored:
        return Ok(f"backup {of}, can be restored{notes}")
    return Ok(f"restored {of}, {done.ended_session_count} sessions ended, log in again{notes}")


def _backup_line(backup: Backup) -> str:
    made = show_time(backup.create_time)
    octets = sum(file.size_bytes for file in backup.files)
    return f"{backup.name} made={made} accounts={backup.account_count} octets={octets}"
