"""Running a transform on a message: in turn, bounded, and spooled so that the outcome is known.

The first program's standard input is the message's file and the last one's output the spool file,
so no octet goes through this process. The launcher runs them; when it answers, nothing that they
started lives.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import structlog

from lineproto.clock import Clock
from lineproto.obtaining import obtain
from pop3_service.domain.errors import TransformFailed, TransformInvalid
from pop3_service.domain.reach import SYSTEM_ALONE, Reach
from pop3_service.domain.settings import Settings
from pop3_service.transform.command_line import find_program, parse_chain
from pop3_service.transform.fingerprint import Programs
from pop3_service.transform.isolation import Policy
from pop3_service.transform.launcher import SIGPIPE_STATUS, Launcher, RunResult
from pop3_service.transform.limits import Ended, Limits
from pop3_service.transform.samples import SAMPLES
from pop3_service.transform.turns import SPELL_S, Turns

MIB = 1024 * 1024
TRIAL_S = 30.0
"""The longest a transform may take for the sample messages, whatever it may for others."""
OUTPUT_FACTOR = 16
"""A transform may write so many times the message, besides what the setting gives."""
STARTS_A_CORE = 4
RESERVE = 256 * MIB
"""Octets of the spool's disk that stay free, for the database and results are on it as well."""
RESERVE_SHARE = 20
"""On a small disk it is one part of so many."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Cost:
    """What a run took: seconds, processor seconds, octets of memory; ``statuses`` are the ends.

    A program's status is negative for the signal that ended it.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0
    memory_bytes: int = 0
    statuses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Output:
    """What a chain wrote: an open file without a name, at its start."""

    file: BinaryIO
    size: int
    cost: Cost

    def close(self) -> None:
        """Let go of it."""
        self.file.close()


class RunFailed(TransformFailed):
    """Programs failed on a message, or could not be run; ``note`` is what they said of it."""

    def __init__(self, message: str, note: str = "", cost: Cost = Cost()) -> None:
        super().__init__(message)
        self.note = note
        self.cost = cost


def limits_for(settings: Settings, size: int) -> Limits:
    """Give what a run may use on a message of so many octets; large mail may take longer."""
    more_s = size / MIB
    return Limits(
        seconds=settings.transform_timeout_s + more_s,
        cpu_s=settings.transform_cpu_s + more_s,
        memory_bytes=settings.transform_memory_mib * MIB,
        processes=settings.transform_processes,
        scratch_bytes=settings.transform_scratch_mib * MIB,
        output_bytes=settings.transform_output_mib * MIB + OUTPUT_FACTOR * size,
    )


def reserve_of(fd: int) -> int:
    """Give the octets that stay free on the disk of an open file."""
    return _reserve(os.fstatvfs(fd))


def is_full(fd: int) -> bool:
    """Whether less than that is free."""
    disk = os.fstatvfs(fd)
    return disk.f_bavail * disk.f_frsize < _reserve(disk)


