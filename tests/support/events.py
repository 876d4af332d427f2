"""Waiting for something to become true, without guessing how long it takes."""

import time
from collections.abc import Callable

LOOKS_S = 0.01, 0.1
"""Seconds between two looks: at first, and at most, since a look may take a login."""


def wait_for(fact: Callable[[], object], within_s: float = 60) -> None:
    """Look until the fact holds.

    Raises:
        AssertionError: it did not in that time.
    """
    deadline = time.monotonic() + within_s
    pause_s, longest_s = LOOKS_S
    while not fact():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.25, longest_s)
