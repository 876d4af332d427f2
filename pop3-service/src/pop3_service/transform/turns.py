"""Turns for runs: few start at a time, and the accounts whose runs wait take turns.

However many runs one account has waiting, every other waits for one of them at most. Runs in the
background start where none waits that somebody waits for, and else seldom: somebody may have come
to wait for one of them since.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable

PLACES = 64
"""Runs at a time."""
PLACES_EACH = 16
"""Runs at a time of one account: its programs that hang leave places for others."""
SPELL_S = 1.0
"""How long a run counts among the few that start: one that hangs costs no processor."""

PATIENCE = 8
"""Runs that go before one in the background that waits."""

Turn = asyncio.Future[None]


class Turns:
    """Gives turns; ``at_a_time`` is how many may be within their first ``spell_s``."""

    def __init__(self, at_a_time: int, *, spell_s: float = SPELL_S, places: int = PLACES) -> None:
        self._starts = at_a_time
        self._spell_s = spell_s
        self._places = places
        self._running: Counter[str] = Counter()
        self._queue = _Queue()
        self._background = _Queue()
        self._passed = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue) + len(self._background)

    @contextlib.asynccontextmanager
    async def turn(self, account: str, *, background: bool = False) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends."""
        await self._wait(account, self._background if background else self._queue)
        may_start_next = _Once(self._let_start)
        timer = asyncio.get_running_loop().call_later(self._spell_s, may_start_next)
        try:
            yield
        finally:
            timer.cancel()
            self._leave(account)
            may_start_next()

    async def _wait(self, account: str, queue: _Queue) -> None:
        turn: Turn = asyncio.get_running_loop().create_future()
        queue.add(account, turn)
        self._give()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                queue.leave(account, turn)
            else:  # it was ours already
                self._leave(account)
                self._let_start()
            raise

    def _let_start(self) -> None:
        self._starts += 1
        self._give()

    def _leave(self, account: str) -> None:
        self._places += 1
        self._running[account] -= 1
        if not self._running[account]:
            del self._running[account]
        self._give()

    def _give(self) -> None:
        """Give what turns there are to those who wait."""
        while self._starts > 0 and self._places > 0:
            account = self._next()
            if account is None:
                break
            self._starts -= 1
            self._places -= 1
            self._running[account] += 1

    def _next(self) -> str | None:
        """Give the next turn, and name its account; None if there is none to give."""
        if self._passed < PATIENCE and (account := self._queue.next(self._may_run)) is not None:
            self._passed += bool(len(self._background))
            return account
        self._passed = 0
        account = self._background.next(self._may_run)
        return account if account is not None else self._queue.next(self._may_run)

    def _may_run(self, account: str) -> bool:
        return self._running[account] < PLACES_EACH


class _Queue:
    """Who waits, by account; the accounts take turns."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[Turn]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, account: str, turn: Turn) -> None:
        self._waiting.setdefault(account, deque()).append(turn)

    def leave(self, account: str, turn: Turn) -> None:
        waiting = self._waiting.get(account, deque())
        if turn in waiting:  # else its turn came after it was given up
            waiting.remove(turn)
            if not waiting:
                del self._waiting[account]

    def next(self, may_run: Callable[[str], bool]) -> str | None:
        """Give its turn to the first who may have it, and name the account; None if there is none.

        What was given up meanwhile is passed over.
        """
        for account in list(self._waiting):
            if not may_run(account):
                continue
            waiting = self._waiting[account]
            turn = None
            while waiting and (turn is None or turn.cancelled()):
                turn = waiting.popleft()
            if waiting:
                self._waiting.move_to_end(account)
            else:
                del self._waiting[account]
            if turn is not None and not turn.cancelled():
                turn.set_result(None)
                return account
        return None


class _Once:
    """Does something at the first call only."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act: Callable[[], None] | None = act

    def __call__(self) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()
