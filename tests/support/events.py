"""Waiting for something to become true, without guessing how long it takes."""

import time
from collections.abc import Callable


def wait_for(fact: Callable[[], object], within_s: float = 60) -> None:
    """Look until the fact holds.

    Raises:
        AssertionError: it did not in that time.
    """
    deadline = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
