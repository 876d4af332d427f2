"""What is done with backups."""

from __future__ import annotations

from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import World
from pop3_service.domain.rights import Right
from pop3mgmt.client import Caller


async def _made(world: World) -> Facts:
    """A backup with ana, on the server and in a file; then ana goes."""
    admin = world.service.admin
    name = (await admin.create_backup()).name
    file = world.folder / "valija.tar"
    file.write_bytes(b"".join([it.chunk async for it in admin.export_backup()]))
    await admin.delete_account("ana")
    return {"name": name, "file": str(file), "new": str(world.folder / "new.tar")}


async def _list(caller: Caller, _: Facts) -> Any:
    return await caller.list_backups()


async def _create(caller: Caller, _: Facts) -> Any:
    return await caller.create_backup()


async def _export(caller: Caller, _: Facts) -> Any:
    return (await anext(caller.export_backup())).backup


async def _look(caller: Caller, facts: Facts) -> Any:
    return await caller.restore_backup(facts["name"], dry_run=True)


async def _restore(caller: Caller, facts: Facts) -> Any:
    return await caller.restore_backup(facts["name"])


async def _import(caller: Caller, facts: Facts) -> Any:
    with open(facts["file"], "rb") as file:
        return await caller.import_backup([file.read()])


RESTORED = Answers(
    lambda done: done.restored,
    lambda reply: reply.line.startswith("+OK restored "),
    lambda record: record["restored"],
)

ABILITIES = [
    Ability(
        "BackupService/ListBackups",
        _list,
        "BACKUPS",
        ("backup", "list"),
        Answers(
            lambda them: [it.account_count for it in them],
            lambda reply: [
                int(line.split()[2].removeprefix("accounts=")) for line in reply.listing
            ],
            lambda records: [it["account_count"] for it in records],
        ),
        prepare=_made,
    ),
    Ability(
        "BackupService/CreateBackup",
        _create,
        "BACKUP",
        ("backup", "create", "--on-server"),
        Answers(
            lambda made: made.account_count,
            lambda reply: int(reply.line.split()[-2]),
            lambda record: record["account_count"],
        ),
    ),
    Ability(
        "BackupService/ExportBackup",
        _export,
        "",
        ("backup", "create", "{new}"),
        Answers(
            lambda made: made.account_count,
            lambda reply: None,
            lambda record: record["account_count"],
        ),
        prepare=_made,
    ),
    Ability(
        "BackupService/RestoreBackup",
        _look,
        "RESTORE {name} CHECK",
        ("backup", "restore", "--on-server", "--dry-run", "{name}"),
        RESTORED,
        prepare=_made,
        what="only a look",
    ),
    Ability(
        "BackupService/ImportBackup",
        _import,
        "",
        ("backup", "restore", "--yes", "{file}"),
        RESTORED,
        prepare=_made,
        given=frozenset(Right),
    ),
    Ability(
        "BackupService/RestoreBackup",
        _restore,
        "RESTORE {name}",
        ("backup", "restore", "--on-server", "--yes", "{name}"),
        RESTORED,
        prepare=_made,
        given=frozenset(Right),
    ),
]
