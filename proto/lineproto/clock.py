"""Time, passed in, so that tests can move it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the programs ask of time."""

    def monotonic(self) -> float:
        """Seconds that only grow; for durations."""

    def now(self) -> datetime:
        """The date and time, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""


class SystemClock:
    """The machine's own clock."""

    # The function itself: it is asked with every command.
    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        """The date and time, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Come back after so many seconds."""
        await asyncio.sleep(seconds)
