"""What a thread opens for a caller that may be gone by then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def obtain(opening: Awaitable[T], let_go: Callable[[T], object]) -> T:
    """Wait for what is opened, and give it.

    A thread does not end with who waits for it: if the caller is cancelled meanwhile, what comes
    all the same is given to ``let_go``.
    """
    coming = asyncio.ensure_future(opening)
    try:
        return await asyncio.shield(coming)
    except asyncio.CancelledError:
        coming.add_done_callback(lambda done: _let_go(done, let_go))
        raise


def _let_go(done: asyncio.Future[T], let_go: Callable[[T], object]) -> None:
    if not done.cancelled() and done.exception() is None:
        let_go(done.result())
