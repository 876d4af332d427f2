"""Logins on their way to the audit: collected, and told to the supervisor in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pop3_service.domain.audit import LoginEvent

LONGEST_WAIT_S = 0.1
"""Seconds that an event waits for others at most."""
LARGEST_BATCH = 1000


class LoginReports:
    """Collects events; nobody who logs in waits for them."""

    def __init__(self, send: Callable[[list[LoginEvent]], None]) -> None:
        self._send = send
        self._events: list[LoginEvent] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, event: LoginEvent) -> None:
        """Take an event."""
        events = self._events
        events.append(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT_S, self.flush)
        elif len(events) >= LARGEST_BATCH:
            self.flush()

    def flush(self) -> None:
        """Send what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._events:
            events, self._events = self._events, []
            self._send(events)
