"""Files of ours in a Maildir, beside its folders, that show whether they are whole.

A line names the format, one has the CRC-32 of the rest, and then comes the rest.
"""

from __future__ import annotations

import os
import zlib

from pop3_service.maildir.opening import READ_FLAGS

CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
READ_SIZE = 1024 * 1024


def read(folder_fd: int, name: str, header: bytes) -> bytes | None:
    """Give what follows the two lines; None if the file is damaged, or of another format.

    What lies under the name may be anything; a FIFO, say, holds nobody up.

    Raises:
        OSError: it is missing, or cannot be read.
    """
    fd = os.open(name, READ_FLAGS, dir_fd=folder_fd)
    try:
        pieces = []
        while piece := os.read(fd, READ_SIZE):
            pieces.append(piece)
    finally:
        os.close(fd)
    data = b"".join(pieces)
    start = len(header) + 9
    body = data[start:]
    return body if data[:start] == _head(header, body) else None


def write(folder_fd: int, name: str, header: bytes, body: bytes, *, durable: bool) -> None:
    """Write a file that is not there yet.

    Raises:
        OSError: something of that name is there, or it cannot be written; no part is left.
    """
    fd = os.open(name, CREATE_FLAGS, 0o600, dir_fd=folder_fd)
    try:
        with open(fd, "wb") as file:
            file.write(_head(header, body))
            file.write(body)
            if durable:
                file.flush()
                os.fsync(fd)
    except OSError:
        os.unlink(name, dir_fd=folder_fd)
        raise


def _head(header: bytes, body: bytes) -> bytes:
    return header + b"%08x\n" % zlib.crc32(body)
