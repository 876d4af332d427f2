"""How many streams are open, by whom: each costs memory for as long as its client likes."""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import grpc

from pop3_service.domain.errors import TooManyStreams

MAX_A_CALLER = 100
"""Streams of one account or automation token."""
MAX_OF_NOBODY = 1000
"""Streams without a login, of all together: who watches the health."""

Context = grpc.aio.ServicerContext[Any, Any]
Abort = Callable[[Context, Exception], Awaitable[None]]


class OpenStreams:
    """Counts open streams and refuses those too many."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def count(self) -> int:
        """Give how many are open."""
        return self._open.total()

    @contextlib.contextmanager
    def one_more(self, caller: str) -> Iterator[None]:
        """Count a stream until the end of the block; ``caller`` is empty without a login.

        Raises:
            TooManyStreams: the caller has as many as one may have.
        """
        if self._open[caller] >= (MAX_A_CALLER if caller else MAX_OF_NOBODY):
            raise TooManyStreams
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]

    def counted(self, behaviour: Any, abort: Abort) -> Any:
        """Count the streams of a servicer of gRPC's own, whichever way it gives its responses."""

        async def generated(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                with self.one_more(""):
                    async for response in behaviour(request, context):
                        yield response
            except TooManyStreams as error:
                await abort(context, error)

        async def written(request: Any, context: Context) -> None:
            try:
                with self.one_more(""):
                    await behaviour(request, context)
            except TooManyStreams as error:
                await abort(context, error)

        return generated if inspect.isasyncgenfunction(behaviour) else written
