"""Sessions: listed, watched and ended over all workers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Protocol

from pop3_service.control.plane import DisconnectOrder, Worker
from pop3_service.domain.errors import ServiceUnavailable, SessionNotFound
from pop3_service.domain.session import SessionEvent, SessionInfo

WATCHER_EVENTS = 1024
"""Events that wait for a slow watcher; then the oldest are left out and counted."""


class Pool(Protocol):
    """The workers there are."""

    watched: bool
    """Whether a worker that starts now is to report events."""

    def workers(self) -> list[Worker]:
        """The workers there are now."""


class Watcher:
    """One stream of events; it never holds more than ``WATCHER_EVENTS``."""

    def __init__(self, account: str) -> None:
        self.account = account
        self._events: deque[SessionEvent] = deque(maxlen=WATCHER_EVENTS)
        self._skipped = 0
        self._there = asyncio.Event()

    def put(self, event: SessionEvent) -> None:
        """Take an event."""
        if self.account and event.session.account != self.account:
            return
        if len(self._events) == WATCHER_EVENTS:
            self._skipped += 1
        self._events.append(event)
        self._there.set()

    async def next(self) -> tuple[SessionEvent, int]:
        """Wait for the next event; give it and how many were left out before it."""
        while not self._events:
            self._there.clear()
            await self._there.wait()
        skipped, self._skipped = self._skipped, 0
        return self._events.popleft(), skipped


class SessionsDesk:
    """The use cases of sessions. ``pool`` is set before the service serves."""

    def __init__(self) -> None:
        self.pool: Pool
        self._watchers: set[Watcher] = set()

    async def list(self, account: str = "") -> list[SessionInfo]:
        """Give the sessions, oldest first."""
        found = await asyncio.gather(
            *(worker.list_sessions(account) for worker in self.pool.workers()),
            return_exceptions=True,
        )
        sessions: list[SessionInfo] = []
        for result in found:
            if isinstance(result, ServiceUnavailable):
                continue  # its sessions have ended with it
            if isinstance(result, BaseException):
                raise result
            sessions.extend(result)
        return sorted(sessions, key=lambda session: (session.connect_time_s, session.id))

    async def disconnect(self, order: DisconnectOrder) -> int:
        """End sessions; come back when every worker has confirmed."""
        counts = await asyncio.gather(*(worker.disconnect(order) for worker in self.pool.workers()))
        return sum(counts)

    async def disconnect_one(self, session_id: str) -> int:
        """End one session.

        Raises:
            SessionNotFound: there is none of that id.
        """
        ended = await self.disconnect(DisconnectOrder(session_id=session_id))
        if not ended:
            raise SessionNotFound(session_id)
        return ended

    def publish(self, event: SessionEvent) -> None:
        """Give an event to all watchers; a slow one holds up nobody."""
        for watcher in self._watchers:
            watcher.put(event)

    async def watch(self, account: str = "") -> AsyncGenerator[tuple[SessionEvent, int] | None]:
        """Give events with what was left out before each; first None, once watching has begun."""
        watcher = Watcher(account)
        self._watchers.add(watcher)
        try:
            await self._tell_workers()
            yield None
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)
            await self._tell_workers()

    async def _tell_workers(self) -> None:
        wanted = bool(self._watchers)
        if wanted is self.pool.watched:
            return
        self.pool.watched = wanted
        await asyncio.gather(*(worker.watch(wanted) for worker in self.pool.workers()))
