"""``header``: add, set, remove and rename header fields of the message itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from valija_transform.edits import LONGEST_LINE, Edits
from valija_transform.failures import WrongUsage
from valija_transform.protection import Signed
from valija_transform.structure import Part
from valija_transform.writing import fold

ABOUT = "add, set, remove and rename header fields"
_NAME = re.compile(r"[!-9;-~]{1,76}")
_FIXED = frozenset({"content-type", "content-transfer-encoding", "mime-version"})


class Act(NamedTuple):
    """One change: ``add``, ``set``, ``remove`` (a pattern) or ``rename`` (to ``value``)."""

    kind: str
    name: str
    value: str = ""


class _Collect(argparse.Action):
    """Keeps the acts in the order in which they stand on the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Note one act."""
        words = [values] if isinstance(values, str) else list(values or ())
        namespace.acts = [*(namespace.acts or ()), (self.dest, words)]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.set_defaults(acts=None)
    for name, metavar, text in (
        ("add", "'NAME: VALUE'", "add a field at the header's end"),
        ("set", "'NAME: VALUE'", "give a field this value, or add it; further ones are removed"),
        ("remove", "NAME", "remove all fields of a name; * and ? stand for what you like"),
    ):
        parser.add_argument(
            f"--{name}", action=_Collect, metavar=metavar, help=text, default=argparse.SUPPRESS
        )
    parser.add_argument(
        "--rename",
        action=_Collect,
        nargs=2,
        metavar=("NAME", "NEW"),
        help="rename all fields of a name",
        default=argparse.SUPPRESS,
    )


def make(options: argparse.Namespace) -> HeaderEdit:
    """Check what is asked for."""
    if not options.acts:
        raise WrongUsage("say at least one of --add, --set, --remove, --rename")
    return HeaderEdit([_act(kind, words) for kind, words in options.acts])


def _act(kind: str, words: list[str]) -> Act:
    if any(ord(c) < 0x20 or ord(c) == 0x7F or c in "\x85\u2028\u2029" for c in "".join(words)):
        raise WrongUsage("a field holds no line end nor another control character")
    name, value = words[0], words[1] if kind == "rename" else ""
    if kind in ("add", "set"):
        name, colon, value = name.partition(":")
        if not colon:
            raise WrongUsage(f"--{kind} takes 'NAME: VALUE'")
        value = value.strip()
    for it in (name, value) if kind == "rename" else (name,):
        if not _NAME.fullmatch(it):
            raise WrongUsage(f"{it!r} is no name of a field")
        if it.lower() in _FIXED:
            raise WrongUsage(f"{it} says how the body is to be read: it stays")
    if len(value) > 10 * LONGEST_LINE:
        raise WrongUsage("a value of more than 9980 characters")
    return Act(kind, name, value)


class _Line:
    """A field on its way: where it stood (None: it is new), its name and its whole line."""

    def __init__(self, start: int | None, end: int, name: bytes, line: bytes) -> None:
        self.start = start
        self.end = end
        self.name = name
        self.line = line


class HeaderEdit:
    """Acts on the header, one after another."""

    def __init__(self, acts: Sequence[Act]) -> None:
        self._acts = acts

    def edit(self, message: Part, edits: Edits, signed: Signed) -> None:
        """Change the header. Fields that no act names keep place, folding and spelling."""
        lines = [
            _Line(it.start, it.end, it.name, message.octets[it.start : it.end])
            for it in message.header.fields
        ]
        before = list(lines)
        for act in self._acts:
            lines = _apply(act, lines, message.eol)
        kept = {line.start: line for line in lines}
        for line in before:
            edits.replace(line.start or 0, line.end,
                          kept[line.start].line if line.start in kept else b"")  # fmt: skip
        if added := b"".join(line.line for line in lines if line.start is None):
            edits.add_fields(message, added)


def _apply(act: Act, lines: list[_Line], eol: bytes) -> list[_Line]:
    """Give the header's lines after one act; those that stay as they are, are the same objects."""
    name = act.name.encode()
    if act.kind == "remove":
        return [it for it in lines if not _matches(it.name, act.name)]
    if act.kind == "rename":
        new = act.value.encode()
        return [
            _Line(it.start, it.end, new, new + it.line[len(it.name) :])
            if it.name.lower() == name.lower()
            else it
            for it in lines
        ]
    line = fold(act.name, act.value, eol)
    same = [it for it in lines if it.name.lower() == name.lower()] if act.kind == "set" else []
    if not same:
        return [*lines, _Line(None, 0, name, line)]
    first = _Line(same[0].start, same[0].end, name, line)
    return [first if it is same[0] else it for it in lines if it is same[0] or it not in same]


def _matches(name: bytes, pattern: str) -> bool:
    lowered = name.decode("latin-1").lower()
    return lowered not in _FIXED and fnmatchcase(lowered, pattern.lower())
