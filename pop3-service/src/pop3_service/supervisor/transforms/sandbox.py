"""What of the sandbox is in force for transforms here: looked at once, when the service starts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from pop3_service.domain.errors import TransformFailed
from pop3_service.transform.isolation import Isolation

log = structlog.get_logger()


class SandboxLook:
    """``text`` says what was found, and is empty until then; ``find`` finds it."""

    def __init__(self, find: Callable[[], Awaitable[Isolation]]) -> None:
        self.text = ""
        self._find = find

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look in the background, which nobody waits for."""
        task = asyncio.create_task(self.look())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def look(self) -> None:
        """Find out, and tell the log."""
        try:
            found = await self._find()
        except TransformFailed as error:
            found = Isolation(problem=str(error))
        self.text = str(found)
        if found.complete:
            log.info("sandbox of transforms", isolation=self.text)
        else:
            log.warning("sandbox of transforms is not whole", isolation=self.text)
