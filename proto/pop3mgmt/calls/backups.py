"""The calls about backups."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable

from pop3mgmt.calls.base import CHUNK, IMPORT_S, Calls, call, streamed
from pop3mgmt.v1 import backup_pb2, backup_pb2_grpc


class BackupsCalls(Calls):
    """The calls about backups."""

    @functools.cached_property
    def _backup(self) -> backup_pb2_grpc.BackupServiceAsyncStub:
        return backup_pb2_grpc.BackupServiceStub(self._channel)

    async def list_backups(self) -> list[backup_pb2.Backup]:
        """Give the backups in the service's own folder, in order of name."""
        found: list[backup_pb2.Backup] = []
        token = ""
        while True:
            request = backup_pb2.ListBackupsRequest(page_token=token)
            page = await call(self._backup.ListBackups(request, **self._options()))
            found.extend(page.backups)
            if not (token := page.next_page_token):
                return found

    async def create_backup(self) -> backup_pb2.Backup:
        """Write a backup to the service's own folder."""
        request = backup_pb2.CreateBackupRequest()
        options = self._options(at_least_s=IMPORT_S)
        return (await call(self._backup.CreateBackup(request, **options))).backup

    async def export_backup(self) -> AsyncIterator[backup_pb2.ExportBackupResponse]:
        """Give a backup in pieces; the first says what it is of."""
        request = backup_pb2.ExportBackupRequest()
        with streamed(self._backup.ExportBackup(request, metadata=self._metadata)) as responses:
            async for response in responses:
                yield response

    async def restore_backup(self, name: str, *, dry_run: bool = False) -> backup_pb2.Restoration:
        """Restore a backup of the service's own folder; this login ends with it."""
        request = backup_pb2.RestoreBackupRequest(name=name, dry_run=dry_run)
        options = self._options(at_least_s=IMPORT_S)
        return (await call(self._backup.RestoreBackup(request, **options))).restoration

    async def import_backup(
        self, pieces: Iterable[bytes], *, dry_run: bool = False
    ) -> backup_pb2.Restoration:
        """Restore a backup that is sent; this login ends with it."""

        async def requests() -> AsyncIterator[backup_pb2.ImportBackupRequest]:
            yield backup_pb2.ImportBackupRequest(dry_run=dry_run)
            for piece in pieces:
                for at in range(0, len(piece), CHUNK):
                    yield backup_pb2.ImportBackupRequest(chunk=piece[at : at + CHUNK])

        sent = self._backup.ImportBackup(requests(), metadata=self._metadata)
        return (await call(sent)).restoration
