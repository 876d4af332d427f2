"""ManagementClient: what the gateway and the command line call.

A client is one channel; a ``Caller`` is one login over it. Every call has a deadline, every
failure is a ``ManagementError``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc

from pop3mgmt.calls.access import AccessCalls
from pop3mgmt.calls.accounts import AccountsCalls
from pop3mgmt.calls.audit import AuditCalls
from pop3mgmt.calls.auth import AuthCalls
from pop3mgmt.calls.backups import BackupsCalls
from pop3mgmt.calls.base import DEADLINE_S, LOGIN_DEADLINE_S, Metadata, call
from pop3mgmt.calls.maildrop import MaildropCalls
from pop3mgmt.calls.own_account import OwnAccountCalls
from pop3mgmt.calls.roles import RolesCalls
from pop3mgmt.calls.server import ServerCalls
from pop3mgmt.calls.sessions import SessionsCalls
from pop3mgmt.calls.throttle import ThrottleCalls
from pop3mgmt.calls.tokens import TokensCalls
from pop3mgmt.calls.transform_activations import TransformActivationsCalls
from pop3mgmt.calls.transforms import TransformsCalls
from pop3mgmt.client_tls import ClientTls
from pop3mgmt.passing import CLIENT_KEY, SECRET_KEY
from pop3mgmt.v1 import (
    accounts_pb2,
    auth_pb2,
    auth_pb2_grpc,
)


class ManagementClient:
    """One channel to the service; it reconnects by itself."""

    def __init__(
        self,
        target: str,
        *,
        deadline_s: float = DEADLINE_S,
        tls: ClientTls | None = None,
        gateway_secret: Callable[[], str] | None = None,
    ) -> None:
        """Open a channel to ``target``, such as ``pop3-service:50051``; nothing is sent yet.

        ``gateway_secret`` gives what lets the gateway name its clients' addresses.

        Raises:
            ManagementError: CERTIFICATE_INVALID, a file of ``tls`` cannot be used.
        """
        self.deadline_s = deadline_s
        self._gateway_secret = gateway_secret
        options: list[tuple[str, Any]] = [
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2000),
            # How long one try to connect may take, and how soon a name is looked up again: 20 and
            # 30 s else. A container that is started anew may have another address.
            ("grpc.min_reconnect_backoff_ms", 5000),
            ("grpc.dns_min_time_between_resolutions_ms", 1000),
            ("grpc.enable_http_proxy", 0),
        ]
        if tls is None:
            self.channel = grpc.aio.insecure_channel(target, options=options)
        else:
            options += tls.options()
            self.channel = grpc.aio.secure_channel(target, tls.credentials(), options=options)
        self._auth = auth_pb2_grpc.AuthServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel."""
        await self.channel.close()

    async def login(self, name: str, password: str, *, client_address: str = "") -> Caller:
        """Log in; the gateway gives the address, with its port, of the client that does.

        Raises:
            ManagementError: INVALID_CREDENTIALS, LOGIN_THROTTLED, or the service is away.
        """
        request = auth_pb2.LoginRequest(name=name, password=password)
        response = await call(
            self._auth.Login(
                request,
                timeout=max(self.deadline_s, LOGIN_DEADLINE_S),
                metadata=self.passing(client_address),
            )
        )
        caller = Caller(self, response.token, client_address)
        caller.account = response.account
        caller.warnings = list(response.warnings)
        caller.take_expiry(response.expire_time.ToDatetime(UTC))
        return caller

    def caller(self, token: str, *, client_address: str = "") -> Caller:
        """Act with a token that was given before; see ``login``."""
        return Caller(self, token, client_address)

    def passing(self, client_address: str) -> Metadata:
        """Give the metadata that passes a client on; none without an address or a secret."""
        secret = self._gateway_secret() if client_address and self._gateway_secret else ""
        return ((SECRET_KEY, secret), (CLIENT_KEY, client_address)) if secret else ()


class Caller(
    AccessCalls,
    AccountsCalls,
    AuditCalls,
    AuthCalls,
    BackupsCalls,
    MaildropCalls,
    OwnAccountCalls,
    RolesCalls,
    ServerCalls,
    SessionsCalls,
    ThrottleCalls,
    TokensCalls,
    TransformsCalls,
    TransformActivationsCalls,
):
    """A login: its token, and every call that it may make."""

    def __init__(self, client: ManagementClient, token: str, client_address: str = "") -> None:
        super().__init__(
            client.channel, token, client.deadline_s, partial(client.passing, client_address)
        )
        self.account = accounts_pb2.Account()
        self.warnings: list[str] = []

    def __repr__(self) -> str:
        return f"Caller(account={self.account.name!r})"
