"""What the programs of transforms may read, and what they must never."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reach:
    """Paths: ``folders`` that programs may read besides the system, and what is ``private``."""

    folders: tuple[str, ...] = ()
    private: tuple[str, ...] = ()


SYSTEM_ALONE = Reach()
"""Programs may read the system; where the service has its own files is not told."""
