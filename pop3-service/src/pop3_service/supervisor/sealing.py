"""Secrets sealed for the database: AES-256-GCM, by ``cryptography``, under a key that is not in it.

Imported, ``cryptography`` costs 10 MB, so this module is imported once there is something to seal.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_OCTETS = 32
NONCE_OCTETS = 12


class Unsealable(Exception):
    """What is stored was not sealed with this key, or for somebody else, or was changed."""


class BadKey(Exception):
    """The key's file cannot be used; the text says why."""


class Sealer:
    """Seals and opens. What is sealed for one name opens for that name alone."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, secret: bytes, name: str) -> bytes:
        """Give the octets to store."""
        nonce = os.urandom(NONCE_OCTETS)
        return nonce + self._cipher.encrypt(nonce, secret, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Give the secret.

        Raises:
            Unsealable
        """
        try:
            nonce, text = sealed[:NONCE_OCTETS], sealed[NONCE_OCTETS:]
            return self._cipher.decrypt(nonce, text, name.encode())
        except (InvalidTag, ValueError):
            raise Unsealable from None


def load_key(path: Path) -> bytes:
    """Read the key, in hexadecimal digits; without a file it is made, for its owner alone.

    One caller at a time.

    Raises:
        BadKey: the file cannot be read or made, others may read it, or it holds no key.
    """
    if not os.path.lexists(path):
        try:
            _make(path)
        except OSError as error:
            raise BadKey(f"{path}: {error.strerror}") from None
    return _read(path)


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


def _read(path: Path) -> bytes:
    try:
        with open(path) as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise BadKey(f"{path}: others may read it; make it 0600")
            key = bytes.fromhex(file.read(1024).strip())
    except OSError as error:
        raise BadKey(f"{path}: {error.strerror}") from None
    except ValueError:
        key = b""
    if len(key) != KEY_OCTETS:
        raise BadKey(f"{path}: it holds no key of {2 * KEY_OCTETS} hexadecimal digits")
    return key
