"""Standard input and output: a message is read whole up to a limit, and copied through above it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence

from valija_transform.failures import StreamFailed

CHUNK = 256 * 1024
_VECTOR = 64
"""Pieces to a write, far below any system's IOV_MAX."""


def read_message(source: int, limit: int) -> tuple[bytes, bool]:
    """Read up to ``limit`` octets; tell too whether that was all.

    Of a regular file that is larger nothing is read; of a pipe what is read fits the limit.

    Raises:
        StreamFailed: it cannot be read.
    """
    try:
        status = os.fstat(source)
        if stat.S_ISREG(status.st_mode) and status.st_size > limit:
            return b"", False
        pieces: list[bytes] = []
        size = 0
        while piece := os.read(source, CHUNK):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                return b"".join(pieces), False
        return b"".join(pieces), True
    except OSError as error:
        raise StreamFailed(f"the message cannot be read: {error.strerror}") from None


def copy_rest(source: int, target: int, already: bytes) -> None:
    """Write what was read already, then everything that still comes.

    Raises:
        StreamFailed: it cannot be read or written.
    """
    write_all(target, [already])
    try:
        while piece := os.read(source, CHUNK):
            write_all(target, [piece])
    except OSError as error:
        raise StreamFailed(f"the message cannot be read: {error.strerror}") from None


def write_all(target: int, pieces: Iterable[bytes | memoryview]) -> None:
    """Write pieces one after another.

    Raises:
        StreamFailed: nobody reads it any more, or there is no room.
    """
    left: Sequence[bytes | memoryview] = [piece for piece in pieces if len(piece)]
    at = 0
    try:
        while at < len(left):
            batch = list(left[at : at + _VECTOR])
            at += len(batch)
            while batch:
                written = os.writev(target, batch)
                while batch and written >= len(batch[0]):
                    written -= len(batch.pop(0))
                if batch and written:
                    batch[0] = memoryview(batch[0])[written:]
    except OSError as error:
        raise StreamFailed(f"the result cannot be written: {error.strerror}") from None
