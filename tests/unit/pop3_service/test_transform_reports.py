"""Counts of transforms are summed up, and told soon."""

from __future__ import annotations

import asyncio

from pop3_service.domain.transforms import TransformCount
from pop3_service.worker.transform_reports import TransformReports

WAIT_S = 30


class Desk:
    """Takes reports."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[list[TransformCount]] = asyncio.Queue()
        self.reports = TransformReports(self.told.put_nowait)


async def test_counts_of_one_activation_are_told_as_one() -> None:
    desk = Desk()
    desk.reports.add(TransformCount(3, runs=1, seconds=0.5))
    desk.reports.add(TransformCount(4, runs=1))
    desk.reports.add(TransformCount(3, runs=1, failures=1, seconds=0.25, failure="status 1"))
    told = await asyncio.wait_for(desk.told.get(), WAIT_S)
    assert told == [TransformCount(3, 2, 1, seconds=0.75, failure="status 1"), TransformCount(4, 1)]
    desk.reports.add(TransformCount(3, skipped=1))
    assert await asyncio.wait_for(desk.told.get(), WAIT_S) == [TransformCount(3, skipped=1)]


async def test_a_flush_tells_at_once_and_nothing_twice() -> None:
    desk = Desk()
    desk.reports.add(TransformCount(1, runs=1))
    desk.reports.flush()
    assert desk.told.get_nowait() == [TransformCount(1, runs=1)]
    desk.reports.flush()
    assert desk.told.empty()


async def test_what_counts_for_no_activation_is_not_told() -> None:
    desk = Desk()
    desk.reports.add(TransformCount(0, runs=1, failures=1))
    desk.reports.flush()
    assert desk.told.empty()
