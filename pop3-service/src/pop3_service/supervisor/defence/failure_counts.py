"""How often something failed lately, for so many keys and no more.

The counts are those of the Space-Saving algorithm (Metwally, Agrawal, El Abbadi 2005): when the
table is full, a new key takes the place of one with the lowest count, and goes on from there. So a
key that fails often is never pushed out, and nobody gets rid of a count by pushing it out: in a
flood of new keys all new ones begin with what the least of the others have.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from lineproto.clock import Clock

FORGET_S = 900.0
"""Seconds without a failure after which a key is forgotten."""
MOST = 64
"""The highest count; all that is decided by a count is decided below it."""


class Counted(NamedTuple):
    """A key, its failures, and the seconds since the last of them."""

    key: str
    failures: int
    age_s: float


class FailureCounts:
    """Failures by key."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._counts: dict[str, int] = {}
        # By count: the keys that have it, and when each failed last; the oldest is first.
        self._keys: list[OrderedDict[str, float]] = [OrderedDict() for _ in range(MOST + 1)]
        self._changed: dict[str, None] = {}

    def __len__(self) -> int:
        """Keys that are counted."""
        return len(self._counts)

    def __iter__(self) -> Iterator[Counted]:
        """Give what is counted, the most failures first."""
        now_s = self._clock.monotonic()
        for count in range(MOST, 0, -1):
            for key, last_s in self._keys[count].items():
                if now_s - last_s <= FORGET_S:
                    yield Counted(key, count, now_s - last_s)

    def count(self, key: str) -> int:
        """Give a key's failures; of one that is not in a full table, what it may have at most."""
        count = self._counts.get(key)
        if count is None:
            return self._least()
        if self._clock.monotonic() - self._keys[count][key] > FORGET_S:
            return 0
        return count

    def add(self, key: str) -> int:
        """Count a failure; give the key's failures."""
        count = min(self.count(key) + 1, MOST)
        if not self._drop(key) and len(self._counts) >= self._limit:
            self._drop(next(iter(next(filter(None, self._keys)))))
        self._put(key, count, self._clock.monotonic())
        self._changed[key] = None
        return count

    def forget(self, key: str) -> bool:
        """Drop a key; give whether it was there."""
        known = self._drop(key)
        if known:
            self._changed[key] = None
        return known

    def restore(self, counted: Counted) -> None:
        """Put in what was counted before; those with the greatest age come first."""
        if counted.age_s <= FORGET_S and len(self._counts) < self._limit:
            count = min(max(counted.failures, 1), MOST)
            self._put(counted.key, count, self._clock.monotonic() - counted.age_s)

    def take_changed(self, most: int) -> list[Counted]:
        """Give what changed since it was taken, so many at most; no failures: it is forgotten."""
        now_s, taken = self._clock.monotonic(), []
        for key in list(self._changed)[:most]:
            del self._changed[key]
            count = self._counts.get(key, 0)
            taken.append(Counted(key, count, now_s - self._keys[count][key] if count else 0.0))
        return taken

    def _least(self) -> int:
        """Give the lowest count, when no key can come in without another's going out."""
        if len(self._counts) < self._limit:
            return 0
        forgotten_s = self._clock.monotonic() - FORGET_S
        for keys in self._keys:
            while keys and next(iter(keys.values())) < forgotten_s:
                self._drop(next(iter(keys)))
        if len(self._counts) < self._limit:
            return 0
        return next(count for count, keys in enumerate(self._keys) if keys)

    def _put(self, key: str, count: int, last_s: float) -> None:
        self._counts[key] = count
        self._keys[count][key] = last_s

    def _drop(self, key: str) -> bool:
        count = self._counts.pop(key, None)
        if count is None:
            return False
        del self._keys[count][key]
        # What went by itself needs no word: its row is as old as it.
        self._changed.pop(key, None)
        return True
