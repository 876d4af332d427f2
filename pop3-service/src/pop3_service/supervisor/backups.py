"""Backups: made and restored while the service runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import structlog

from lineproto.clock import Clock
from pop3_service.domain.account import Principal
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import StoreUnavailable
from pop3_service.domain.rights import Right
from pop3_service.storage import backup, restore
from pop3_service.storage.backup import Stored
from pop3mgmt.backup_file import Manifest, pack

EVERYTHING = frozenset(Right) - {Right.OWN}
"""What an admin's automation token may, too."""

log = structlog.get_logger()


class Database(Protocol):
    """What is open while the service runs."""

    async def replace(self, change: Callable[[], None], changed: Callable[[], None]) -> None:
        """Let another file take its place; see ``storage.store.Store``."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did, or after a dry run would do: ``in_force`` says which."""

    name: str
    manifest: Manifest
    in_force: bool
    ended_sessions: int
    warnings: tuple[str, ...]


class BackupDesk:
    """The use cases of backups, one at a time. ``keys`` are files of keys, by name."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        keys: Mapping[str, Path],
        version: str,
        clock: Clock,
        changed: Callable[[], None],
        apply: Callable[[], Awaitable[int]],
        kept: Callable[[], int],
    ) -> None:
        """``kept`` says how many are kept in the folder, 0 for all.

        ``changed`` lets everything be forgotten that was known of the data before.

        ``apply`` puts the data in force that is there then; it gives how many sessions ended.
        """
        self._database = database
        self._folder = folder
        self._keys = keys
        self._version = version
        self._clock = clock
        self._changed = changed
        self._apply = apply
        self._kept = kept
        self._turn = asyncio.Lock()
        self._acts: set[asyncio.Task[Restored]] = set()

    async def list(self) -> list[Stored]:
        """Give the backups in the service's own folder, in order of name."""
        return await asyncio.to_thread(backup.stored, self._folder)

    async def create(self, by: Principal) -> Stored:
        """Write a backup to the service's own folder.

        Raises:
            StoreUnavailable: the disk is full, or fails.
        """
        async with self._turn:
            made = await asyncio.to_thread(self._create)
            describe(target=made.name, after={"accounts": made.manifest.account_count})
            await self._cut(made.name)
        log.info("backup made", name=made.name, by=by.name, octets=made.manifest.octets)
        return made

    async def export(self, by: Principal) -> AsyncIterator[tuple[Manifest, bytes]]:
        """Give a backup piece by piece, and with each what it is of; nothing of it is kept.

        Raises:
            StoreUnavailable: the disk is full, or fails.
        """
        async with contextlib.AsyncExitStack() as stack:
            async with self._turn:
                work = await asyncio.to_thread(
                    stack.enter_context, backup.work_folder(self._folder)
                )
                manifest = await asyncio.to_thread(self._collect, work)
            describe(after={"accounts": manifest.account_count})
            log.info("backup sent", by=by.name, octets=manifest.octets)
            pieces = pack(manifest, work)
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                yield manifest, piece

    async def restore(self, name: str, by: Principal, *, dry_run: bool = False) -> Restored:
        """Put a backup of the service's own folder in force.

        Raises:
            PermissionDenied: whatever rights are in a backup, who restores it has them already.
            BackupNotFound, BackupInvalid, StoreUnavailable: all is as it was.
        """
        describe(target=name)
        if not dry_run:
            by.require_all(EVERYTHING, "restore a backup")
        file = await asyncio.to_thread(backup.open_stored, self._folder, name)
        return await self._to_the_end(self._restored(file, name, by, dry_run=dry_run))

    async def restore_sent(
        self, chunks: AsyncIterator[bytes], by: Principal, *, dry_run: bool = False
    ) -> Restored:
        """Put a backup in force that comes in pieces.

        Raises:
            PermissionDenied, BackupInvalid, StoreUnavailable: all is as it was.
        """
        if not dry_run:
            by.require_all(EVERYTHING, "restore a backup")
        with contextlib.ExitStack() as stack:
            work = await asyncio.to_thread(stack.enter_context, backup.work_folder(self._folder))
            with (work / "sent").open("xb") as file:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
            sent = (work / "sent").open("rb")
            return await self._to_the_end(self._restored(sent, "", by, dry_run=dry_run))

    async def close(self) -> None:
        """Wait for a restore that has begun."""
        if self._acts:
            await asyncio.wait(self._acts)

    async def _to_the_end(self, restoring: Coroutine[Any, Any, Restored]) -> Restored:
        """A restore that has begun goes to its end, even if its caller is gone meanwhile."""
        act = asyncio.create_task(restoring)
        self._acts.add(act)
        act.add_done_callback(self._acts.discard)
        return await asyncio.shield(act)

    async def _restored(
        self, file: BinaryIO, name: str, by: Principal, *, dry_run: bool
    ) -> Restored:
        async with self._turn:
            with file:
                staged = await asyncio.to_thread(restore.stage, self._folder, file, self._keys)
            manifest, ended = staged.manifest, 0
            if dry_run:
                await asyncio.to_thread(restore.discard, self._folder)
            else:
                try:
                    change = partial(restore.put_in_force, self._folder)
                    await self._database.replace(change, self._changed)
                finally:
                    await asyncio.to_thread(restore.discard, self._folder)
                ended = await self._apply()
        facts = {"accounts": staged.account_count, "made": manifest.create_time.isoformat()}
        describe(after={**facts, "dry_run": dry_run})
        if not dry_run:
            log.warning("backup restored", name=name or None, by=by.name, sessions=ended, **facts)
        return Restored(name, manifest, not dry_run, ended, staged.warnings)

    async def _cut(self, made: str) -> None:
        if not (kept := self._kept()):
            return
        try:
            removed = await asyncio.to_thread(backup.cut, self._folder, kept, made)
        except OSError as error:  # the one that is asked for is made
            log.error("old backups not removed", error=error.strerror)
            return
        if removed:
            describe(after={"removed": len(removed), "removed_until": max(removed)})
            log.info("old backups removed", count=len(removed), names=" ".join(removed[:10]))

    def _create(self) -> Stored:
        with backup.work_folder(self._folder) as work:
            return backup.store(self._folder, work, self._collect(work))

    def _collect(self, work: Path) -> Manifest:
        now = self._clock.now()
        return backup.collect(self._folder, work, self._keys, self._version, now)


def restore_cold(folder: Path, keys: Mapping[str, Path], source: BinaryIO) -> restore.Staged:
    """Put a backup in force in a data folder that no service has open.

    Raises:
        BackupInvalid, StoreUnavailable: all is as it was.
    """
    from pop3_service.storage.store import locked

    with locked(folder):
        try:
            restore.finish(folder)
            staged = restore.stage(folder, source, keys)
            restore.put_in_force(folder)
        except (OSError, restore.Torn) as error:
            raise StoreUnavailable(f"the backup was not restored: {error}") from error
    return staged
