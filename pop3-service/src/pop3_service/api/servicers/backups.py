"""Backups: messages of the contract to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pop3_service.api.access import caller
from pop3_service.api.servicers.shared import Context, chunks
from pop3_service.api.translate import offset_page, timestamp
from pop3_service.domain.errors import InvalidArgument
from pop3_service.supervisor.backups import BackupDesk, Restored
from pop3mgmt.backup_file import Manifest
from pop3mgmt.v1 import backup_pb2, backup_pb2_grpc


class BackupServicer(backup_pb2_grpc.BackupServiceServicer):
    """Backups."""

    def __init__(self, backups: BackupDesk) -> None:
        self._backups = backups

    async def ListBackups(
        self, request: backup_pb2.ListBackupsRequest, context: Context
    ) -> backup_pb2.ListBackupsResponse:
        """Give a page of the backups in the service's folder."""
        found = await self._backups.list()
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return backup_pb2.ListBackupsResponse(
            backups=[backup_message(it.manifest, it.name) for it in page],
            next_page_token=next_token,
            total_count=len(found),
        )

    async def CreateBackup(
        self, request: backup_pb2.CreateBackupRequest, context: Context
    ) -> backup_pb2.CreateBackupResponse:
        """Write a backup to the service's folder."""
        made = await self._backups.create(caller())
        return backup_pb2.CreateBackupResponse(backup=backup_message(made.manifest, made.name))

    async def ExportBackup(
        self, request: backup_pb2.ExportBackupRequest, context: Context
    ) -> AsyncIterator[backup_pb2.ExportBackupResponse]:
        """Send a backup."""
        first = True
        async for manifest, piece in self._backups.export(caller()):
            of = backup_message(manifest) if first else None
            yield backup_pb2.ExportBackupResponse(backup=of, chunk=piece)
            first = False

    async def RestoreBackup(
        self, request: backup_pb2.RestoreBackupRequest, context: Context
    ) -> backup_pb2.RestoreBackupResponse:
        """Restore a backup of the service's folder."""
        done = await self._backups.restore(request.name, caller(), dry_run=request.dry_run)
        return backup_pb2.RestoreBackupResponse(restoration=_restoration(done))

    async def ImportBackup(
        self, request_iterator: AsyncIterator[backup_pb2.ImportBackupRequest], context: Context
    ) -> backup_pb2.ImportBackupResponse:
        """Restore a backup that is sent."""
        try:
            first = await anext(request_iterator)
        except StopAsyncIteration:
            raise InvalidArgument("the stream is empty") from None
        done = await self._backups.restore_sent(
            chunks(first, request_iterator), caller(), dry_run=first.dry_run
        )
        return backup_pb2.ImportBackupResponse(restoration=_restoration(done))


def backup_message(manifest: Manifest, name: str = "") -> backup_pb2.Backup:
    """Give a backup as the contract has it."""
    return backup_pb2.Backup(
        name=name,
        create_time=timestamp(manifest.create_time),
        version=manifest.version,
        schema_revision=manifest.schema,
        account_count=manifest.account_count,
        files=[
            backup_pb2.BackupFile(name=it.name, size_bytes=it.octets, checksum=it.sha256)
            for it in manifest.files
        ],
    )


def _restoration(done: Restored) -> backup_pb2.Restoration:
    return backup_pb2.Restoration(
        backup=backup_message(done.manifest, done.name),
        restored=done.in_force,
        ended_session_count=done.ended_sessions,
        warnings=done.warnings,
    )
