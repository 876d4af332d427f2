"""Failures of a moment ago: a broken program is not run again at every poll."""

from __future__ import annotations

from collections import OrderedDict

from lineproto.clock import Clock

KEPT_S = 60.0
"""For how long a failure is remembered."""
MOST = 10_000
"""Failures remembered; the oldest go first."""


class RecentFailures:
    """Why runs failed, by what was run on what."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def add(self, key: str, why: str) -> None:
        """Remember a failure."""
        self._failures.pop(key, None)
        self._failures[key] = self._clock.monotonic() + KEPT_S, why
        if len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def find(self, key: str) -> str:
        """Say why it failed a moment ago; empty if it did not."""
        until_s, why = self._failures.get(key, (0.0, ""))
        if until_s <= self._clock.monotonic():
            self._failures.pop(key, None)
            return ""
        return why
