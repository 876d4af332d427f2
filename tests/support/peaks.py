"""The most memory that each process of a tree takes while something goes on, by what it is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

LOOK_S = 0.005
"""Between two looks: the programs of a transform do not live for long."""
ROLES = {
    "pop3_service.worker.process": "worker",
    "pop3_service.worker.ahead_process": "ahead",
    "transform/jail": "launcher, keepers",
    "pop3_service": "service",
}
"""What a command line has in it, and what the process is then."""


def tree(pid: int) -> Iterator[int]:
    """A process and all that came out of it."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def role(pid: int) -> str:
    """What a process is: one of ours, or a program by its name."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    line = b" ".join(words).decode(errors="replace")
    return next((it for part, it in ROLES.items() if part in line), Path(words[0].decode()).name)


def high_water_kb(pid: int) -> int:
    """The most that a process has had resident in its life (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0


class Peaks:
    """Looks at a tree of processes until ``stop``."""

    def __init__(self, pid: int) -> None:
        self.kb: dict[str, int] = {}
        """By role, the process that took the most."""
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, int]:
        """Look for the last time; give the most by role."""
        self._over.set()
        self._thread.join()
        return self.kb

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            self._look()
        self._look()

    def _look(self) -> None:
        for pid in tree(self._pid):
            # One may end while it is looked at.
            with contextlib.suppress(OSError):
                name, kb = role(pid), high_water_kb(pid)
                self.kb[name] = max(kb, self.kb.get(name, 0))
