"""ManagementClient: what the gateway and the command line call.

A client is one channel; a ``Caller`` is one login over it. Every call has a deadline, every
failure is a ``ManagementError``.
"""

from __future__ import annotations

from datetime import UTC
from types import TracebackType
from typing import Self

import grpc

from pop3mgmt.calls.accounts import AccountsCalls
from pop3mgmt.calls.auth import AuthCalls
from pop3mgmt.calls.base import DEADLINE_S, LOGIN_DEADLINE_S, call
from pop3mgmt.calls.maildrop import MaildropCalls
from pop3mgmt.calls.server import ServerCalls
from pop3mgmt.calls.sessions import SessionsCalls
from pop3mgmt.v1 import (
    accounts_pb2,
    auth_pb2,
    auth_pb2_grpc,
)


class ManagementClient:
    """One channel to the service; it reconnects by itself."""

    def __init__(self, target: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Open a channel to ``target``, such as ``pop3-service:50051``; nothing is sent yet."""
        self.deadline_s = deadline_s
        self.channel = grpc.aio.insecure_channel(
            target,
            options=[
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", 2000),
                ("grpc.enable_http_proxy", 0),
            ],
        )
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

    async def login(self, name: str, password: str) -> Caller:
        """Log in.

        Raises:
            ManagementError: INVALID_CREDENTIALS, LOGIN_THROTTLED, or the service is away.
        """
        request = auth_pb2.LoginRequest(name=name, password=password)
        response = await call(
            self._auth.Login(request, timeout=max(self.deadline_s, LOGIN_DEADLINE_S))
        )
        caller = Caller(self, response.token)
        caller.account = response.account
        caller.warnings = list(response.warnings)
        caller.take_expiry(response.expire_time.ToDatetime(UTC))
        return caller

    def caller(self, token: str) -> Caller:
        """Act with a token that was given before."""
        return Caller(self, token)


class Caller(AccountsCalls, AuthCalls, MaildropCalls, ServerCalls, SessionsCalls):
    """A login: its token, and every call that it may make."""

    def __init__(self, client: ManagementClient, token: str) -> None:
        super().__init__(client.channel, token, client.deadline_s)
        self.account = accounts_pb2.Account()
        self.warnings: list[str] = []

    def __repr__(self) -> str:
        return f"Caller(account={self.account.name!r})"
