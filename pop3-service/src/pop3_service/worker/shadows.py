"""Shadows: transforms that run beside what was delivered, after the client has it.

They hold nobody up: one runs at a time in a worker, few wait, and what comes when all places are
taken is left out and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TypeVar

import structlog

from lineproto.obtaining import obtain
from lineproto.stuffing import WireEncoder
from pop3_service.domain.errors import ServiceError, TransformFailed
from pop3_service.domain.transforms import Transform, TransformCount
from pop3_service.transform.session import OnRun, Original, Result, SessionTransform

MOST_WAITING = 32
"""Messages that wait for a shadow or are in it; each holds two descriptors at most."""
PIECE = 256 * 1024
"""Octets compared at a time."""

T = TypeVar("T")

log = structlog.get_logger()


class OnDisk(Protocol):
    """Does something that may wait for the disk, in a thread."""

    def __call__(self, work: Callable[[], T]) -> Awaitable[T]:
        """Give what it gives."""


@dataclass(frozen=True, slots=True)
class _Job:
    """A message that was delivered; ``fd`` is what went out, None for the message as stored."""

    account: str
    shadow: Transform
    activation: int
    original: Original
    fd: int | None
    size: int

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)


class Shadows:
    """Runs the shadows of one worker's sessions, and counts what came of them."""

    def __init__(
        self,
        through: Callable[[str, Transform, OnRun], SessionTransform],
        on_disk: OnDisk,
        report: Callable[[TransformCount], None],
    ) -> None:
        """``through`` makes an account's mail go through a transform and tells each run."""
        self._through = through
        self._on_disk = on_disk
        self._report = report
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def add(
        self,
        account: str,
        shadow: Transform,
        activation: int,
        original: Original,
        result: Result | None,
    ) -> None:
        """Take a message that was delivered as ``result``, or as it is stored."""
        try:
            if len(self._tasks) >= MOST_WAITING:
                raise BlockingIOError
            fd = None if result is None else os.dup(result.fd)
        except OSError:  # there is no room, or no descriptor; the client has its mail all the same
            self._report(TransformCount(activation, skipped=1))
            return
        size = original.octets if result is None else result.size
        job = _Job(account, shadow, activation, original, fd, size)
        task = asyncio.get_running_loop().create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def idle(self) -> None:
        """Come back when nothing waits any more."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Leave out what has not come to its end."""
        for task in self._tasks:
            task.cancel()
        await self.idle()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("shadow broke off", exc_info=error)

    async def _run(self, job: _Job) -> None:
        count = TransformCount(job.activation, skipped=1)
        try:
            with contextlib.suppress(ServiceError):  # it went meanwhile
                # At once, whoever's turn it is: the client may be about to delete the message.
                fd = await obtain(self._on_disk(job.original.open), os.close)
                try:
                    async with self._turn:
                        count = await self._compared(job, fd)
                finally:
                    os.close(fd)
        finally:
            job.close()
            self._report(count)

    async def _compared(self, job: _Job, fd: int) -> TransformCount:
        """Run the shadow; what another session has run before is not counted again."""
        count = TransformCount(job.activation)

        def ran(seconds: float, failure: str) -> None:
            nonlocal count
            count += TransformCount.of_run(job.activation, seconds, failure)

        through = self._through(job.account, job.shadow, ran)
        try:
            result = await through.open(replace(job.original, open=partial(_from_start, fd)))
        except TransformFailed:
            result = None
        finally:
            through.close()
        if result is None:
            return count
        try:
            delivered = fd if job.fd is None else job.fd
            differs = result.size != job.size or await self._on_disk(
                lambda: _digest(result.fd) != _digest(delivered)
            )
        finally:
            result.close()
        if differs and count.runs:
            count += TransformCount(job.activation, differences=1)
        return count


def _from_start(fd: int) -> int:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.dup(fd)


def _digest(fd: int) -> bytes:
    """Give what stands for a file's octets in their wire form, whatever its line ends are."""
    encoder, digest, at = WireEncoder(), hashlib.blake2b(digest_size=16), 0
    while piece := os.pread(fd, PIECE, at):
        digest.update(encoder.feed(piece))
        at += len(piece)
    digest.update(encoder.finish())
    return digest.digest()
