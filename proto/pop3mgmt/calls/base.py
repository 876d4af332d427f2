"""What every call has: a deadline, the token, failures as ``ManagementError``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, TypedDict, TypeVar

import grpc

from pop3mgmt.errors import from_rpc_error

DEADLINE_S = 10.0
LOGIN_DEADLINE_S = 90.0
"""A wrong login is answered with growing delay, so this is longer than that may become."""
TRIAL_S = 60.0
"""For what is tried before it takes effect: a transform, certificates."""
RESTART_S = 120.0
"""As long as a call may take: each worker is replaced after the one before it."""
IMPORT_S = 120.0
"""An import may have to read every message of a large maildrop for its size."""
CHUNK = 256 * 1024
"""Octets of a message sent at a time."""
Metadata = tuple[tuple[str, str], ...]

T = TypeVar("T")


class History(list[T]):
    """What there was, the newest first; ``removed_count`` is of older ones that are not kept."""

    def __init__(self, found: Iterable[T] = (), removed_count: int = 0) -> None:
        super().__init__(found)
        self.removed_count = removed_count


class Calls:
    """Calls over a channel with a token. ``deadline_s`` is the least that each may take."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        token: str,
        deadline_s: float,
        passing: Callable[[], Metadata] = tuple,
    ) -> None:
        """``passing`` gives what each call says of where it comes from."""
        self.token = token
        self._channel = channel
        self._deadline_s = deadline_s
        self._passing = passing

    @property
    def _metadata(self) -> Metadata:
        return (("authorization", f"Bearer {self.token}"), *self._passing())

    def _options(self, at_least_s: float = 0.0) -> _Options:
        return _Options(timeout=max(self._deadline_s, at_least_s), metadata=self._metadata)


class _Options(TypedDict):
    """Keyword arguments of a call."""

    timeout: float
    metadata: Metadata


async def call(call: Awaitable[T]) -> T:
    """Make a call; its failure is a ``ManagementError``."""
    with _translated():
        return await call


@contextlib.contextmanager
def streamed(
    call: grpc.aio.UnaryStreamCall[Any, T] | grpc.aio.StreamStreamCall[Any, T],
) -> Iterator[AsyncIterator[T]]:
    """Give a call's responses; whoever stops reading them ends the call."""
    try:
        with _translated():
            yield aiter(call)
    finally:
        call.cancel()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
