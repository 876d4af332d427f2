"""A process's descendants, as /proc tells: how many, their processor time and their memory."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:  # as typing has it, without its import
    from collections.abc import Iterable

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SIGKILL = 9
STATE, THREADS, ADDRESSES, PAGES = 0, 17, 20, 21
"""Fields of /proc/PID/stat, counted from the third: threads, octets of addresses, pages held."""


def _read(path: str) -> bytes:
    """Read a file of /proc; one whose process is gone is empty."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""
    finally:
        os.close(fd)


def parse_stat(text: bytes) -> list[bytes]:
    """Give the fields of /proc/PID/stat from the third on: state, parent, group.

    The second, the program's name, may hold anything, closing brackets too.
    """
    return text[text.rindex(b")") + 2 :].split()


def tasks(pid: int) -> list[str]:
    """Give a process's threads; none if it is gone."""
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _fields(path: str) -> list[bytes]:
    """Give what /proc/PID/stat tells; nothing if the process is gone.

    One whose first thread has ended seems dead and without memory: what the others hold is told.
    """
    text = _read(f"{path}/stat")
    if not text:
        return []
    fields = parse_stat(text)
    if fields[STATE] == b"Z" and int(fields[THREADS]) > 1:
        for task in tasks(int(path.rpartition("/")[2])):
            if other := _read(f"{path}/task/{task}/stat"):
                fields[PAGES] = max(fields[PAGES], parse_stat(other)[PAGES], key=int)
    return fields


def has_memory(path: str) -> bool:
    """Whether a process or thread of /proc lives and is not just ending."""
    text = _read(f"{path}/stat")
    return bool(text) and int(parse_stat(text)[ADDRESSES]) > 0


def descendants(spared: Iterable[int] = ()) -> dict[int, list[bytes]]:
    """Give what /proc tells of this process's descendants, dead ones that nobody reaped too.

    All processes are looked through: a list of children may miss some while it changes. Children
    that are ``spared`` are left out, with all that come from them.
    """
    stats: dict[int, list[bytes]] = {}
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _fields(f"/proc/{name}")):
            stats[int(name)] = fields
            children.setdefault(int(fields[1]), []).append(int(name))
    found: dict[int, list[bytes]] = {}
    waiting = [pid for pid in children.get(os.getpid(), ()) if pid not in spared]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found[pid] = stats[pid]
            waiting += children.get(pid, ())
    return found


def kill(stats: dict[int, list[bytes]]) -> None:
    """Kill processes, whole groups first: a group goes at once, however fast it multiplies."""
    groups = {int(it[2]) for it in stats.values()} - {os.getpgrp(), 0}
    for pid in (*(-group for group in groups), *stats):
        try:
            os.kill(pid, _SIGKILL)
        except OSError:
            continue


def kill_group(leader: int) -> None:
    """Kill a group whose leader was not reaped yet: its number is nobody else's."""
    try:
        os.kill(-leader, _SIGKILL)
    except OSError:
        pass


def own_children() -> list[int]:
    """Give this process's children, if the kernel lists them; none otherwise."""
    pid = os.getpid()
    return [int(it) for it in _read(f"/proc/{pid}/task/{pid}/children").split()]


def near_descendants(most: int) -> dict[int, list[bytes]] | None:
    """The same as ``descendants`` for a small tree, without a look at other processes.

    Where there are more than ``most``, not all are found. None where the kernel lists no children
    (CONFIG_PROC_CHILDREN).
    """
    if not os.path.exists("/proc/thread-self/children"):
        return None
    found: dict[int, list[bytes]] = {}
    waiting = own_children()
    while waiting and len(found) <= most:
        pid = waiting.pop()
        fields = _fields(f"/proc/{pid}")
        if not fields or pid in found:
            continue
        found[pid] = fields
        for thread in tasks(pid):
            waiting += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


class Usage:
    """What a tree has used up to now, seen again and again."""

    def __init__(self) -> None:
        self.threads = 0
        self.cpu_s = 0.0
        self.memory_bytes = self.peak_bytes = 0
        self.pids: tuple[int, ...] = ()
        self._seen: dict[int, float] = {}
        self._gone_s = 0.0

    def look(self, stats: dict[int, list[bytes]], reaped_s: float, memory_limit: int) -> None:
        """Take in what /proc tells; ``reaped_s`` is the time of all that this process has reaped.

        Time is the greater of two sums: what is alive with what was waited for, and what was seen
        at each look, because a child that nobody waits for leaves its time to nobody.
        """
        own = {pid: (int(it[11]) + int(it[12])) / _TICK for pid, it in stats.items()}
        waited = sum(int(it[13]) + int(it[14]) for it in stats.values()) / _TICK
        self._gone_s += sum(spent for pid, spent in self._seen.items() if pid not in own)
        self._seen = own
        alive = sum(own.values())
        self.cpu_s = max(self.cpu_s, self._gone_s + alive, reaped_s + waited + alive)
        self.pids = tuple(stats)
        self.threads = sum(max(1, int(it[THREADS])) for it in stats.values())
        resident = sum(int(it[PAGES]) for it in stats.values()) * _PAGE
        if resident > memory_limit and len(stats) > 1:  # what they share was counted twice
            resident = sum(_proportional(pid, int(it[PAGES]) * _PAGE) for pid, it in stats.items())
        self.memory_bytes = resident
        self.peak_bytes = max(self.peak_bytes, resident)


def _proportional(pid: int, resident: int) -> int:
    """Give a process's share of memory (PSS), or what is resident where that is not told.

    One that is just ending has none.
    """
    for task in tasks(pid):
        try:
            with open(f"/proc/{pid}/task/{task}/smaps_rollup", "rb") as file:
                lines = file.read().splitlines()
        except PermissionError:
            return resident
        except OSError:
            continue
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:"))
    return 0