def _reserve(disk: os.statvfs_result) -> int:
    return min(RESERVE, disk.f_blocks * disk.f_frsize // RESERVE_SHARE)


class Runner:
    """Runs transforms: a few at a time for each processor, and more of those that take long.

    ``at_a_time`` are those few.
    """

    def __init__(
        self,
        spool: Path,
        clock: Clock,
        *,
        reach: Reach = SYSTEM_ALONE,
        concurrency: int | None = None,
        spell_s: float = SPELL_S,
    ) -> None:
        """``spool`` is a folder on a disk; it holds the programs' own folders too."""
        self.launcher = Launcher(spool / "scratch", reach)
        self.at_a_time = concurrency or STARTS_A_CORE * (os.cpu_count() or 1)
        self._spool = spool
        self._clock = clock
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
        settings: Settings,
        *,
        account: str = "",
        background: bool = False,
    ) -> Output:
        """Pass an open file of ``size`` octets through a chain of programs, from its beginning.

        Accounts take turns; what runs in the ``background`` is not waited for by anybody. Whoever
        is cancelled comes back when nothing of the programs lives.

        Raises:
            RunFailed: it did not start, passed a limit, or failed.
            TransformFailed: there is no room for what it writes, or the launcher was lost.
        """
        async with self._turns.turn(account, background=background):
            try:
                argvs = [(find_program(argv), *argv[1:]) for argv in programs]
            except TransformInvalid as error:
                raise RunFailed(f"transform cannot run: {error}") from None
            try:
                spool = await obtain(asyncio.to_thread(self._open_spool), _close)
                os.lseek(message_fd, 0, os.SEEK_SET)
            except OSError as error:
                raise TransformFailed(f"no room for the transform: {error.strerror}") from error
            try:
                cost = await self._run(argvs, message_fd, spool, size, settings)
                spool.seek(0)
                return Output(spool, os.fstat(spool.fileno()).st_size, cost)
            except BaseException:
                spool.close()
                raise

    async def check(self, command_line: str, settings: Settings) -> None:
        """Check a command line and try it on sample messages.

        Raises:
            TransformInvalid: it cannot be run, or failed.
        """
        programs = parse_chain(command_line)
        if not programs:
            return
        for argv in programs:
            find_program(argv)
        seconds = min(settings.transform_timeout_s, TRIAL_S)
        trial = replace(settings, transform_timeout_s=seconds)
        tries = [self._try(programs, name, trial) for name in SAMPLES]
        for failure in await asyncio.gather(*tries):
            if failure:
                raise TransformInvalid(failure)

    async def close(self) -> None:
        """End what runs, and the launcher."""
        await self.launcher.close()

    async def _try(self, programs: Programs, name: str, settings: Settings) -> str:
        """Say why a sample failed, if it did."""
        sample = SAMPLES[name]
        with tempfile.TemporaryFile() as file:
            file.write(sample)
            file.flush()
            try:
                output = await self.run(
                    programs, file.fileno(), len(sample), settings, account=name
                )
            except TransformFailed as error:
                note = error.note if isinstance(error, RunFailed) else ""
                told = f"{error}, when tried on a sample message ({name})"
                return f"{told}: {note}" if note else told
            output.close()
        return ""

    def _open_spool(self) -> BinaryIO:
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The caller closes it; it has no name, so nothing is left behind by a crash.
        return tempfile.TemporaryFile(dir=self._spool)

    async def _run(
        self,
        argvs: Sequence[tuple[str, ...]],
        message_fd: int,
        spool: BinaryIO,
        size: int,
        settings: Settings,
    ) -> Cost:
        reserve = reserve_of(spool.fileno())
        limits = replace(limits_for(settings, size), reserve_bytes=reserve)
        require = settings.transform_isolation == Policy.REQUIRE
        result = await self.launcher.run(argvs, message_fd, spool.fileno(), limits, require=require)
        cost = Cost(result.seconds, result.cpu_s, result.memory_bytes, result.statuses)
        if result.succeeded:
            return cost
        if result.ended is Ended.DISK:  # whoever filled it: no fault of the programs
            log.error("no room for transforms", reason=result.told(limits))
            raise TransformFailed(f"no room for the transform: it {result.told(limits)}")
        note = _first_line(result)
        log.warning("transform failed", programs=[argv[0] for argv in argvs],
                    statuses=result.statuses, reason=result.told(limits), note=note)  # fmt: skip
        raise RunFailed(f"transform {_what_failed(argvs, result, limits)}", note, cost)


def _what_failed(argvs: Sequence[tuple[str, ...]], result: RunResult, limits: Limits) -> str:
    """Say what went wrong, and in a chain by which program."""
    told = result.told(limits)
    if len(argvs) == 1 or result.ended is not None:
        return told
    ends = enumerate(result.statuses)
    failed = [at for at, status in ends if status not in (0, SIGPIPE_STATUS)]
    at = failed[-1] if failed else len(argvs) - 1
    return f"{told} (program {at + 1}, {os.path.basename(argvs[at][0])})"


def _first_line(result: RunResult) -> str:
    """Give the first line of the programs' error output, without what does not print."""
    line = result.note.strip().partition("\n")[0]
    return "".join(c if c.isprintable() else "?" for c in line)


def _close(file: BinaryIO) -> None:
    file.close()
