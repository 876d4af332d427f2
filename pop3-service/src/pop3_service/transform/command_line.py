"""A transform's command line: words become argvs. There is no shell, and no word means one.

Programs are parted by ``|``, which is ours: each reads what the one before it wrote.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator

from pop3_service.domain.errors import TransformInvalid
from pop3_service.domain.transforms import MAX_PROGRAMS

MAX_OCTETS = 4096
_BESIDE_PYTHON = (os.path.dirname(sys.executable),) if os.path.isabs(sys.executable) else ()
PATH = tuple(dict.fromkeys(("/usr/local/bin", "/usr/bin", "/bin", *_BESIDE_PYTHON)))
"""Where programs are looked for, whatever the service's own environment says.

``valija-transform`` is beside the Python that runs this, which comes last: in an environment of
its own a name such as ``python3`` still means the system's.
"""
_SHELL_WORDS = ";&<>()`"


def parse_chain(command_line: str) -> tuple[tuple[str, ...], ...]:
    """Split a command line into programs, and each into words as a shell would, quotes and all.

    One that is blank gives no programs.

    Raises:
        TransformInvalid: it is too long, has too many programs or an empty one, holds control
            characters or an open quote, or asks for a shell with an unquoted ``; & < > ( )`` or a
            backquote.
    """
    _check_text(command_line)
    if not command_line.strip():
        return ()
    parts = _parts(command_line)
    if len(parts) > MAX_PROGRAMS:
        raise TransformInvalid(f"a transform has at most {MAX_PROGRAMS} programs")
    return tuple(_words(part) for part in parts)


def parse(command_line: str) -> tuple[str, ...]:
    """Split the command line of one program into words; one that is blank gives no words.

    Raises:
        TransformInvalid: as of ``parse_chain``, or there is more than one program.
    """
    programs = parse_chain(command_line)
    if len(programs) > 1:
        raise TransformInvalid("there is more than one program")
    return programs[0] if programs else ()


def _check_text(command_line: str) -> None:
    if len(command_line.encode("utf-8", "surrogateescape")) > MAX_OCTETS:
        raise TransformInvalid(f"a command line has at most {MAX_OCTETS} octets")
    if any(not c.isprintable() for c in command_line):
        raise TransformInvalid("a command line cannot hold control characters")
    if any(c in _SHELL_WORDS for _, c in _unquoted(command_line)):
        raise TransformInvalid("there is no shell here: ; & < > ( ) ` work only inside quotes")


def _words(part: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(part))
    except ValueError as error:
        raise TransformInvalid(f"the command line is not complete: {error}") from None
    if not words:
        raise TransformInvalid("a program is missing before or after |")
    if not words[0]:
        raise TransformInvalid("the program's name is empty")
    return words


def _parts(command_line: str) -> list[str]:
    """Part a command line at each ``|`` that stands outside quotes."""
    places = [place for place, c in _unquoted(command_line) if c == "|"]
    begins = [0, *(place + 1 for place in places)]
    return [
        command_line[begin:end]
        for begin, end in zip(begins, [*places, len(command_line)], strict=True)
    ]


def _unquoted(command_line: str) -> Iterator[tuple[int, str]]:
    """Give the characters that stand outside quotes and behind no backslash, and their places."""
    quote, escaped = "", False
    for place, c in enumerate(command_line):
        if escaped:
            escaped = False
        elif c == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        else:
            yield place, c


def find_program(argv: tuple[str, ...]) -> str:
    """Give the absolute path of an argv's program.

    Raises:
        TransformInvalid: it is not there, no regular file, not executable, or cannot be read.
    """
    name = argv[0]
    if "/" in name:
        if not os.path.isabs(name):
            raise TransformInvalid(f"give {name!r} as a name or as a path from the root")
        candidates = [name]
    else:
        candidates = [f"{folder}/{name}" for folder in PATH]
    for path in candidates:
        try:
            status = os.stat(path)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            raise TransformInvalid(f"{path} is no program")
        if not os.access(path, os.X_OK):
            raise TransformInvalid(f"{path} is not executable")
        if not os.access(path, os.R_OK):
            # The kernel hides what it does, so its bounds cannot be held.
            raise TransformInvalid(f"{path} cannot be read")
        return path
    raise TransformInvalid(f"there is no program {name!r} here")
