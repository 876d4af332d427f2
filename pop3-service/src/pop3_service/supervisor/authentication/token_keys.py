"""The keys that bearer tokens are checked with: read from a file or an https address, and kept.

They are read again from time to time, and when a token names one that is not known: once for all
logins that wait for it. When that fails, those before stay in force, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import structlog

from lineproto.clock import Clock
from pop3_service.domain.errors import ServiceUnavailable

if TYPE_CHECKING:
    from pop3_service.supervisor.authentication.jose import TokenKey

FILE_AGE_S = 60.0
ADDRESS_AGE_S = 600.0
"""Seconds after which keys are read again, from a file or an address."""
RETRY_S = 30.0
"""The same after a failure."""
UNKNOWN_S = 10.0
"""The least time between two readings, however many unknown keys are named."""
POLL_S = 5.0
"""How often it is looked whether something is due."""

Keys = tuple["TokenKey", ...]
log = structlog.get_logger()


class NotRead(Exception):
    """The keys cannot be read; the text says why."""


class TokenKeys:
    """The keys in force. ``source`` gives the setting of now, ``load`` reads it in a thread."""

    def __init__(
        self, source: Callable[[], str], load: Callable[[str], Keys], clock: Clock
    ) -> None:
        """``load`` raises NotRead."""
        self._source = source
        self._load = load
        self._clock = clock
        self._of = ""
        self._keys: Keys = ()
        self._trouble = ""
        self._read_s = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def held(self) -> Keys:
        """Give the keys.

        Raises:
            ServiceUnavailable: they could not be read yet.
        """
        self._follow_source()
        if not self._keys and (self._reading or self._read_before(UNKNOWN_S)):
            await self._read()
        if not self._keys:
            raise ServiceUnavailable("tokens cannot be checked now")
        return self._keys

    async def newer(self, than: Keys) -> Keys:
        """Give other keys than these, read again if that was not done just now; else the same."""
        self._follow_source()
        if self._keys is than and (self._reading or self._read_before(UNKNOWN_S)):
            await self._read()
        return self._keys

    def warnings(self) -> list[str]:
        """Tell what an admin should mend."""
        self._follow_source()
        return [f"token keys: {self._trouble}"] if self._trouble else []

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Read the keys when it is due, until the end of the block."""
        self._begin(self._follow())
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def look(self) -> None:
        """Read the keys if it is due."""
        self._follow_source()
        if not self._of or self._reading:
            return
        age_s = ADDRESS_AGE_S if self._of.startswith("https:") else FILE_AGE_S
        if self._read_before(RETRY_S if self._trouble else age_s):
            await self._read()

    async def _follow(self) -> None:
        while True:
            await self.look()
            await self._clock.sleep(POLL_S)

    def _follow_source(self) -> None:
        """Let go of everything when the setting has changed."""
        source = self._source()
        if source != self._of:
            self._of, self._keys, self._trouble = source, (), ""
            self._read_s, self._reading = float("-inf"), None

    def _read_before(self, age_s: float) -> bool:
        return bool(self._of) and self._clock.monotonic() - self._read_s >= age_s

    async def _read(self) -> None:
        """Read the keys, or wait for who does that already."""
        if self._reading is None:
            self._read_s = self._clock.monotonic()
            self._reading = self._begin(self._take(self._of))
        # A login whose client goes away does not take the reading along.
        await asyncio.shield(self._reading)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _take(self, source: str) -> None:
        keys: Keys = ()
        trouble = ""
        try:
            keys = await asyncio.to_thread(self._load, source)
        except NotRead as error:
            trouble = str(error)
        except Exception as error:  # a fault of ours: the keys are still to be followed
            log.error("token keys could not be read", source=source, exc_info=error)
            trouble = "internal error"
        if source != self._of:  # the setting was changed meanwhile
            return
        self._reading = None
        if trouble:
            if trouble != self._trouble:
                log.error(
                    "token keys not read; those before stay",
                    source=source,
                    reason=trouble,
                    count=len(self._keys),
                )
        else:
            log.info("token keys read", source=source, count=len(keys))
            self._keys = keys
        self._trouble = trouble
