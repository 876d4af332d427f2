"""What a transform's programs may use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run: of all of its programs together, and of whatever they start.

    ``seconds`` is time on the wall, ``cpu_s`` time on processors. ``processes`` counts those at
    one time, each thread as one; ``scratch_bytes`` what is kept in the private folder, a file
    counting 4 KiB at least; ``output_bytes`` what the last program writes. ``descriptors`` are a
    process's. ``reserve_bytes`` are those that stay free on the disk, whoever takes the others.
    """

    seconds: float = 10.0
    cpu_s: float = 60.0
    memory_bytes: int = 512 * MIB
    processes: int = 32
    scratch_bytes: int = 64 * MIB
    output_bytes: int = 64 * MIB
    descriptors: int = 256
    reserve_bytes: int = 0


class Ended(StrEnum):
    """Why a run was ended before its programs had."""

    TIME = "time"
    CPU = "cpu"
    MEMORY = "memory"
    PROCESSES = "processes"
    SCRATCH = "scratch"
    OUTPUT = "output"
    DISK = "disk"
    START = "start"

    def told(self, limits: Limits) -> str:
        """Say it in words, as what a transform did."""
        match self:
            case Ended.TIME:
                return f"took more than {limits.seconds:.3g} s"
            case Ended.CPU:
                return f"took more than {limits.cpu_s:.3g} s of processor time"
            case Ended.MEMORY:
                return f"took more than {limits.memory_bytes} octets of memory"
            case Ended.PROCESSES:
                return f"had more than {limits.processes} processes and threads"
            case Ended.SCRATCH:
                return f"kept more than {limits.scratch_bytes} octets in its folder"
            case Ended.OUTPUT:
                return f"wrote more than {limits.output_bytes} octets"
            case Ended.DISK:
                return f"found less than {limits.reserve_bytes} octets free on the disk"
            case Ended.START:
                return "did not start"
