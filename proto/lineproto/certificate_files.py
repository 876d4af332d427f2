"""Files of certificates and keys, which others write and swap.

A file is known by what ``stat`` tells of it, symbolic links followed: certbot swaps links.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lineproto.tls import BadCertificate

MAX_FILE = 1024 * 1024

Identity = tuple[int, ...] | None
"""A file's device, inode, size and times; None where there is none."""


def identity(path: Path) -> Identity:
    """Tell a file as it is now."""
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def content(path: Path) -> bytes:
    """Read a file.

    Raises:
        BadCertificate: it cannot be read, or is none that could hold PEM.
    """
    try:
        # Of a FIFO we would wait for its writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            told = os.fstat(fd)
            if not stat.S_ISREG(told.st_mode) or told.st_size > MAX_FILE:
                raise BadCertificate("not a file of at most 1 MiB", str(path))
            with open(fd, "rb", closefd=False) as file:
                return file.read(MAX_FILE)
        finally:
            os.close(fd)
    except OSError as error:
        raise BadCertificate(error.strerror or "unreadable", str(path)) from None
