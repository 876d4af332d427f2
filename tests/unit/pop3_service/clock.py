"""A clock that tests move."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Time stands until ``move``; a sleep is noted and over at once, unless ``waits`` is set."""

    def __init__(self) -> None:
        self.waits = False
        self.slept: list[float] = []
        self.ahead_s = 0.0
        """How far the date has been put ahead of the time that passed."""
        self._passed_s = 0.0
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return 1000.0 + self._passed_s

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._passed_s + self.ahead_s)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self.waits:
            await asyncio.sleep(0)
            return
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append((self._passed_s + seconds, over))
        await over

    def move(self, seconds: float) -> None:
        self._passed_s += seconds
        for end_s, over in self._sleeping:
            if end_s <= self._passed_s and not over.done():
                over.set_result(None)
