"""One message through one command."""

from __future__ import annotations

import gc
from typing import NamedTuple

from valija_transform.commands import Command
from valija_transform.edits import Edits
from valija_transform.failures import Unclear
from valija_transform.protection import Signed, reason_to_keep
from valija_transform.streams import copy_rest, read_message, write_all
from valija_transform.structure import Part, read_structure


class Limits(NamedTuple):
    """``max_size`` in octets; ``strict`` makes a failure of what would pass unchanged."""

    max_size: int
    strict: bool = False


def run(command: Command, signed: Signed, limits: Limits, source: int, target: int) -> None:
    """Read a message, change it, write it; nothing is written before the outcome is known.

    Raises:
        Unclear: ``strict``, and the message is broken or too large.
        StreamFailed: it cannot be read or written.
    """
    # What is made here lives to the end, and that is soon.
    gc.disable()
    octets, whole = read_message(source, limits.max_size)
    if whole:
        write_all(target, change(octets, command, signed, strict=limits.strict))
    elif limits.strict:
        raise Unclear(f"the message has more than {limits.max_size} octets")
    else:
        copy_rest(source, target, octets)


def change(
    octets: bytes, command: Command, signed: Signed = Signed.KEEP, *, strict: bool = False
) -> list[bytes | memoryview]:
    """Pass a message through a command and give the result piece by piece.

    Raises:
        Unclear: ``strict``, and the message is broken.
    """
    try:
        message = read_structure(octets)
        if strict:
            check_clear(message)
        if message.unclear or reason_to_keep(message, signed):
            return [octets]
        edits = Edits(octets)
        command.edit(message, edits, signed)
        if strict and edits.left:
            raise Unclear(edits.left)
        return edits.pieces() if edits else [octets]
    except Unclear:
        if strict:
            raise
    except MemoryError:
        if strict:
            raise Unclear("the message takes too much memory") from None
    return [octets]


def check_clear(message: Part) -> None:
    """See that a message can be read in one way only.

    Raises:
        Unclear: it cannot.
    """
    for part in message.walk():
        if part.unclear:
            raise Unclear(part.unclear)
        if not part.closed:
            raise Unclear("a multipart has no end")
