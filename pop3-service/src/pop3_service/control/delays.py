"""The delays of wrong logins, which a stop ends."""

from __future__ import annotations

import asyncio

from lineproto.clock import Clock


class Delays:
    """Waits that hold up who guesses. After ``end`` nobody waits: no more can be asked then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ended = False
        self._waits: set[asyncio.Future[None]] = set()

    async def wait(self, seconds: float) -> None:
        """Come back after so many seconds, or at the end."""
        if self._ended or seconds <= 0:
            return
        wait = asyncio.ensure_future(self._clock.sleep(seconds))
        self._waits.add(wait)
        try:
            await asyncio.wait((wait,))
        finally:
            self._waits.discard(wait)
            wait.cancel()

    def end(self) -> None:
        """Let all go on that wait, and all who come later."""
        self._ended = True
        for wait in self._waits:
            wait.cancel()
