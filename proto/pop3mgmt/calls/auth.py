"""The calls of a login."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from pop3mgmt.calls.base import Calls, call
from pop3mgmt.v1 import (
    auth_pb2,
    auth_pb2_grpc,
)


class AuthCalls(Calls):
    """The calls of a login."""

    expire_time: datetime | None = None
    _renew_time: datetime | None = None

    @functools.cached_property
    def _auth(self) -> auth_pb2_grpc.AuthServiceAsyncStub:
        return auth_pb2_grpc.AuthServiceStub(self._channel)

    def take_expiry(self, expire_time: datetime) -> None:
        """Note when the token ends; it is renewed once half of its life is over."""
        now = datetime.now(UTC)
        self.expire_time = expire_time
        self._renew_time = now + max((expire_time - now) / 2, timedelta())

    async def renew(self) -> datetime:
        """Move the token's expiry and give the new one."""
        request = auth_pb2.RenewTokenRequest()
        response = await call(self._auth.RenewToken(request, **self._options()))
        expire_time = response.expire_time.ToDatetime(UTC)
        self.take_expiry(expire_time)
        return expire_time

    async def renew_when_due(self) -> None:
        """Renew the token once half of its life is over."""
        if self._renew_time is not None and datetime.now(UTC) >= self._renew_time:
            await self.renew()

    async def logout(self) -> None:
        """End the token."""
        await call(self._auth.Logout(auth_pb2.LogoutRequest(), **self._options()))

    async def get_caller(self) -> auth_pb2.GetCallerResponse:
        """Give who the caller is, and what is open to it at this moment."""
        return await call(self._auth.GetCaller(auth_pb2.GetCallerRequest(), **self._options()))
