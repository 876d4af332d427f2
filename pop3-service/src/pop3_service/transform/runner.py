"""Running a transform: bounded in time and output, its output spooled so the outcome is known.

The child's standard input is the message's file and its output the spool file, so no octet goes
through this process; ``prlimit`` (util-linux) bounds the output before the program starts.
Whatever happens, its process group is killed at the end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from lineproto.clock import Clock
from lineproto.obtaining import obtain
from pop3_service.domain.errors import TransformFailed, TransformInvalid
from pop3_service.transform.command_line import PATH, find_program, parse
from pop3_service.transform.fingerprint import Programs
from pop3_service.transform.turns import SPELL_S, Turns

MIB = 1024 * 1024
TRIAL_S = 30.0
"""The longest a program may take for the sample message, whatever it may for others."""
OUTPUT_BASE = 64 * MIB
OUTPUT_FACTOR = 16
"""A program may write 64 MiB and 16 times the message."""
NOTE_OCTETS = 200
"""Octets of a program's error output that go to the log."""
SAMPLE = (
    b"From: sample@example.org\r\nTo: user@example.org\r\nSubject: A sample\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <sample@example.org>\r\n\r\n"
    b"A transform is tried on this message before it takes effect.\r\n.\r\n..two dots\r\n"
)
_NICE = ("/usr/bin/nice", "-n", "10", "--")
_ENVIRONMENT = {"PATH": ":".join(PATH), "LANG": "C.UTF-8", "HOME": "/nonexistent"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Output:
    """What a chain wrote: an open file without a name, at its start; it took so many seconds."""

    file: BinaryIO
    size: int
    seconds: float = 0.0

    def close(self) -> None:
        """Let go of it."""
        self.file.close()


class RunFailed(TransformFailed):
    """Programs failed on a message; the run took so many seconds."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Runner:
    """Runs transforms: a few at a time for each processor, and more of those that take long.

    ``at_a_time`` are those few. They run at a lower priority than the service, so that many
    cannot hold it up.
    """

    def __init__(
        self,
        spool: Path,
        clock: Clock,
        *,
        concurrency: int | None = None,
        spell_s: float = SPELL_S,
        output_base: int = OUTPUT_BASE,
    ) -> None:
        """``spool`` is a folder on a disk; ``output_base`` the octets any program may write."""
        self._spool = spool
        self._clock = clock
        self._output_base = output_base
        self.at_a_time = concurrency or 4 * (os.cpu_count() or 1)
        self._turns = Turns(self.at_a_time, spell_s=spell_s)

    @property
    def waiting(self) -> int:
        """How many runs wait for their turn."""
        return self._turns.waiting

    async def run(
        self,
        programs: Programs,
        message_fd: int,
        size: int,
        timeout_s: float,
        *,
        account: str = "",
        background: bool = False,
    ) -> Output:
        """Pass an open file through a chain of programs; one more second for each MiB of it.

        Accounts take turns; what runs in the ``background`` is not waited for by anybody.

        Raises:
            RunFailed: it did not start, took too long, wrote too much, or failed.
            TransformFailed: there is no room for what it writes.
        """
        async with self._turns.turn(account, background=background):
            began_s = self._clock.monotonic()
            try:
                argv, spool = await self._prepare(programs)
            except TransformInvalid as error:
                raise RunFailed(f"transform cannot run: {error}") from None
            except OSError as error:
                raise TransformFailed(f"no room for the transform: {error.strerror}") from error
            try:
                limit = self._output_base + OUTPUT_FACTOR * size
                await self._run(argv, message_fd, spool, limit, timeout_s + size / MIB)
            except TransformFailed as error:
                spool.close()
                raise RunFailed(str(error), self._clock.monotonic() - began_s) from error
            except BaseException:
                spool.close()
                raise
            spool.seek(0)
            seconds = self._clock.monotonic() - began_s
            return Output(spool, os.fstat(spool.fileno()).st_size, seconds)

    async def _prepare(self, programs: Programs) -> tuple[tuple[str, ...], BinaryIO]:
        (argv,) = programs
        program = find_program(argv)
        return (program, *argv[1:]), await asyncio.to_thread(self._open_spool)

    async def check(self, command_line: str, timeout_s: float) -> None:
        """Check a command line and try it on a sample message.

        Raises:
            TransformInvalid: it cannot be run, or failed.
        """
        argv = parse(command_line)
        if not argv:
            return
        find_program(argv)
        with tempfile.TemporaryFile() as sample:
            sample.write(SAMPLE)
            sample.flush()
            sample.seek(0)
            try:
                timeout_s = min(timeout_s, TRIAL_S)
                output = await self.run((argv,), sample.fileno(), len(SAMPLE), timeout_s)
            except TransformFailed as error:
                raise TransformInvalid(f"{error}, when tried on a sample message") from None
            output.close()

    def _open_spool(self) -> BinaryIO:
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The caller closes it; it has no name, so nothing is left behind by a crash.
        return tempfile.TemporaryFile(dir=self._spool)

    async def _run(
        self, argv: tuple[str, ...], message_fd: int, spool: BinaryIO, limit: int, timeout_s: float
    ) -> None:
        with tempfile.TemporaryFile() as notes:
            starting = asyncio.to_thread(_start, argv, message_fd, spool, notes, limit)
            child = await obtain(starting, _kill)
            try:
                async with asyncio.timeout(timeout_s):
                    await _ended(child)
            except TimeoutError:
                raise TransformFailed(f"transform took more than {timeout_s:.3g} s") from None
            finally:
                _kill(child)
            if child.returncode != 0:
                notes.seek(0)
                note = notes.read(NOTE_OCTETS).decode("utf-8", "replace").strip()
                log.warning("transform failed", program=argv[0], status=child.returncode, note=note)
                raise TransformFailed(_meaning(child.returncode, limit))


def _start(
    argv: tuple[str, ...], message_fd: int, spool: BinaryIO, notes: BinaryIO, limit: int
) -> subprocess.Popen[bytes]:
    os.lseek(message_fd, 0, os.SEEK_SET)
    try:
        return subprocess.Popen(
            ["/usr/bin/prlimit", f"--fsize={limit}", "--core=0", "--", *_NICE, *argv],
            stdin=message_fd,
            stdout=spool,
            stderr=notes,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise TransformFailed(f"transform did not start: {error.strerror}") from error


async def _ended(child: subprocess.Popen[bytes]) -> None:
    """Wait for a child without a thread."""
    loop = asyncio.get_running_loop()
    fd = os.pidfd_open(child.pid)
    ended: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(fd, _done, ended)
        await ended
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def _done(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child's process group, children left over too, and take its status."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def _meaning(status: int, limit: int) -> str:
    if status == -signal.SIGXFSZ:
        return f"transform wrote more than {limit} octets"
    if status < 0:
        return f"transform was ended by signal {-status}"
    return f"transform ended with status {status}"
