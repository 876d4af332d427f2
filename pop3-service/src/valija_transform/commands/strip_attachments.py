"""``strip-attachments``: take attachments out by type, file name and size."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fnmatch import fnmatchcase

from valija_transform.edits import Edits, is_text_of, is_top, text_part
from valija_transform.protection import Seal, Signed, open_parts, seal_of
from valija_transform.structure import Part
from valija_transform.text import decoded_size

ABOUT = "remove attachments by type, file name and size"
LONGEST_NAME = 200
"""Characters of a file name that are told."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from valija_transform.cli import size

    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="GLOB",
        help="of this type, such as 'application/*'; may be given more than once",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="GLOB",
        help="of this file name, such as '*.exe'; may be given more than once. A part that fits "
        "a type or a name is taken out; without either, every attachment is",
    )
    parser.add_argument(
        "--min-size",
        type=size,
        default=0,
        metavar="SIZE",
        help="only those of at least so many octets, decoded",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="leave a text in its place that tells name, type and size",
    )


def make(options: argparse.Namespace) -> Strip:
    """Make the command."""
    return Strip(options.type, options.name, options.min_size, options.replace)


class Strip:
    """Takes out what fits a type or a name and is large enough."""

    def __init__(
        self, types: Sequence[str], names: Sequence[str], min_size: int, replace: bool
    ) -> None:
        self._types = [it.lower() for it in types]
        self._names = [it.lower() for it in names]
        self._min_size = min_size
        self._replace = replace

    def edit(self, message: Part, edits: Edits, signed: Signed) -> None:
        """Take them out; the parts inside a message that is taken out need no look."""
        gone: set[Part] = set()
        for part in open_parts(message, signed):
            if part.parent in gone or _inside(part, gone):
                continue
            if self._fits(part) and decoded_size(part) >= self._min_size:
                gone.add(part)
        for part in gone:
            self._take_out(part, edits, gone)

    def _fits(self, part: Part) -> bool:
        if part.is_multipart or _is_body(part):
            return False
        if self._types or self._names:
            return any(fnmatchcase(part.content_type, it) for it in self._types) or any(
                fnmatchcase(name.lower(), it) for it in self._names for name in part.names
            )
        return is_attachment(part)

    def _take_out(self, part: Part, edits: Edits, gone: set[Part]) -> None:
        lines, body = text_part(f"[{describe(part)} was removed]", part.eol)
        parent = part.parent
        if is_top(part) or parent is None:
            edits.set_content(part, lines, body)
            return
        siblings = parent.children
        alone = all(it in gone for it in siblings)
        # A text among alternatives would be one of them, and shown instead of the mail's own.
        wanted = self._replace and parent.content_type != "multipart/alternative"
        if wanted or (alone and part is siblings[0]):
            edits.replace(part.start, part.end, lines + part.eol + body.rstrip(b"\r\n"))
        else:
            edits.replace(part.outer, part.outer_end, b"")


def _inside(part: Part, gone: set[Part]) -> bool:
    at = part.parent
    while at is not None:
        if at in gone:
            return True
        at = at.parent
    return False


def _is_body(part: Part) -> bool:
    """Whether it is a text that a reader is shown as the mail's own."""
    if not is_text_of(part.content_type):
        return False
    return part.disposition.value != "attachment" and not part.names


def is_attachment(part: Part) -> bool:
    """Whether a part is an attachment, and not a text, a picture in one, or a report's data."""
    if part.is_multipart or _is_body(part):
        return False
    if part.disposition.value == "attachment":
        return True
    if part.content_type.startswith("text/") and not part.names:
        return False
    in_text = part.parent is not None and part.parent.content_type == "multipart/related"
    if in_text and part.content_type.startswith("image/"):
        return part.header.first(b"content-id") is None
    if part.is_message or part.content_type.startswith("message/"):
        return bool(part.names)
    return seal_of(part) is Seal.NONE


def describe(part: Part) -> str:
    """Tell a part's name, type and size; whatever the name holds, it is one plain line."""
    name = printable(part.names[0]) if part.names else "an attachment without a name"
    return f"{name} ({printable(part.content_type)}, {readable(decoded_size(part))})"


def printable(name: str) -> str:
    """Give a name without characters that are unseen or turn the direction of a line."""
    import unicodedata

    shown = "".join(
        "?" if unicodedata.category(c)[0] == "C" or c in "\u2028\u2029" else c for c in name
    )
    return shown if len(shown) <= LONGEST_NAME else shown[:LONGEST_NAME] + "..."


def readable(octets: int) -> str:
    """Tell a size as people say it."""
    for unit, factor in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if octets >= factor:
            return f"{octets / factor:.1f} {unit}"
    return f"{octets} octets"
