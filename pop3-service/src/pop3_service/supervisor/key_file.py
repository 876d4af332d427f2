"""Keys in files of their own: made where there is none, and refused where others may read them."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

KEY_OCTETS = 32


class BadKey(Exception):
    """The key's file cannot be used; the text says why."""


def load_key(path: Path, *, for_group: bool = False) -> bytes:
    """Read the key, in hexadecimal digits; without a file it is made, for its owner alone.

    ``for_group`` lets a file be that its group may read as well. One caller at a time.

    Raises:
        BadKey: the file cannot be read or made, others may read it, or it holds no key.
    """
    if not os.path.lexists(path):
        try:
            _make(path)
        except OSError as error:
            raise BadKey(f"{path}: {error.strerror}") from None
    return _read(path, "0640" if for_group else "0600")


def _make(path: Path) -> None:
    """Make the file, whole or not at all: half a key would be refused at every start."""
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w") as file:
            file.write(secrets.token_bytes(KEY_OCTETS).hex() + "\n")
            file.flush()
            os.fsync(fd)
        os.rename(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def _read(path: Path, most: str) -> bytes:
    """Read a file whose mode is ``most`` (octal) at most, whatever its owner may do."""
    try:
        with open(path) as file:
            if os.fstat(file.fileno()).st_mode & 0o077 & ~int(most, 8):
                raise BadKey(f"{path}: others may read it; make it {most}")
            key = bytes.fromhex(file.read(1024).strip())
    except OSError as error:
        raise BadKey(f"{path}: {error.strerror}") from None
    except ValueError:
        key = b""
    if len(key) != KEY_OCTETS:
        raise BadKey(f"{path}: it holds no key of {2 * KEY_OCTETS} hexadecimal digits")
    return key
