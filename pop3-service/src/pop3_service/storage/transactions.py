"""Transactions: one at a time, each to its end, and one way to tell that the database failed.

A transaction that is cancelled in its middle takes its connection with it, and the next one finds
the database locked until that is gone. So a caller that gives up leaves its transaction behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pop3_service.domain.errors import (
    StoreUnavailable,
)

S = TypeVar("S", bound=type)

_running: set[asyncio.Future[Any]] = set()


def to_the_end(store: S) -> S:
    """Let each method of a store's class go to its end, whatever becomes of its caller."""
    for name, method in vars(store).items():
        if inspect.iscoroutinefunction(method) and not name.startswith("_"):
            setattr(store, name, _shielded(method))
    return store


async def finished() -> None:
    """Wait for the transactions whose callers have given up."""
    loop = asyncio.get_running_loop()
    if left := [it for it in _running if it.get_loop() is loop]:
        await asyncio.wait(left)


def _shielded(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def shielded(*arguments: Any, **named: Any) -> Any:
        act = asyncio.ensure_future(method(*arguments, **named))
        _running.add(act)
        act.add_done_callback(_over)
        return await asyncio.shield(act)

    return shielded


def _over(act: asyncio.Future[Any]) -> None:
    _running.discard(act)
    if not act.cancelled():
        act.exception()  # whoever still waits is told; nobody else need be


@contextlib.asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection in a transaction that is committed at the end."""
    try:
        async with engine.begin() as connection:
            yield connection
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise StoreUnavailable(f"the account store failed: {error.orig}") from error
    except PoolTimeout:
        raise StoreUnavailable("the account store is too busy") from None
