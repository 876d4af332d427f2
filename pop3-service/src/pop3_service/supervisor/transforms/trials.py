"""What a transform makes of a message, and what that costs. Nothing is changed by it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import structlog

from lineproto.obtaining import obtain
from lineproto.stuffing import OctetCounter
from pop3_service.domain.account import AccountName
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import InvalidArgument, TransformFailed, TransformInvalid
from pop3_service.domain.settings import Settings
from pop3_service.domain.transforms import Transform
from pop3_service.supervisor.mail.maildrops import Maildrops
from pop3_service.transform.command_line import find_program, parse_chain
from pop3_service.transform.crlf import converted
from pop3_service.transform.fingerprint import Programs
from pop3_service.transform.runner import Cost, Output, RunFailed, Runner
from pop3_service.transform.samples import SAMPLES

MAX_MESSAGE = 3 * 1024 * 1024
"""Octets of a message that is sent to be tested on."""
PIECE = 64 * 1024
"""Octets of a result that are given at a time."""

_END = object()
T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of an account, by its unique id."""

    account: AccountName
    uidl: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one message.

    ``sample`` names it, empty for a message that was chosen; ``octets`` and ``result_octets`` are
    its size and that of its result, in CRLF form. ``programs`` are named as the command line
    does. ``failure`` says why there is no result, ``note`` what the error output begins with.
    """

    sample: str
    octets: int
    programs: tuple[str, ...]
    cost: Cost
    result_octets: int = 0
    failure: str = ""
    note: str = ""


class TransformTrials:
    """Runs transforms on messages as a session would, and gives what comes of it."""

    def __init__(
        self,
        runner: Runner,
        maildrops: Maildrops,
        settings: Callable[[], Settings],
        spool: Path,
    ) -> None:
        """``spool`` is a folder on a disk."""
        self._runner = runner
        self._maildrops = maildrops
        self._settings = settings
        self._spool = spool

    async def run(
        self, what: Transform | str, on: bytes | Stored | None, by: str
    ) -> AsyncGenerator[Trial | bytes, None]:
        """Run a version or a command line on a message, or on the samples.

        Gives a trial for each message, and pieces of the result behind it. Whoever stops listening
        ends the run.

        Raises:
            InvalidArgument: the message is too large.
            TransformInvalid: the command line cannot be run.
            MessageNotFound: there is no message of that unique id.
            TransformFailed: there is no room, or no launcher.
        """
        describe(target=str(what), after=_told(on))
        programs = what.programs if isinstance(what, Transform) else parse_chain(what)
        if not programs:
            raise TransformInvalid("there is no program")
        for argv in programs:
            find_program(argv)
        if isinstance(on, bytes) and len(on) > MAX_MESSAGE:
            raise InvalidArgument("a message to test on has at most 3 MiB")
        samples: Mapping[str, bytes | Stored] = SAMPLES if on is None else {"": on}
        for name, message in samples.items():
            file, octets = await obtain(self._open(message), lambda opened: opened[0].close())
            with contextlib.closing(file):
                trial = self._try(programs, name, file, octets, by)
                async with contextlib.aclosing(trial) as parts:
                    async for part in parts:
                        yield part
        log.info("transform tested", transform=str(what), by=by)

    async def _try(
        self, programs: Programs, name: str, file: BinaryIO, octets: int, by: str
    ) -> AsyncGenerator[Trial | bytes, None]:
        words = tuple(argv[0] for argv in programs)
        size = os.fstat(file.fileno()).st_size
        try:
            output = await self._runner.run(
                programs, file.fileno(), size, self._settings(), account=by
            )
        except RunFailed as error:
            describe(after={"failed": str(error)})
            yield Trial(name, octets, words, error.cost, failure=str(error), note=error.note)
            return
        with contextlib.closing(output):
            result = await self._converted(output)
        with contextlib.closing(result):
            result_octets = os.fstat(result.fileno()).st_size
            yield Trial(name, octets, words, output.cost, result_octets)
            result.seek(0)
            while piece := await _in_thread(partial(result.read, PIECE)):
                yield piece

    async def _converted(self, output: Output) -> BinaryIO:
        """Give a result in CRLF form.

        Raises:
            TransformFailed: there is no room for it.
        """
        try:
            result = await obtain(asyncio.to_thread(self._new_file), _close)
            try:
                steps = converted(output.file, result)
                while await _in_thread(partial(next, steps, _END)) is not _END:
                    pass
            except BaseException:
                result.close()
                raise
        except OSError as error:
            raise TransformFailed(f"no room for the transform: {error.strerror}") from error
        return result

    async def _open(self, message: bytes | Stored) -> tuple[BinaryIO, int]:
        """Give a message's file, and its octets in CRLF form."""
        if isinstance(message, Stored):
            return await self._maildrops.open(message.account, message.uidl)
        counter = OctetCounter()
        counter.feed(message)
        try:
            return await asyncio.to_thread(self._written, message), counter.finish()
        except OSError as error:
            raise TransformFailed(f"no room for the message: {error.strerror}") from error

    def _written(self, message: bytes) -> BinaryIO:
        file = self._new_file()
        try:
            if file.write(message) != len(message):  # all that there was room for
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            file.close()
            raise
        return file

    def _new_file(self) -> BinaryIO:
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The caller closes it; it has no name, so nothing is left behind by a crash.
        return tempfile.TemporaryFile(dir=self._spool, buffering=0)


async def _in_thread(work: Callable[[], T]) -> T:
    """Do something that may wait for the disk.

    Who is cancelled meanwhile waits all the same: what it works on must not be closed before.
    """
    done = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(done)
    finally:
        while not done.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([done])


def _told(on: bytes | Stored | None) -> dict[str, object]:
    """Say for the audit on what it was tested."""
    if isinstance(on, Stored):
        return {"account": str(on.account), "uidl": on.uidl}
    return {"on": "samples"} if on is None else {"octets": len(on)}


def _close(file: BinaryIO) -> None:
    file.close()
