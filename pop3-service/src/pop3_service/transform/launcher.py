"""The launcher's other end: programs are run by a process of their own, never by the service.

A run's request and descriptors go over the launcher's control socket; its answer comes over a
socket of the run's own, and closing that kills its programs. No octet of mail passes through.
"""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from lineproto.obtaining import obtain
from pop3_service.domain.errors import TransformFailed
from pop3_service.domain.reach import SYSTEM_ALONE, Reach
from pop3_service.transform import jail
from pop3_service.transform.command_line import PATH
from pop3_service.transform.isolation import Isolation, exposed, program_folders
from pop3_service.transform.limits import Ended, Limits

START_S = 30.0
"""The longest that the launcher may take to start."""
_LAUNCHER = os.path.join(os.path.dirname(jail.__file__), "__main__.py")
_ANSWER_OCTETS = 65536
_ENVIRONMENT = {"PATH": ":".join(PATH), "LANG": "C.UTF-8"}
SIGPIPE_STATUS = -13
_CANCELLED = "cancelled"
_LOST = "transform was lost with its launcher"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a chain ended; by then nothing of it lives.

    ``statuses`` are the programs' exit statuses, negative for a signal. ``ended`` says why it was
    ended before that. ``cpu_s`` and ``memory_bytes`` are those of all processes together, the
    latter at its highest as far as it was seen; ``note`` is the beginning of the error output.
    """

    statuses: tuple[int, ...]
    ended: Ended | None
    seconds: float
    cpu_s: float
    memory_bytes: int
    note: str

    @property
    def succeeded(self) -> bool:
        """Whether every program did, or stopped because the next one wanted no more."""
        *earlier, last = self.statuses
        return (
            self.ended is None
            and last == 0
            and all(status in (0, SIGPIPE_STATUS) for status in earlier)
        )

    def told(self, limits: Limits) -> str:
        """Say what went wrong, in words that follow "transform"; empty if nothing did."""
        if self.succeeded:
            return ""
        if self.ended is not None:
            return self.ended.told(limits)
        failed = [it for it in self.statuses if it not in (0, SIGPIPE_STATUS)]
        status = (failed or self.statuses)[-1]
        if status < 0:
            return f"was ended by signal {-status}"
        return f"ended with status {status}"


class Launcher:
    """Runs chains of programs in the sandbox, by a process that is started when it is needed."""

    def __init__(
        self,
        scratch: Path,
        reach: Reach = SYSTEM_ALONE,
        python: Sequence[str] = (sys.executable,),
    ) -> None:
        """``scratch`` is a folder on a disk for the runs' own folders, made if it is not there.

        ``python`` starts the interpreter that the launcher is run by.
        """
        self._scratch = scratch.absolute()
        self._folders = program_folders(reach.folders)
        self._python = tuple(python)
        self._exposed = exposed((*reach.private, str(scratch)), self._folders)
        self._process: _Process | None = None
        self._starting = asyncio.Lock()
        self._runs: dict[asyncio.Task[bytes], socket.socket] = {}
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The launcher's process, if it was started."""
        return None if self._process is None else self._process.pid

    async def isolation(self) -> Isolation:
        """Say what is in force, as a trial has found.

        Raises:
            TransformFailed: the launcher does not start.
        """
        return (await self._ready()).isolation

    async def look(self) -> Isolation:
        """Say the same, by a process that is started for that alone, and ends.

        Raises:
            TransformFailed: it does not start.
        """
        try:
            process = await self._start()
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            raise TransformFailed("transform cannot run: no launcher") from error
        try:
            return process.isolation
        finally:
            await process.close()

    async def run(
        self,
        programs: Sequence[tuple[str, ...]],
        stdin_fd: int,
        stdout_fd: int,
        limits: Limits,
        *,
        require: bool = False,
    ) -> RunResult:
        """Run programs, each one's output the next one's input, and wait until all have ended.

        Each argv begins with the program's absolute path. The first reads ``stdin_fd`` from where
        it stands, the last writes to ``stdout_fd``. With ``require``, nothing runs unless all of
        the sandbox is in force. If the caller is cancelled, it goes on only when nothing of the
        programs lives.

        Raises:
            TransformFailed: they could not be run, or the launcher was lost.
        """
        process = await self._ready()
        if require and not process.isolation.complete:
            missing = ", ".join(process.isolation.missing)
            raise TransformFailed(f"transform is not run without its sandbox: {missing}")
        request = marshal.dumps(
            {
                "programs": [tuple(argv) for argv in programs],
                "limits": asdict(limits),
                "scratch": str(self._scratch),
                "environment": _ENVIRONMENT,
            }
        )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            ours.setblocking(False)
            try:
                await process.send(request, [theirs.fileno(), stdin_fd, stdout_fd])
            finally:
                theirs.close()
            answer = await self._wait_for(ours)
        finally:
            ours.close()
        return _read(answer)

    async def close(self) -> None:
        """End the launcher, with all that it runs."""
        self._closed = True
        for sock in self._runs.values():
            _give_up(sock)
        if self._runs:
            await asyncio.wait(self._runs)
        async with self._starting:
            if self._process is not None:
                await self._process.close()
                self._process = None

    async def _wait_for(self, sock: socket.socket) -> bytes:
        """Give a run's answer; if cancelled, tell its keeper, and still wait for the answer."""
        loop = asyncio.get_running_loop()
        answer = loop.create_task(_receive(sock))
        self._runs[answer] = sock
        answer.add_done_callback(self._runs.pop)
        cancelled = False
        while not answer.done():
            try:
                await asyncio.shield(answer)
            except asyncio.CancelledError:
                cancelled = True
                _give_up(sock)
            except OSError:
                break
        if cancelled:
            raise asyncio.CancelledError
        try:
            return answer.result()
        except OSError:
            return b""

    async def _ready(self) -> _Process:
        """Give the launcher's process, started if there is none that lives."""
        async with self._starting:
            if self._closed:
                raise TransformFailed("transform cannot run: the service is stopping")
            if self._process is not None and self._process.lost:
                log.warning("the launcher of transforms has ended, and is started again")
                await self._process.close()
                self._process = None
            if self._process is None:
                try:
                    self._process = await self._start()
                except (OSError, EOFError, TimeoutError, ValueError) as error:
                    log.error("the launcher of transforms does not start", error=str(error))
                    raise TransformFailed("transform cannot run: no launcher") from error
                self._tell(self._process.isolation)
            return self._process

    async def _start(self) -> _Process:
        await asyncio.to_thread(self._scratch.mkdir, mode=0o700, parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            ours.setblocking(False)
            try:
                starting = asyncio.to_thread(_popen, self._python, theirs)
                child = await obtain(starting, _end)
            finally:
                theirs.close()
            try:
                setup = {"folders": list(self._folders), "scratch": str(self._scratch)}
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(ours, marshal.dumps(setup))
                async with asyncio.timeout(START_S):
                    told = marshal.loads(await _receive(ours))  # noqa: S302 - our own process
            except BaseException:
                _end(child)
                raise
        except BaseException:
            ours.close()
            raise
        return _Process(child, ours, Isolation(exposed=self._exposed, **told))

    def _tell(self, isolation: Isolation) -> None:
        if isolation.complete:
            log.info("transforms run in a sandbox", isolation=str(isolation))
        else:
            log.warning("transforms run without all of their sandbox", isolation=str(isolation))


class _Process:
    """A launcher that lives, or did."""

    def __init__(
        self, child: subprocess.Popen[bytes], control: socket.socket, isolation: Isolation
    ) -> None:
        self.isolation = isolation
        self.lost = False
        self.pid = child.pid
        self._child = child
        self._control = control
        self._sending = asyncio.Lock()
        asyncio.get_running_loop().add_reader(control.fileno(), self._note_end)

    def _note_end(self) -> None:
        """It says nothing after its start: what can be read is its end."""
        self.lost = True
        asyncio.get_running_loop().remove_reader(self._control.fileno())

    async def send(self, request: bytes, descriptors: list[int]) -> None:
        """Send a request.

        Raises:
            TransformFailed: it is gone.
        """
        loop = asyncio.get_running_loop()
        async with self._sending:
            while True:
                try:
                    socket.send_fds(self._control, [request], descriptors)
                    return
                except BlockingIOError:
                    writable = loop.create_future()
                    loop.add_writer(self._control.fileno(), _done, writable)
                    try:
                        await writable
                    finally:
                        loop.remove_writer(self._control.fileno())
                except OSError as error:
                    self.lost = True
                    raise TransformFailed(f"transform cannot run: {error.strerror}") from error

    async def close(self) -> None:
        """Let it end what it runs, and end."""
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        await asyncio.to_thread(self._child.wait)


def _popen(python: tuple[str, ...], control: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*python, "-I", "-S", _LAUNCHER, str(control.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={},
        cwd="/",
        pass_fds=[control.fileno()],
        start_new_session=True,
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()


async def _receive(sock: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(sock, _ANSWER_OCTETS)


def _give_up(sock: socket.socket) -> None:
    """Tell a keeper that nobody asks any more: it kills its programs, and answers then."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _read(answer: bytes) -> RunResult:
    """Read a keeper's answer.

    Raises:
        TransformFailed: there is none, or it could not run anything.
    """
    if not answer:
        raise TransformFailed(_LOST)
    told = marshal.loads(answer)  # noqa: S302 - our own process
    problem, why = told.pop("problem"), told.pop("why")
    if why == _CANCELLED:
        raise TransformFailed(_LOST)
    if problem:
        raise TransformFailed(problem)
    return RunResult(ended=Ended(why) if why else None, **told)
