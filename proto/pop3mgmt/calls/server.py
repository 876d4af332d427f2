"""The calls about the service as a whole."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta

from google.protobuf.field_mask_pb2 import FieldMask

from pop3mgmt.calls.base import RESTART_S, TRIAL_S, Calls, call, streamed
from pop3mgmt.v1 import (
    server_pb2,
    server_pb2_grpc,
)


class ServerCalls(Calls):
    """The calls about the service as a whole."""

    @functools.cached_property
    def _server(self) -> server_pb2_grpc.ServerServiceAsyncStub:
        return server_pb2_grpc.ServerServiceStub(self._channel)

    async def list_certificates(self) -> list[server_pb2.Certificate]:
        """Give the certificates in force, the default first."""
        found: list[server_pb2.Certificate] = []
        token = ""
        while True:
            request = server_pb2.ListCertificatesRequest(page_token=token)
            page = await call(self._server.ListCertificates(request, **self._options()))
            found.extend(page.certificates)
            if not (token := page.next_page_token):
                return found

    async def reload_certificates(self) -> list[server_pb2.Certificate]:
        """Read the certificates' files again; give those in force then."""
        request = server_pb2.ReloadCertificatesRequest()
        options = self._options(at_least_s=TRIAL_S)
        return list((await call(self._server.ReloadCertificates(request, **options))).certificates)

    async def restart_workers(self) -> int:
        """Replace the worker processes without ending a session; give how many."""
        request = server_pb2.RestartWorkersRequest()
        options = self._options(at_least_s=RESTART_S)
        return (await call(self._server.RestartWorkers(request, **options))).worker_count

    async def get_status(self) -> server_pb2.Status:
        """Give the state of the service."""
        request = server_pb2.GetStatusRequest()
        return (await call(self._server.GetStatus(request, **self._options()))).status

    async def watch_status(self, interval: timedelta) -> AsyncIterator[server_pb2.Status]:
        """Give the state at once and then again each interval."""
        request = server_pb2.WatchStatusRequest()
        request.interval.FromTimedelta(interval)
        with streamed(self._server.WatchStatus(request, metadata=self._metadata)) as responses:
            async for response in responses:
                yield response.status

    async def get_settings(self) -> server_pb2.Settings:
        """Give the settings in force."""
        request = server_pb2.GetSettingsRequest()
        return (await call(self._server.GetSettings(request, **self._options()))).settings

    async def update_settings(
        self, settings: server_pb2.Settings, paths: Iterable[str]
    ) -> server_pb2.Settings:
        """Change the settings named by ``paths``; give all as they are now."""
        mask = FieldMask(paths=list(paths))
        request = server_pb2.UpdateSettingsRequest(settings=settings, update_mask=mask)
        return (await call(self._server.UpdateSettings(request, **self._options()))).settings
