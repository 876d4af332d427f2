"""Secrets sealed for the database: AES-256-GCM, by ``cryptography``, under a key that is not in it.

Imported, ``cryptography`` costs 10 MB, so this module is imported once there is something to seal.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_OCTETS = 12


class Unsealable(Exception):
    """What is stored was not sealed with this key, or for somebody else, or was changed."""


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
