"""What a forked process does to itself before it becomes a program.

Everything here runs between fork and execve, in a process of one thread, so it may allocate, call
Python and fail as it likes.
"""

from __future__ import annotations

import os
import resource

from . import landlock, seccomp
from .kernel import (
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    close_at_exec,
    drop_capabilities,
    ignored_signals,
    prctl,
    reset_signals,
)

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing has it, without its import
    from collections.abc import Callable

_KILL = 9
_READ, _WRITE = landlock.READ_FILE, landlock.WRITE_FILE | landlock.TRUNCATE
NICE = 10
_PENDING = 256
"""Signals that may wait; they count for the whole user, and must not use up the service's."""
ADDRESS_SPACE_FACTOR = 4
"""A process may reserve more addresses than the tree may hold memory: many do, and use few."""


class Sandbox:
    """What this kernel offers, asked once."""

    def __init__(self, folders: list[str], processes_ceiling: int | None) -> None:
        """``processes_ceiling`` is how many processes the whole user may have for ours to fork."""
        self.abi = landlock.abi()
        self.folders = folders
        self._ignored = ignored_signals()
        self._processes = processes_ceiling
        self.filter: Callable[[], None] | None = seccomp.make(
            deny_signals=self.abi < landlock.SCOPE_ABI,
            deny_truncate=self.abi < landlock.TRUNCATE_ABI,
        )

    def rules(self, scratch: str, message: int, output: int) -> landlock.Ruleset | None:
        """Make the rules of a run: its own folder, and its two files by their descriptors.

        The files so that ``/dev/stdin`` and ``/dev/stdout`` can be opened by name.
        """
        if not self.abi:
            return None
        rules = landlock.Ruleset(self.abi)
        rules.allow_programs(self.folders)
        rules.allow_all(scratch)
        for fd, rights in ((message, _READ), (output, _WRITE)):
            if os.path.isfile(f"/proc/self/fd/{fd}"):
                rules.allow(fd, rights)
        return rules

    def detach(self, keeper: int) -> None:
        """Leave the launcher's session, signals and priority; end with the keeper."""
        prctl(PR_SET_PDEATHSIG, _KILL)
        if os.getppid() != keeper:
            os._exit(1)
        os.setsid()
        reset_signals(self._ignored)
        os.umask(0o077)
        os.nice(NICE)
        # Where each session has a share of its own, it is the session's priority that counts.
        _tell("/proc/self/autogroup", str(NICE))
        _tell("/proc/self/oom_score_adj", "1000")  # when memory runs short, these go first
        close_at_exec()

    def enter(self, rules: landlock.Ruleset | None) -> None:
        """Hold this process, and all that come from it, to the rules."""
        drop_capabilities()
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        if rules is not None:
            rules.enforce()
        if self.filter is not None:
            self.filter()

    def limit(self, limits: dict[str, float], file_bytes: int) -> None:
        """Bound what a single process may use; the keeper bounds the tree."""
        cpu = max(1, int(limits["cpu_s"] + 0.999))
        bounds = [
            (resource.RLIMIT_CPU, cpu, cpu + 1),
            (resource.RLIMIT_AS, int(limits["memory_bytes"]) * ADDRESS_SPACE_FACTOR, None),
            (resource.RLIMIT_FSIZE, file_bytes, None),
            (resource.RLIMIT_NOFILE, int(limits["descriptors"]), None),
            (resource.RLIMIT_CORE, 0, None),
            (resource.RLIMIT_MEMLOCK, 0, None),
            (resource.RLIMIT_MSGQUEUE, 0, None),
            (resource.RLIMIT_SIGPENDING, _PENDING, None),
            (resource.RLIMIT_RTPRIO, 0, None),
        ]
        if self._processes is not None:
            bounds.append((resource.RLIMIT_NPROC, self._processes, None))
        for which, soft, hard in bounds:
            most = resource.getrlimit(which)[1]
            wanted = soft if hard is None else hard
            if most != resource.RLIM_INFINITY:
                wanted = min(wanted, most)
            resource.setrlimit(which, (min(soft, wanted), wanted))


def _tell(path: str, text: str) -> None:
    """Write to a file of /proc, where there is such a file."""
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(fd, text.encode())
    except OSError:
        pass
    finally:
        os.close(fd)
