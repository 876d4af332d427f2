"""A transform without programs: what a session sees of one, by a function of the octets."""

import asyncio
import os
from collections.abc import Callable, Sequence

from lineproto.stuffing import CRLF_ONLY, header_form
from pop3_service.domain.errors import ServiceError, TransformFailed
from pop3_service.domain.transforms import OnFailure, Transform
from pop3_service.transform.session import OnRun, Original, Result, TransformPending
from support.mailbuilder import crlf_form

Program = Callable[[bytes], bytes]
"""Gives what it makes of a message, or raises ``TransformFailed``."""


class FakePrograms:
    """Stands in for runner and cache: ``through`` makes what a session has of them.

    ``free`` can be cleared: then every run waits, and sizes are pending. ``held`` counts the
    sessions that have not given their results back.
    """

    def __init__(self, programs: dict[str, Program]) -> None:
        self.programs = programs
        self.free = asyncio.Event()
        self.free.set()
        self.held = 0
        self.began = asyncio.Event()
        self.results: dict[tuple[str, str, str], bytes] = {}

    def through(self, account: str, transform: Transform, ran: OnRun) -> "FakeTransform":
        self.held += 1
        return FakeTransform(self, account, transform, ran)


class FakeTransform:
    """One session's mail through one version, as ``SessionTransform`` does it."""

    def __init__(
        self, programs: FakePrograms, account: str, transform: Transform, ran: OnRun
    ) -> None:
        self._programs, self._account, self._transform = programs, account, transform
        self._ran = ran
        self._told: dict[str, int] = {}
        self._failed: dict[str, str] = {}

    async def find_sizes(self, originals: Sequence[Original], wait_s: float) -> None:
        if not self._programs.free.is_set():
            done = sum(original.key in self._told for original in originals)
            raise TransformPending(done, len(originals))
        for original in originals:
            try:
                made = await self._made(original)
                if made is not None:
                    self._told.setdefault(original.key, len(made))
            except ServiceError as error:
                self._failed.setdefault(original.key, str(error))

    def octets(self, original: Original) -> int:
        return original.octets if original.key in self._failed else self._told[original.key]

    async def open(self, original: Original) -> Result | None:
        made = await self._made(original)
        if made is None:
            return None
        if self._told.setdefault(original.key, len(made)) != len(made):
            raise TransformFailed("the size is another than was told")
        fd = os.memfd_create("result")
        os.write(fd, made)
        return Result(fd, len(made), CRLF_ONLY | header_form(made))

    def close(self) -> None:
        self._programs.held -= 1

    async def _made(self, original: Original) -> bytes | None:
        if original.key in self._failed:
            return self._failing(self._failed[original.key])
        key = self._account, str(self._transform), original.key
        if key not in self._programs.results:
            fd = original.open()
            try:
                octets = os.pread(fd, original.size + 1, 0)
            finally:
                os.close(fd)
            self._programs.began.set()
            await self._programs.free.wait()
            try:
                made = self._programs.programs[str(self._transform)](octets)
            except TransformFailed as error:
                self._ran(0.25, str(error))
                self._failed[original.key] = str(error)
                return self._failing(str(error))
            self._ran(0.25, "")
            self._programs.results[key] = crlf_form(made)
        return self._programs.results[key]

    def _failing(self, why: str) -> None:
        if self._transform.on_failure is OnFailure.REFUSE:
            raise TransformFailed(why)
