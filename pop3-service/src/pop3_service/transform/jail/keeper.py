"""A keeper: the process that runs one chain of programs, watches their tree, and ends it.

Whatever comes of the programs becomes the keeper's child when its parent is gone (it is a
subreaper), so "no child left" means that nothing of the tree lives.
"""

from __future__ import annotations

import errno
import marshal
import os
import resource
import select
import time

from . import scratch, tree
from .kernel import PR_SET_CHILD_SUBREAPER, prctl
from .sandbox import Sandbox

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing has it, without its import
    from typing import Any

    from .landlock import Ruleset

    Request = dict[str, Any]

NOTE_OCTETS = 200
"""Octets of error output that are kept."""
_SIGXCPU = 24
_FIRST_LOOK_S, _LONGEST_LOOK_S, _GROWTH = 0.001, 0.025, 1.3
_SCRATCH_LOOK_S, _SCRATCH_SHARE = 0.1, 10
_CHUNK = _BEYOND = 65536


class Keeper:
    """One run, from its scratch folder to its answer."""

    def __init__(
        self, sandbox: Sandbox, request: Request, run_fd: int, life_fd: int, files: tuple[int, int]
    ) -> None:
        """``run_fd`` is the asker's socket, and ``life_fd`` ends with the launcher."""
        self._sandbox = sandbox
        self._programs: list[tuple[str, ...]] = request["programs"]
        self._limits: dict[str, float] = request["limits"]
        self._parent: str = request["scratch"]
        self._environment: dict[str, str] = request["environment"]
        self._run_fd, self._life_fd = run_fd, life_fd
        self._message, self._output = files
        self._running: dict[int, int] = {}
        self._statuses = [0] * len(self._programs)
        self._usage = tree.Usage()
        self._why = self._note = ""
        self._poll = select.poll()
        self._began = time.monotonic()
        self._next_scratch = self._began + _SCRATCH_LOOK_S
        status = os.fstat(self._output)
        self._output_file = (status.st_dev, status.st_ino)

    def run(self) -> None:
        """Run the chain, and tell how it ended once nothing of it is left."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        try:
            self._scratch, held = scratch.make(os.path.realpath(self._parent))
        except OSError as error:
            return self._answer(f"no folder for the transform: {error.strerror}")
        problem = ""
        try:
            self._keep()
        except OSError as error:
            problem = f"transform cannot be run: {error.strerror}"
        finally:
            self._end()
            try:
                scratch.remove(self._scratch)
            except OSError as error:
                problem = problem or f"the transform's folder stays: {error.strerror}"
            os.close(held)
        self._answer(problem)

    def _keep(self) -> None:
        if self._is_disk_full():
            self._why = "disk"
            return
        notes, notes_in = os.pipe()
        os.set_blocking(notes, False)
        for fd in (self._run_fd, self._life_fd, notes):
            self._poll.register(fd, select.POLLIN)
        self._notes = notes
        started, started_in = os.pipe()
        self._start(notes_in, started_in)
        os.close(notes_in)
        os.close(started_in)
        # It ends when all programs have begun: each closes it at its execve.
        failed = os.read(started, 4096)
        os.close(started)
        if failed:
            self._why, self._note = "start", failed.decode("utf-8", "replace")
            return
        self._watch()
        self._read_notes()

    def _start(self, notes: int, started: int) -> None:
        """Start the programs, joined by pipes."""
        rules = self._sandbox.rules(self._scratch, self._message, self._output)
        keeper, incoming = os.getpid(), self._message
        for index, argv in enumerate(self._programs):
            last = index == len(self._programs) - 1
            next_in, outgoing = (-1, self._output) if last else os.pipe()
            pid = os.fork()
            if pid == 0:
                try:
                    self._become(argv, (incoming, outgoing, notes), keeper, rules, last)
                except BaseException as error:
                    why = getattr(error, "strerror", None) or str(error)
                    os.write(started, f"{argv[0]}: {why}\n".encode("utf-8", "replace"))
                finally:
                    os._exit(126)
            self._running[pid] = index
            self._poll.register(os.pidfd_open(pid), select.POLLIN)
            os.close(incoming)
            if not last:
                os.close(outgoing)
            incoming = next_in
        if rules is not None:
            os.close(rules.fd)

    def _become(
        self,
        argv: tuple[str, ...],
        descriptors: tuple[int, int, int],
        keeper: int,
        rules: Ruleset | None,
        last: bool,
    ) -> None:
        """Become a program; never returns."""
        self._sandbox.detach(keeper)
        os.chdir(self._scratch)
        for number, fd in enumerate(descriptors):
            os.dup2(fd, number)
        # A file may grow a little larger than all may be, so that it is seen to be too much.
        largest = int(self._limits["scratch_bytes"]) + _BEYOND
        if last:
            largest = max(largest, int(self._limits["output_bytes"]) + _BEYOND)
        self._sandbox.limit(self._limits, largest)
        self._sandbox.enter(rules)
        home = {"HOME": self._scratch, "TMPDIR": self._scratch}
        os.execve(argv[0], argv, self._environment | home)  # noqa: S606

    def _watch(self) -> None:
        """Wait until all programs have ended, or a limit is passed, or nobody asks any more."""
        deadline = self._began + self._limits["seconds"]
        pause = _FIRST_LOOK_S
        next_look = time.monotonic() + pause
        while self._running:
            now = time.monotonic()
            wait = max(0.0, min(next_look, deadline) - now)
            for fd, _ in self._poll.poll(wait * 1000 + 0.5):
                if fd == self._notes:
                    self._read_notes()
                elif fd in (self._run_fd, self._life_fd):
                    self._why = "cancelled"
                else:
                    self._poll.unregister(fd)
                    os.close(fd)
            self._reap()
            now = time.monotonic()
            if not self._why and self._running and now >= deadline:
                self._why = "time"
            if not self._why and now >= next_look:
                self._look(now)
                pause = min(pause * _GROWTH, _LONGEST_LOOK_S)
                next_look = time.monotonic() + pause
            if self._why:
                return
        self._judge()

    def _look(self, now: float) -> None:
        """Compare what the tree has used with what it may."""
        limits, usage = self._limits, self._usage
        stats = tree.near_descendants(int(limits["processes"]))
        if stats is None:
            stats = tree.descendants()
        usage.look(stats, _reaped_s(), int(limits["memory_bytes"]))
        if usage.threads > limits["processes"]:
            self._why = "processes"
        elif usage.memory_bytes > limits["memory_bytes"]:
            self._why = "memory"
        elif usage.cpu_s > limits["cpu_s"]:
            self._why = "cpu"
        elif os.fstat(self._output).st_size > limits["output_bytes"]:
            self._why = "output"
        elif self._is_disk_full():
            self._why = "disk"
        elif now >= self._next_scratch:
            self._measure()
            # A folder of very many files is looked at less often.
            spent = time.monotonic() - now
            self._next_scratch = now + spent + max(_SCRATCH_LOOK_S, spent * _SCRATCH_SHARE)

    def _is_disk_full(self) -> bool:
        """Whether less is free than is to stay so: all runs together may be too much."""
        disk = os.fstatvfs(self._output)
        return disk.f_bavail * disk.f_frsize < self._limits["reserve_bytes"]

    def _measure(self) -> None:
        """See whether there is too much in the scratch folder."""
        most = int(self._limits["scratch_bytes"])
        try:
            scratch.measure(self._scratch, most, self._usage.pids, self._output_file)
        except scratch.TooMuch:
            self._why = "scratch"

    def _judge(self) -> None:
        """Say which limit a program failed at that ended before it was seen to pass it."""
        if os.fstat(self._output).st_size > self._limits["output_bytes"]:
            self._why = "output"
        elif -_SIGXCPU in self._statuses or _reaped_s() > self._limits["cpu_s"]:
            self._why = "cpu"
        elif any(self._statuses):
            self._measure()

    def _reap(self) -> bool:
        """Take the status of all that have ended; False once there is no child at all."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid in self._running:
                self._statuses[self._running.pop(pid)] = os.waitstatus_to_exitcode(status)

    def _end(self) -> None:
        """Kill all descendants, again and again, until none is left."""
        for pid in self._running:
            tree.kill_group(pid)
        delay = 0.0
        while self._reap():
            tree.kill(tree.descendants())
            # Those killed end soon; a zombie of theirs comes to this process and is reaped.
            if delay:
                time.sleep(delay)
            delay = min(delay + 0.0002, 0.005)

    def _read_notes(self) -> None:
        """Keep the beginning of the error output, and let the rest go."""
        for _ in range(16):
            if self._notes < 0:
                return
            try:
                chunk = os.read(self._notes, _CHUNK)
            except BlockingIOError:
                return
            if not chunk:
                self._poll.unregister(self._notes)
                os.close(self._notes)
                self._notes = -1
                return
            if len(self._note) < NOTE_OCTETS:
                self._note = (self._note + chunk.decode("latin-1"))[:NOTE_OCTETS]

    def _answer(self, problem: str) -> None:
        note = self._note if self._why == "start" else _text(self._note)
        result = {
            "statuses": tuple(self._statuses),
            "why": self._why,
            "problem": problem,
            "cpu_s": max(self._usage.cpu_s, _reaped_s()),
            "memory_bytes": max(self._usage.peak_bytes, self._largest()),
            "seconds": time.monotonic() - self._began,
            "note": note.strip(),
        }
        try:
            os.write(self._run_fd, marshal.dumps(result))
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET):
                raise

    def _largest(self) -> int:
        """The most that a single process has held, for those too short to be looked at.

        A program's own starts at the keeper's, whose copy it was; that says nothing.
        """
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return most * 1024 if most > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss else 0


def _text(note: str) -> str:
    return note.encode("latin-1").decode("utf-8", "replace")


def _reaped_s() -> float:
    """Give the processor time of all descendants that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
