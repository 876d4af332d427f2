"""The calls about automation tokens."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import timedelta

from pop3mgmt.calls.base import Calls, call
from pop3mgmt.v1 import (
    tokens_pb2,
    tokens_pb2_grpc,
)


class TokensCalls(Calls):
    """The calls about automation tokens."""

    @functools.cached_property
    def _tokens(self) -> tokens_pb2_grpc.TokensServiceAsyncStub:
        return tokens_pb2_grpc.TokensServiceStub(self._channel)

    async def list_tokens(self) -> list[tokens_pb2.AutomationToken]:
        """Give the automation tokens, in order of name."""
        found: list[tokens_pb2.AutomationToken] = []
        token = ""
        while True:
            request = tokens_pb2.ListTokensRequest(page_token=token)
            page = await call(self._tokens.ListTokens(request, **self._options()))
            found.extend(page.tokens)
            if not (token := page.next_page_token):
                return found

    async def create_token(
        self,
        name: str,
        role: str,
        *,
        networks: Iterable[str] = (),
        lifetime: timedelta = timedelta(),
    ) -> tokens_pb2.CreateTokenResponse:
        """Make an automation token; its text is in the response, and told only there.

        Without ``networks`` it may be used from everywhere, without ``lifetime`` it does not end.
        """
        request = tokens_pb2.CreateTokenRequest(name=name, role_name=role, networks=networks)
        request.lifetime.FromTimedelta(lifetime)
        return await call(self._tokens.CreateToken(request, **self._options()))

    async def revoke_token(self, name: str) -> None:
        """End an automation token."""
        request = tokens_pb2.RevokeTokenRequest(name=name)
        await call(self._tokens.RevokeToken(request, **self._options()))
