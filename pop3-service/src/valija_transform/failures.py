"""Why a run ends without a message, and what its exit code says (sysexits.h)."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes."""

    OK = 0
    USAGE = 64
    DATA = 65
    NO_INPUT = 66
    SOFTWARE = 70
    IO = 74


class Failure(Exception):
    """A run that gives no message; its text is the line on stderr."""

    code = Exit.SOFTWARE


class WrongUsage(Failure):
    """Options that do not make sense."""

    code = Exit.USAGE


class Unclear(Failure):
    """Mail that cannot be read in one way only; without ``--strict`` it passes as it is."""

    code = Exit.DATA


class NoInput(Failure):
    """A file that was named cannot be read."""

    code = Exit.NO_INPUT


class StreamFailed(Failure):
    """stdin or stdout failed."""

    code = Exit.IO
