"""The service as a whole: messages of the contract to use cases and back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from lineproto.clock import Clock
from pop3_service.api.access import caller
from pop3_service.api.servicers.shared import Context
from pop3_service.api.translate import (
    SETTING_FIELDS,
    certificate_message,
    offset_page,
    read_settings,
    settings_message,
)
from pop3_service.api.translate_status import status_message
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import (
    InvalidArgument,
)
from pop3_service.domain.rights import Right
from pop3_service.supervisor.settings import SettingsDesk
from pop3_service.supervisor.status import StatusDesk
from pop3_service.supervisor.tls.certificates import CertificatesDesk
from pop3mgmt.v1 import (
    server_pb2,
    server_pb2_grpc,
)

# Whose keys bearer tokens are checked with can log in as anybody.
_TOKENS = frozenset({Right.SETTINGS_WRITE, Right.MAIL_READ, Right.MAIL_WRITE})
SETTING_RIGHTS = {
    "oauth_jwks": _TOKENS,
    "oauth_issuer": _TOKENS,
    "oauth_audience": _TOKENS,
    "oauth_account_claim": _TOKENS,
    "oauth_scope": _TOKENS,
}
"""The rights to change settings that ask for others than ``SETTINGS_WRITE`` alone."""
LONGEST_INTERVAL_S = 86_400.0
log = structlog.get_logger()


class ServerServicer(server_pb2_grpc.ServerServiceServicer):
    """The service as a whole."""

    def __init__(
        self,
        status: StatusDesk,
        settings: SettingsDesk,
        certificates: CertificatesDesk,
        restart_workers: Callable[[], Awaitable[int]],
        clock: Clock,
    ) -> None:
        self._status = status
        self._settings = settings
        self._certificates = certificates
        self._restart_workers = restart_workers
        self._clock = clock

    async def ListCertificates(
        self, request: server_pb2.ListCertificatesRequest, context: Context
    ) -> server_pb2.ListCertificatesResponse:
        """Give a page of the certificates."""
        found = self._certificates.in_force()
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return server_pb2.ListCertificatesResponse(
            certificates=map(certificate_message, page),
            next_page_token=next_token,
            total_count=len(found),
        )

    async def GetStatus(
        self, request: server_pb2.GetStatusRequest, context: Context
    ) -> server_pb2.GetStatusResponse:
        """Give the state."""
        return server_pb2.GetStatusResponse(status=status_message(await self._status.status()))

    async def WatchStatus(
        self, request: server_pb2.WatchStatusRequest, context: Context
    ) -> AsyncIterator[server_pb2.WatchStatusResponse]:
        """Give the state again and again."""
        interval_s = request.interval.ToMilliseconds() / 1000 or 1.0
        if not 0.1 <= interval_s <= LONGEST_INTERVAL_S:
            raise InvalidArgument("the interval is from 0.1 seconds to a day")
        while True:
            status = status_message(await self._status.status())
            yield server_pb2.WatchStatusResponse(status=status)
            await self._clock.sleep(interval_s)

    async def GetSettings(
        self, request: server_pb2.GetSettingsRequest, context: Context
    ) -> server_pb2.GetSettingsResponse:
        """Give the settings."""
        return server_pb2.GetSettingsResponse(settings=settings_message(self._settings.current))

    async def UpdateSettings(
        self, request: server_pb2.UpdateSettingsRequest, context: Context
    ) -> server_pb2.UpdateSettingsResponse:
        """Change the settings that the mask names."""
        paths = list(request.update_mask.paths)
        if not paths:
            raise InvalidArgument("update_mask names no setting")
        unknown = [path for path in paths if path not in SETTING_FIELDS]
        if unknown:
            known = ", ".join(SETTING_FIELDS)
            raise InvalidArgument(f"there is no setting {unknown[0]!r}; there are {known}")
        for path in paths:
            rights = SETTING_RIGHTS.get(path, frozenset({Right.SETTINGS_WRITE}))
            caller().require_all(rights, f"changing {path}")
        values = read_settings(request.settings, paths)
        settings = await self._settings.update(values, caller().name)
        return server_pb2.UpdateSettingsResponse(settings=settings_message(settings))

    async def ReloadCertificates(
        self, request: server_pb2.ReloadCertificatesRequest, context: Context
    ) -> server_pb2.ReloadCertificatesResponse:
        """Read the certificates again."""
        found = await self._certificates.reload(caller().name)
        return server_pb2.ReloadCertificatesResponse(certificates=map(certificate_message, found))

    async def RestartWorkers(
        self, request: server_pb2.RestartWorkersRequest, context: Context
    ) -> server_pb2.RestartWorkersResponse:
        """Replace the worker processes."""
        log.info("workers are to be replaced", by=caller().name)
        count = await self._restart_workers()
        describe(target="workers", after={"replaced_workers": count})
        log.info("workers replaced", by=caller().name, count=count)
        return server_pb2.RestartWorkersResponse(worker_count=count)
