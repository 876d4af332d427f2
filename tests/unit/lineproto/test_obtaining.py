"""What was opened for a caller that is gone is let go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from lineproto.obtaining import obtain


async def cancelled(opening: asyncio.Future[str], let_go: Callable[[str], object]) -> None:
    waiting = asyncio.create_task(obtain(opening, let_go))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_comes_in_time_is_the_callers() -> None:
    gone: list[str] = []
    opening = asyncio.get_running_loop().create_future()
    opening.set_result("it")
    assert await obtain(opening, gone.append) == "it"
    assert gone == []


async def test_what_comes_too_late_is_let_go() -> None:
    gone: list[str] = []
    opening = asyncio.get_running_loop().create_future()
    await cancelled(opening, gone.append)
    assert not opening.cancelled()
    opening.set_result("it")
    await asyncio.sleep(0)
    assert gone == ["it"]


async def test_what_fails_too_late_is_nothing_to_let_go() -> None:
    gone: list[str] = []
    opening = asyncio.get_running_loop().create_future()
    await cancelled(opening, gone.append)
    opening.set_exception(OSError("no"))
    await asyncio.sleep(0)
    assert gone == []
