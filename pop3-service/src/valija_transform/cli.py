"""valija-transform's command line. Only the command that is asked for is imported."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, cast

from valija_transform.commands import CommandModule
from valija_transform.failures import Exit, Failure, WrongUsage
from valija_transform.protection import Signed
from valija_transform.running import Limits, run

COMMANDS = {
    "strip-attachments": "strip_attachments",
    "text-only": "text_only",
    "defang": "defang",
    "banner": "banner",
    "redact": "redact",
    "header": "header",
}
PROGRAM = "valija-transform"
MIB = 1024 * 1024
_UNITS = {"": 1, "k": 1024, "m": MIB, "g": 1024 * MIB}


class _Formatter(argparse.HelpFormatter):
    """Does not ask for the terminal's width: that takes as long as a command's work."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as everything here does."""

    def error(self, message: str) -> NoReturn:
        raise WrongUsage(f"{message}; see {self.prog} --help")


def size(text: str) -> int:
    """Read a number of octets: ``1500``, ``64K``, ``20M``, ``1G``; powers of 1024."""
    number, unit = text.lower().removesuffix("ib").removesuffix("b"), ""
    if number[-1:] in ("k", "m", "g"):
        number, unit = number[:-1], number[-1]
    if not (number.isascii() and number.isdigit() and len(number) <= 12):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 1500, 64K or 20M")
    return int(number) * _UNITS[unit]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = " ".join([PROGRAM, *(words[:1] if words and words[0] in COMMANDS else [])])
    try:
        return _main(words)
    except Failure as failure:
        text, code = str(failure), failure.code
    except MemoryError:
        text, code = "out of memory", Exit.SOFTWARE
    except Exception as error:  # the one funnel: a traceback would be no clear line
        text, code = f"a mistake in the program: {type(error).__name__}: {error}", Exit.SOFTWARE
    line = f"{name}: {text}".encode("utf-8", "backslashreplace").replace(b"\n", b" ")
    try:
        os.write(2, line + b"\n")
    except OSError:
        pass
    return code


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        os.write(1 if words else 2, _overview().encode())
        return Exit.OK if words else Exit.USAGE
    module_name = COMMANDS.get(words[0])
    if module_name is None:
        raise WrongUsage(f"there is no command {words[0]!r}; see {PROGRAM} --help")
    module = cast(CommandModule, import_module(f"valija_transform.commands.{module_name}"))
    parser = _Parser(
        prog=f"{PROGRAM} {words[0]}",
        description=module.ABOUT,
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    module.add_options(parser)
    _add_common(parser)
    options = parser.parse_args([_utf8(word) for word in words[1:]])
    command = module.make(options)
    limits = Limits(options.max_size, options.strict)
    run(command, Signed(options.signed), limits, 0, 1)
    return Exit.OK


def _utf8(word: str) -> str:
    """An argument is UTF-8, whatever the locale says."""
    try:
        return os.fsencode(word).decode()
    except UnicodeError:
        raise WrongUsage("an argument is not UTF-8") from None


def _add_common(parser: argparse.ArgumentParser) -> None:
    common = parser.add_argument_group("for every command")
    common.add_argument(
        "--signed",
        choices=[*Signed],
        default=Signed.KEEP,
        help="signed mail: keep it as it is (the default), keep it if only DKIM signs it as well, "
        "or change it; encrypted mail is always kept",
    )
    common.add_argument(
        "--strict",
        action="store_true",
        help=f"fail ({Exit.DATA.value}) on mail that would pass as it is because it is broken or "
        "too large, or has a text to change that cannot be decoded",
    )
    common.add_argument(
        "--max-size",
        type=size,
        default=64 * MIB,
        metavar="SIZE",
        help="larger mail passes as it is (default 64M)",
    )


def _overview() -> str:
    lines = [f"usage: {PROGRAM} COMMAND [OPTIONS] <message >message", ""]
    for name, module in COMMANDS.items():
        about = cast(CommandModule, import_module(f"valija_transform.commands.{module}")).ABOUT
        lines.append(f"  {name:<18} {about}")
    return "\n".join([*lines, "", f"{PROGRAM} COMMAND --help tells a command's options.", ""])
