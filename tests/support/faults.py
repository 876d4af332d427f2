"""A file system that fails when the test says so, beneath the real service.

A small library, loaded into ``pop3d`` before the C library, stands between it and the kernel: every
call on a file beneath a folder can fail with an error, kill the process, or find two files
exchanged. It can set the service's clock as well.
"""

from __future__ import annotations

import ctypes
import mmap
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import pytest

import scale

SOURCE = Path(__file__).with_name("faults.c")
PATH, RECORDS = 512, 65536


class Call(IntEnum):
    """What is called."""

    OPEN = 0
    CREATE = 1
    READ = 2
    WRITE = 3
    STAT = 4
    LIST = 5
    SYNC = 6
    UNLINK = 7
    RENAME = 8
    MKDIR = 9
    SEND = 10  # a reply: written down, and never failing


class Mode(IntEnum):
    """What happens at a call."""

    OFF = 0
    WATCH = 1
    FAIL = 2
    KILL_BEFORE = 3
    KILL_AFTER = 4
    SWAP = 5


ALL = frozenset(Call) - {Call.SEND}
CHANGING = frozenset({Call.CREATE, Call.WRITE, Call.SYNC, Call.UNLINK, Call.RENAME, Call.MKDIR})


class Seen(NamedTuple):
    """A call that was made. ``path`` is what follows the folder's; of a reply, its beginning."""

    call: Call
    path: str
    succeeded: bool


class _Record(ctypes.Structure):
    _fields_ = (("call", ctypes.c_int), ("result", ctypes.c_int), ("path", ctypes.c_char * 248))


class _Control(ctypes.Structure):
    _fields_ = (
        ("mode", ctypes.c_int),
        ("error", ctypes.c_int),
        ("at", ctypes.c_int),
        ("every", ctypes.c_int),
        ("kinds", ctypes.c_uint),
        ("seen", ctypes.c_int),
        ("recorded", ctypes.c_int),
        ("ahead_s", ctypes.c_int),
        ("beneath", ctypes.c_char * PATH),
        ("swapped_from", ctypes.c_char * PATH),
        ("swapped_to", ctypes.c_char * PATH),
        ("records", _Record * RECORDS),
    )


class Faults:
    """Where the calls of one service go through. ``environment`` is for its start."""

    def __init__(self, folder: Path) -> None:
        library, shared = folder / "faults.so", folder / "faults"
        _build(library)
        with shared.open("w+b") as file:
            file.truncate(ctypes.sizeof(_Control))
            self._control = _Control.from_buffer(mmap.mmap(file.fileno(), 0))
        self.environment = {"LD_PRELOAD": str(library), "FAULTS": str(shared)}

    @contextmanager
    def acting(
        self,
        mode: Mode,
        beneath: Path,
        at: int = 1,
        error: int = 0,
        kinds: frozenset[Call] = ALL,
        swapped: tuple[Path, Path] | None = None,
        *,
        every: bool = False,
    ) -> Iterator[None]:
        """Act at the so manieth call beneath a folder, or from there on at every one."""
        control = self._control
        control.error, control.at, control.every = error, at, every
        control.kinds = sum(1 << kind for kind in kinds)
        control.beneath = str(beneath).encode()
        if swapped is not None:
            control.swapped_from, control.swapped_to = (str(it).encode() for it in swapped)
        control.seen = control.recorded = 0
        control.mode = mode
        try:
            yield
        finally:
            control.mode = Mode.OFF

    def set_clock(self, ahead_s: int) -> None:
        """Let the service's clock of the day be so far ahead of this machine's, or behind it."""
        self._control.ahead_s = ahead_s

    @property
    def count(self) -> int:
        """How many calls counted, since the last ``acting`` began."""
        return int(self._control.seen)

    def seen(self) -> list[Seen]:
        """The calls that counted, and the replies, since the last ``acting`` began."""
        count = self._control.recorded
        assert count <= RECORDS, "more calls than there is room for"
        return [
            Seen(Call(it.call), it.path.decode(errors="surrogateescape"), it.result >= 0)
            for it in self._control.records[:count]
        ]


def spread(steps: int) -> list[int]:
    """The steps of so many that are tried: the first, the last, and others at even distances."""
    if steps <= scale.STEPS:
        return list(range(1, steps + 1))
    apart = (steps - 1) / (scale.STEPS - 1)
    return [1 + round(number * apart) for number in range(scale.STEPS)]


def _build(library: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc and libc6-dev are needed for this alone")
    words = ["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([compiler, *words, str(SOURCE), "-ldl"], check=True)
