"""A program's output in the form that messages are kept in: CRLF, without stuffed dots.

So the size of the file is the message's size as STAT and LIST tell it (RFC 1939 section 11).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from lineproto.stuffing import CRLF_ONLY, DOTLESS, WireEncoder, header_form

PIECE = 256 * 1024
"""Octets converted at a time: so many are in memory."""
PIECES_A_STEP = 32
"""Pieces until others have their turn at the disk."""


def converted(source: BinaryIO, target: BinaryIO) -> Iterator[None]:
    """Write one open file's octets to another in CRLF form, from their beginnings, step by step.

    ``target`` is unbuffered.

    Raises:
        OSError: there is no room, or a disk failed.
    """
    encoder = WireEncoder(DOTLESS)  # no dot gets a second one
    source.seek(0)
    pieces = 0
    while piece := source.read(PIECE):
        _write(target, encoder.feed(piece))
        pieces += 1
        if pieces % PIECES_A_STEP == 0:
            yield
    _write(target, encoder.finish())


def form_of(start: bytes) -> int:
    """Give what is known of a converted message that begins so, for ``WireEncoder``."""
    return CRLF_ONLY | header_form(start)


def _write(target: BinaryIO, octets: bytes) -> None:
    with memoryview(octets) as view:
        done = 0
        while done < len(view):
            done += target.write(view[done:])
