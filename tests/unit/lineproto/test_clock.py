"""The machine's own clock."""

import asyncio
from datetime import UTC, datetime, timedelta

from lineproto.clock import SystemClock


async def test_sleeping_lets_others_run_and_ends_after_the_time() -> None:
    clock, order = SystemClock(), []
    began_s = clock.monotonic()

    async def sleeper() -> None:
        await clock.sleep(0.02)
        order.append("sleeper")

    async with asyncio.TaskGroup() as group:
        group.create_task(sleeper())
        order.append("other")
    assert order == ["other", "sleeper"]
    assert clock.monotonic() - began_s >= 0.02


def test_the_time_is_in_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=10)
