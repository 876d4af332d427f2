"""Files put in place durably: whole under their name, or not there at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until a file's octets, or a folder's names, are on the disk.

    Raises:
        OSError
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def put_in_place(new: Path, path: Path) -> None:
    """Let a file that was written take its name, and whatever had that is gone.

    Raises:
        OSError
    """
    sync(new)
    os.rename(new, path)
    sync(path.parent)


@contextlib.contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Remove a file, if it is there, when what is done meanwhile fails."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
