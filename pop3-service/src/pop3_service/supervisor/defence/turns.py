"""Turns: so many at a time, and those who wait take turns by whom they come from.

However many wait from one network, everybody else of its rank waits for one of them at most. Every
second turn goes to the key that came last: who comes to a crowd does not wait for all of it, and
nobody waits more than twice as long for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from enum import IntEnum

from pop3_service.domain.errors import LoginThrottled

MAX_WAITING = 10_000
"""That may wait of each rank."""
MAX_EACH = 1_000
"""That may wait from one origin."""
OTHERS = 4
"""One turn in so many goes to a later rank, even if somebody waits of an earlier one."""


class Rank(IntEnum):
    """Who goes first."""

    KNOWN = 0
    CLEAN = 1
    """Nothing is known of it, good or bad."""
    SUSPECT = 2


class Turns:
    """A semaphore that is fair by key, with a queue for each rank: no rank waits for ever."""

    def __init__(self, at_a_time: int) -> None:
        self._free = at_a_time
        self._queues = [_Queue() for _ in Rank]
        self._given = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues))

    @contextlib.asynccontextmanager
    async def turn(self, key: str, rank: Rank = Rank.CLEAN) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends.

        Raises:
            LoginThrottled: too many wait already.
        """
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(self._queues[rank], key)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, queue: _Queue, key: str) -> None:
        turn = queue.add(key)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                queue.leave(key, turn)
            else:
                self._pass_on()  # it was ours already
            raise

    def _pass_on(self) -> None:
        self._given += 1
        first = Rank.KNOWN
        if self._given % OTHERS == 0:
            first = (Rank.CLEAN, Rank.SUSPECT)[self._given // OTHERS % 2]
        for queue in (self._queues[first], *self._queues):
            while len(queue):
                turn = queue.next()
                if not turn.cancelled():
                    turn.set_result(None)
                    return
        self._free += 1


class _Queue:
    """Who waits, by key; the keys take turns, and the last one to come has every second."""

    def __init__(self) -> None:
        self._count = 0
        self._given = 0
        self._new: dict[str, None] = {}  # keys that have had no turn since they came
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def add(self, key: str) -> asyncio.Future[None]:
        waiting = self._waiting.get(key)
        if self._count >= MAX_WAITING or (waiting and len(waiting) >= MAX_EACH):
            raise LoginThrottled
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if waiting is None:
            waiting = self._waiting[key] = deque()
            self._new[key] = None
        waiting.append(turn)
        self._count += 1
        return turn

    def leave(self, key: str, turn: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(key, deque())
        if turn not in waiting:  # its turn came after it was given up
            return
        waiting.remove(turn)
        self._count -= 1
        if not waiting:
            self._drop(key)

    def next(self) -> asyncio.Future[None]:
        self._given += 1
        last = next(reversed(self._new), None) if self._given % 2 == 0 else None
        key = next(iter(self._waiting)) if last is None else last
        waiting = self._waiting[key]
        turn = waiting.popleft()
        self._count -= 1
        self._new.pop(key, None)
        if waiting:
            self._waiting.move_to_end(key)
        else:
            self._drop(key)
        return turn

    def _drop(self, key: str) -> None:
        del self._waiting[key]
        self._new.pop(key, None)
