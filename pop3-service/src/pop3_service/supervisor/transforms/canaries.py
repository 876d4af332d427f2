"""Canaries looked after: those of which too many runs fail are given up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from lineproto.clock import Clock
from pop3_service.domain.errors import ServiceError
from pop3_service.domain.transforms import Activation
from pop3_service.supervisor.transforms.counts import TransformCounts

RETRY_S = 5.0
"""How long until a canary that could not be given up is looked at again."""

log = structlog.get_logger()


class Canaries:
    """Those in force. ``give_up`` ends one, unless somebody was quicker."""

    def __init__(
        self,
        counts: TransformCounts,
        give_up: Callable[[Activation], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._counts = counts
        self._give_up = give_up
        self._clock = clock
        self._failing = asyncio.Event()

    def look(self) -> None:
        """See whether one of them is to be given up, and let that be done."""
        if self._counts.failed():
            self._failing.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Give up what fails, until the end of the block."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._failing.wait()
            self._failing.clear()
            try:
                for canary in self._counts.failed():
                    await self._give_up(canary)
            except ServiceError as error:
                log.error("canary was not given up, or not told", error=str(error))
                await self._clock.sleep(RETRY_S)
                self.look()
