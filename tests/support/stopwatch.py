"""Time that the service takes, without the time that a busy machine keeps everybody waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NAP_S = 0.005
USUAL_S = 0.005
"""How late a thread wakes on a machine that has time."""
ATTEMPTS = 3


class Stopwatch:
    """Runs from ``running`` on. ``seconds`` is what went by, less what ``lost_s`` others took."""

    def __init__(self) -> None:
        self.lost_s = 0.0
        self._began_s = time.monotonic()
        self._stopped = threading.Event()

    @property
    def seconds(self) -> float:
        """Give what went by, as far as this process could run."""
        return time.monotonic() - self._began_s - self.lost_s

    def _nap(self) -> None:
        while not self._stopped.is_set():
            began_s = time.monotonic()
            time.sleep(NAP_S)
            late_s = time.monotonic() - began_s - NAP_S
            if late_s > USUAL_S:
                self.lost_s += late_s - USUAL_S


@contextmanager
def running() -> Iterator[Stopwatch]:
    """Watch how late a thread of ours wakes, which asks for next to nothing."""
    watch = Stopwatch()
    thread = threading.Thread(target=watch._nap, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch._stopped.set()
        thread.join()


def in_time(limit_s: float, attempt: Callable[[int], float]) -> bool:
    """Whether one of some attempts, which get their number, took less than that.

    A busy machine can hold up the disk or the service alone, which is seen nowhere else. What is
    always late is late each time.
    """
    return any(attempt(number) < limit_s for number in range(ATTEMPTS))
