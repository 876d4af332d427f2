"""What several servicers share: their context's type, and messages that come in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeVar

import grpc

from pop3_service.domain.errors import InvalidArgument

PAGE = 1000
MAX_CHUNK = 1024 * 1024

Context = grpc.aio.ServicerContext[Any, Any]


class _Chunk(Protocol):
    chunk: bytes


R = TypeVar("R", bound=_Chunk)


async def chunks(first: R, requests: AsyncIterator[R]) -> AsyncIterator[bytes]:
    """Give the pieces of a stream whose first message is there already.

    Raises:
        InvalidArgument: one of them is too large.
    """
    request: R | None = first
    while request is not None:
        if len(request.chunk) > MAX_CHUNK:
            raise InvalidArgument("a chunk has at most 1 MiB")
        yield request.chunk
        request = await anext(requests, None)
