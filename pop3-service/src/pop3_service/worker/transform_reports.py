"""What came of transforms, on its way to the supervisor: summed up, and told in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pop3_service.domain.transforms import TransformCount

LONGEST_WAIT_S = 0.1
"""Seconds that a count waits for others at most: a canary that fails is given up soon."""


class TransformReports:
    """Sums counts up by activation; nobody who reads mail waits for them."""

    def __init__(self, send: Callable[[list[TransformCount]], None]) -> None:
        self._send = send
        self._sums: dict[int, TransformCount] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, count: TransformCount) -> None:
        """Take a count; one for no activation (0) is of nothing that anybody watches."""
        if not count.activation:
            return
        known = self._sums.get(count.activation)
        self._sums[count.activation] = count if known is None else known + count
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT_S, self.flush)

    def flush(self) -> None:
        """Send what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sums:
            sums, self._sums = self._sums, {}
            self._send(list(sums.values()))
