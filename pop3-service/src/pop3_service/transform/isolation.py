"""What of the sandbox is in force here, and which folders programs may read."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pop3_service.transform.jail.landlock import SCOPE_ABI, readable

BOX = "valija_transform"
"""The package of the programs in the box."""


class Policy(StrEnum):
    """Whether programs run where not all of the sandbox is in force."""

    PREFER = "prefer"
    REQUIRE = "require"


@dataclass(frozen=True, slots=True)
class Isolation:
    """What a trial at the launcher's start has found.

    ``files``: only what programs need can be opened. ``network``: no socket can be made.
    ``signals``: no process outside can be signalled. ``exposed`` are folders of the service's that
    programs could read, ``problem`` says what else is wrong; both are empty where all is well.
    """

    landlock_abi: int = 0
    files: bool = False
    network: bool = False
    signals: bool = False
    seccomp: bool = False
    exposed: tuple[str, ...] = ()
    problem: str = ""

    @property
    def complete(self) -> bool:
        """Whether all of it is in force."""
        return not self.missing

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not in force, in words."""
        parts = {
            f"Landlock ABI {SCOPE_ABI}": self.landlock_abi >= SCOPE_ABI,
            "seccomp": self.seccomp,
            "files": self.files,
            "network": self.network,
            "signals": self.signals,
        }
        missing = [name for name, there in parts.items() if not there]
        missing += [f"{folder} is where programs may read" for folder in self.exposed]
        return (*missing, self.problem) if self.problem else tuple(missing)

    def __str__(self) -> str:
        parts = ("files", "network", "signals", "seccomp")
        told = ", ".join(name for name in parts if getattr(self, name)) or "nothing"
        line = f"Landlock ABI {self.landlock_abi}; held back: {told}; limits"
        return line if self.complete else f"{line}; missing: {', '.join(self.missing)}"


def program_folders(configured: Iterable[str] = ()) -> tuple[str, ...]:
    """Give what programs may read besides the system: this Python, the box, and what is configured.

    A Python environment needs the one that it was made from, too.
    """
    found = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    box = importlib.util.find_spec(BOX)
    if box is not None and box.submodule_search_locations:
        # Importing it begins with a look at the folder that holds it.
        found += [str(Path(it).parent) for it in box.submodule_search_locations]
    found += configured
    return tuple(dict.fromkeys(found))


def exposed(private: Sequence[str], folders: Sequence[str]) -> tuple[str, ...]:
    """Give those private paths that lie beneath what programs may read."""
    open_to_all = [Path(it).resolve() for it in readable(folders)]
    return tuple(
        path
        for path in private
        if any(Path(path).resolve().is_relative_to(it) for it in open_to_all)
    )
