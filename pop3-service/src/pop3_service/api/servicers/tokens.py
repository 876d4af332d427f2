"""Automation tokens: messages of the contract to use cases and back."""

from __future__ import annotations

from pop3_service.api.access import caller
from pop3_service.api.servicers.shared import Context
from pop3_service.api.translate import offset_page, timestamp
from pop3_service.domain.automation import AutomationToken
from pop3_service.supervisor.identity.automation import AutomationTokens
from pop3mgmt.v1 import tokens_pb2, tokens_pb2_grpc


class TokensServicer(tokens_pb2_grpc.TokensServiceServicer):
    """Automation tokens."""

    def __init__(self, tokens: AutomationTokens) -> None:
        self._tokens = tokens

    async def ListTokens(
        self, request: tokens_pb2.ListTokensRequest, context: Context
    ) -> tokens_pb2.ListTokensResponse:
        """Give a page of the tokens."""
        found = self._tokens.all()
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return tokens_pb2.ListTokensResponse(
            tokens=map(_message, page), next_page_token=next_token, total_count=len(found)
        )

    async def CreateToken(
        self, request: tokens_pb2.CreateTokenRequest, context: Context
    ) -> tokens_pb2.CreateTokenResponse:
        """Make a token."""
        text, token = await self._tokens.create(
            request.name,
            request.role_name,
            request.networks,
            request.lifetime.ToTimedelta(),
            caller(),
        )
        return tokens_pb2.CreateTokenResponse(secret=text, token=_message(token))

    async def RevokeToken(
        self, request: tokens_pb2.RevokeTokenRequest, context: Context
    ) -> tokens_pb2.RevokeTokenResponse:
        """End a token."""
        await self._tokens.revoke(request.name, caller())
        return tokens_pb2.RevokeTokenResponse()


def _message(token: AutomationToken) -> tokens_pb2.AutomationToken:
    return tokens_pb2.AutomationToken(
        name=token.name,
        role_name=token.role,
        networks=token.networks,
        created_by=token.created_by,
        create_time=timestamp(token.create_time),
        expire_time=timestamp(token.expire_time) if token.expire_time else None,
        last_use_time=timestamp(token.last_use_time) if token.last_use_time else None,
        last_use_address=token.last_use_address,
    )
