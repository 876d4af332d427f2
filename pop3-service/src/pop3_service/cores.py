"""The cores that this process may use: those of its affinity, fewer under a quota (cgroup v2)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Give how many cores there are for this process; a quota is rounded up to whole ones."""
    quotas = [_quota(folder / "cpu.max") for folder in _folders(cgroups, own)]
    return max(1, math.ceil(min(len(os.sched_getaffinity(0)), *quotas)))


def _folders(cgroups: Path, own: Path) -> Iterator[Path]:
    """Give the process's group and those above it; a quota of any of them holds.

    In a container its own group is the topmost that can be seen.
    """
    yield cgroups
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    path = next((Path(line[4:]) for line in lines if line.startswith("0::/")), Path())
    if ".." in path.parts:  # a group outside what can be seen
        return
    for part in path.parts:
        cgroups /= part
        yield cgroups


def _quota(file: Path) -> float:
    """Read ``<microseconds or max> <period>``; without a quota it is infinite."""
    try:
        quota, period = map(float, file.read_text().split())
        return quota / period
    except (OSError, ValueError, ZeroDivisionError):  # "max", or nothing there
        return math.inf
