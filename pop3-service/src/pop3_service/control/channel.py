"""A channel: requests and answers both ways over one socketpair, in order.

A frame is a length of four octets and a message. When the other end goes, every open request
fails and ``closed`` is set.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable

import structlog

from pop3_service.control import messages
from pop3_service.control.messages import Answer, Ask, Failed, Request, Result
from pop3_service.domain.errors import ServiceError, ServiceUnavailable

log = structlog.get_logger()

Handler = Callable[[Request], Awaitable[Result]]
MAX_FRAME = 64 * 1024 * 1024


class Channel:
    """One end of a socketpair. ``handler`` answers what the other end asks."""

    def __init__(self, handler: Handler) -> None:
        self.closed = asyncio.Event()
        self._handler = handler
        self._ids = itertools.count(1)
        self._open: dict[int, asyncio.Future[Result]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writer: asyncio.StreamWriter
        self._reading: asyncio.Task[None]

    async def start(self, sock: socket.socket) -> None:
        """Take over the socket and begin to read."""
        reader, self._writer = await asyncio.open_connection(sock=sock)
        self._reading = asyncio.create_task(self._read(reader))

    async def request(self, request: Request) -> Result:
        """Ask, and wait for the answer.

        Raises:
            ServiceUnavailable: the other end is gone, or could not do it.
        """
        if self.closed.is_set():
            raise ServiceUnavailable("the worker is gone")
        number = next(self._ids)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._open[number] = future
        self._send(Ask(number, request))
        try:
            result = await future
        finally:
            self._open.pop(number, None)
        if isinstance(result, Failed):
            raise ServiceUnavailable(result.text)
        return result

    def notify(self, request: Request) -> None:
        """Tell something that has no answer; lost if the other end is gone."""
        if not self.closed.is_set():
            self._send(Ask(0, request))

    async def close(self) -> None:
        """Close this end."""
        self._writer.close()
        self._reading.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(self._reading, *self._tasks, return_exceptions=True)

    def _send(self, message: Ask | Answer) -> None:
        octets = messages.encode(message)
        self._writer.write(len(octets).to_bytes(4, "big") + octets)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(4), "big")
                if length > MAX_FRAME:
                    break
                self._take(messages.decode(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            self._writer.close()
            for future in self._open.values():
                if not future.done():
                    future.set_exception(ServiceUnavailable("the worker is gone"))

    def _take(self, message: Ask | Answer) -> None:
        if isinstance(message, Answer):
            future = self._open.get(message.id)
            if future is not None and not future.done():
                future.set_result(message.result)
            return
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, ask: Ask) -> None:
        try:
            result = await self._handler(ask.request)
        except ServiceError as error:
            result = Failed(str(error))
        except Exception as error:  # the funnel of this edge: the asker must not wait for ever
            log.error("request over the channel failed", exc_info=error)
            result = Failed("internal error")
        if ask.id and not self.closed.is_set():
            self._send(Answer(ask.id, result))
