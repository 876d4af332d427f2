"""What the throttle knows outlives a restart: read at the start, stored in batches by a task.

No login waits for it. What is not worth a row (a key that failed once or twice) is not stored.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import structlog

from lineproto.clock import Clock
from pop3_service.domain.errors import ServiceError
from pop3_service.storage.throttle import StoredFailures, StoredPlace, ThrottleStore
from pop3_service.supervisor.defence import known_places
from pop3_service.supervisor.defence.failure_counts import FORGET_S, Counted, FailureCounts
from pop3_service.supervisor.defence.throttle import Throttle

EACH_S = 5.0
"""Seconds between two batches: what a crash may lose."""
MOST = 500
"""Keys of a kind in a batch, so that a transaction takes a few milliseconds."""
LEAST_FAILURES = 3
"""Failures from which a key is stored; so what was typed as a name once is in no database."""
PRUNE_S = 300.0

log = structlog.get_logger()


class ThrottleKeeping:
    """Loads and stores what a throttle knows. ``days`` gives for how long a place is known."""

    def __init__(
        self, throttle: Throttle, store: ThrottleStore, days: Callable[[], int], clock: Clock
    ) -> None:
        self._throttle = throttle
        self._store = store
        self._days = days
        self._clock = clock
        self._pruned_s = clock.monotonic()
        self._counts: dict[str, FailureCounts] = {
            "network": throttle.networks,
            "wider": throttle.wider,
            "account": throttle.accounts,
        }

    async def load(self) -> None:
        """Take over what was stored, and remove what counts no more.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        await self._prune()
        now_s = self._clock.now().timestamp()
        for it in await self._store.load_failures(now_s - FORGET_S):
            if it.kind in self._counts:
                age_s = max(now_s - it.last_time_s, 0.0)  # the clock may have been put back
                self._counts[it.kind].restore(Counted(it.key, it.failures, age_s))
        places = self._throttle.places
        most = known_places.MAX_ACCOUNTS * known_places.EACH
        stored = await self._store.load_places(self._first_day(), most)
        places.load(known_places.Place(*it) for it in stored)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Store what changes, until the block ends; then what is left."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            while await self.store(MOST):
                pass

    async def store(self, most: int = MOST) -> bool:
        """Store a batch; give whether there was anything, and it could be stored."""
        now_s = self._clock.now().timestamp()
        changed = {kind: counts.take_changed(most) for kind, counts in self._counts.items()}
        places = self._throttle.places.take_changed(most)
        failures = [
            StoredFailures(kind, it.key, it.failures, now_s - it.age_s)
            for kind, keys in changed.items()
            for it in keys
            if it.failures >= LEAST_FAILURES or not it.failures
        ]
        if not any(changed.values()) and not places:
            return False
        try:
            await self._store.save(failures, [StoredPlace(*it) for it in places], known_places.EACH)
        except ServiceError as error:
            # The counts will change again; a place is noted at its next login on another day.
            log.warning("throttle not stored", error=str(error))
            return False
        return True

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(EACH_S)
            await self.store()
            if self._clock.monotonic() - self._pruned_s >= PRUNE_S:
                try:
                    await self._prune()
                except ServiceError as error:
                    log.warning("throttle not pruned", error=str(error))

    def _first_day(self) -> int:
        """Give the first day that counts still."""
        return self._throttle.places.today() - max(self._days(), 1) + 1

    async def _prune(self) -> None:
        self._pruned_s = self._clock.monotonic()
        before_s = self._clock.now().timestamp() - FORGET_S
        await self._store.prune(before_s, self._first_day())
