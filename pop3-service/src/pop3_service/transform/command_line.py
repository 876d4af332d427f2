"""A transform's command line: words become an argv. There is no shell, and no word means one."""

from __future__ import annotations

import os
import shlex
import stat

from pop3_service.domain.errors import TransformInvalid

MAX_OCTETS = 4096
PATH = ("/usr/local/bin", "/usr/bin", "/bin")
"""Where programs are looked for, whatever the service's own environment says."""
_SHELL_WORDS = "|;&<>()`"


def parse(command_line: str) -> tuple[str, ...]:
    """Split a command line into words as a shell would, quotes and all; empty gives no words.

    Raises:
        TransformInvalid: it is too long, holds control characters or an open quote, or asks for
            a shell with an unquoted ``| ; & < > ( )`` or a backquote.
    """
    if len(command_line.encode("utf-8", "surrogateescape")) > MAX_OCTETS:
        raise TransformInvalid(f"a command line has at most {MAX_OCTETS} octets")
    if any(not c.isprintable() for c in command_line):
        raise TransformInvalid("a command line cannot hold control characters")
    if _asks_for_shell(command_line):
        raise TransformInvalid("there is no shell here: | ; & < > ( ) ` work only inside quotes")
    try:
        words = tuple(shlex.split(command_line))
    except ValueError as error:
        raise TransformInvalid(f"the command line is not complete: {error}") from None
    if words and not words[0]:
        raise TransformInvalid("the program's name is empty")
    return words


def _asks_for_shell(command_line: str) -> bool:
    """Whether a character that means something to a shell stands outside quotes."""
    quote, escaped = "", False
    for c in command_line:
        if escaped:
            escaped = False
        elif c == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in _SHELL_WORDS:
            return True
    return False


def find_program(argv: tuple[str, ...]) -> str:
    """Give the absolute path of an argv's program.

    Raises:
        TransformInvalid: it is not there, no regular file, or not executable.
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
        return path
    raise TransformInvalid(f"there is no program {name!r} here")
