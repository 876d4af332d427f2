"""The management server: the servicers, health and reflection on one address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from lineproto.followed import FollowedPair
from pop3_service.api.access import AccessInterceptor
from pop3_service.api.auditing import Auditing
from pop3_service.api.credentials import server_credentials
from pop3_service.api.local_health import LocalHealth
from pop3_service.api.origin import Origins
from pop3_service.domain.account import Principal
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.supervisor.identity.tokens import Tokens
from pop3mgmt.v1 import (
    access_pb2,
    access_pb2_grpc,
    accounts_pb2,
    accounts_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    auth_pb2,
    auth_pb2_grpc,
    backup_pb2,
    backup_pb2_grpc,
    maildrop_pb2,
    maildrop_pb2_grpc,
    own_account_pb2,
    own_account_pb2_grpc,
    roles_pb2,
    roles_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    throttle_pb2,
    throttle_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
    transform_activations_pb2,
    transform_activations_pb2_grpc,
    transforms_pb2,
    transforms_pb2_grpc,
)

MAX_MESSAGE = 4 * 1024 * 1024
"""Octets of a request; one to test a transform on a message has the message in it."""
MAX_STREAMS = 1000
"""Calls at a time on one connection."""
MAX_CALLS = 10_000
"""Calls at a time, of all together."""
_ADDERS: dict[type, tuple[ServiceDescriptor, Callable[[Any, Any], None]]] = {
    access_pb2_grpc.AccessServiceServicer: (
        access_pb2.DESCRIPTOR.services_by_name["AccessService"],
        access_pb2_grpc.add_AccessServiceServicer_to_server,
    ),
    accounts_pb2_grpc.AccountsServiceServicer: (
        accounts_pb2.DESCRIPTOR.services_by_name["AccountsService"],
        accounts_pb2_grpc.add_AccountsServiceServicer_to_server,
    ),
    audit_pb2_grpc.AuditServiceServicer: (
        audit_pb2.DESCRIPTOR.services_by_name["AuditService"],
        audit_pb2_grpc.add_AuditServiceServicer_to_server,
    ),
    auth_pb2_grpc.AuthServiceServicer: (
        auth_pb2.DESCRIPTOR.services_by_name["AuthService"],
        auth_pb2_grpc.add_AuthServiceServicer_to_server,
    ),
    backup_pb2_grpc.BackupServiceServicer: (
        backup_pb2.DESCRIPTOR.services_by_name["BackupService"],
        backup_pb2_grpc.add_BackupServiceServicer_to_server,
    ),
    maildrop_pb2_grpc.MaildropServiceServicer: (
        maildrop_pb2.DESCRIPTOR.services_by_name["MaildropService"],
        maildrop_pb2_grpc.add_MaildropServiceServicer_to_server,
    ),
    own_account_pb2_grpc.OwnAccountServiceServicer: (
        own_account_pb2.DESCRIPTOR.services_by_name["OwnAccountService"],
        own_account_pb2_grpc.add_OwnAccountServiceServicer_to_server,
    ),
    roles_pb2_grpc.RolesServiceServicer: (
        roles_pb2.DESCRIPTOR.services_by_name["RolesService"],
        roles_pb2_grpc.add_RolesServiceServicer_to_server,
    ),
    server_pb2_grpc.ServerServiceServicer: (
        server_pb2.DESCRIPTOR.services_by_name["ServerService"],
        server_pb2_grpc.add_ServerServiceServicer_to_server,
    ),
    sessions_pb2_grpc.SessionsServiceServicer: (
        sessions_pb2.DESCRIPTOR.services_by_name["SessionsService"],
        sessions_pb2_grpc.add_SessionsServiceServicer_to_server,
    ),
    throttle_pb2_grpc.ThrottleServiceServicer: (
        throttle_pb2.DESCRIPTOR.services_by_name["ThrottleService"],
        throttle_pb2_grpc.add_ThrottleServiceServicer_to_server,
    ),
    tokens_pb2_grpc.TokensServiceServicer: (
        tokens_pb2.DESCRIPTOR.services_by_name["TokensService"],
        tokens_pb2_grpc.add_TokensServiceServicer_to_server,
    ),
    transforms_pb2_grpc.TransformsServiceServicer: (
        transforms_pb2.DESCRIPTOR.services_by_name["TransformsService"],
        transforms_pb2_grpc.add_TransformsServiceServicer_to_server,
    ),
    transform_activations_pb2_grpc.TransformActivationsServiceServicer: (
        transform_activations_pb2.DESCRIPTOR.services_by_name["TransformActivationsService"],
        transform_activations_pb2_grpc.add_TransformActivationsServiceServicer_to_server,
    ),
}
"""The services of the contract: what each is called, and how its servicer is added."""
SERVICES = tuple(descriptor.full_name for descriptor, _ in _ADDERS.values())


class ManagementServer:
    """Serves the contract; ``servicers`` are one of each service, in any order."""

    def __init__(
        self,
        tokens: Tokens,
        servicers: Sequence[object],
        auditing: Auditing,
        may_come_in: Callable[[Principal], None],
        *,
        with_reflection: bool,
        gateway_secret: str = "",
    ) -> None:
        """``gateway_secret`` is what the gateway proves itself by.

        ``may_come_in`` refuses who is suspended, or may not manage from its address.
        """
        self._health = health.aio.HealthServicer()
        self._local_health: LocalHealth | None = None
        self._access = AccessInterceptor(tokens, Origins(gateway_secret), auditing, may_come_in)
        self._server = grpc.aio.server(
            interceptors=[self._access],
            maximum_concurrent_rpcs=MAX_CALLS,
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_concurrent_streams", MAX_STREAMS),
                ("grpc.so_reuseport", 0),
            ],
        )
        for kind, (_, add) in _ADDERS.items():
            (servicer,) = (it for it in servicers if isinstance(it, kind))
            add(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if with_reflection:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(
        self,
        address: str,
        certificate: FollowedPair | None = None,
        health_folder: Path | None = None,
    ) -> int:
        """Serve on an address such as ``127.0.0.1:50051``; give the port.

        With a certificate it is in TLS, and in ``health_folder`` there is a socket that answers
        questions for the health alone.

        Raises:
            ServiceUnavailable: the address is taken.
        """
        try:
            if certificate is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, server_credentials(certificate))
        except RuntimeError as error:
            raise ServiceUnavailable(f"cannot listen on {address}: {error}") from error
        await self._server.start()
        if health_folder is not None:
            self._local_health = await LocalHealth.start(self._health, health_folder)
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def drain(self) -> None:
        """Say that the service is about to stop."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_s: float) -> None:
        """End the calls, at the latest after so many seconds."""
        await self._server.stop(grace_s)
        if self._local_health is not None:
            await self._local_health.stop()
        await self._access.finish(grace_s)
