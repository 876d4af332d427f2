"""What is stored of a password for SCRAM-SHA-256 (RFC 5802 section 3): a verifier."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from pop3_service.domain.saslprep import prepare

HASH = "sha256"
ITERATIONS = 65_536
"""RFC 7677 section 4 asks for 4096 or more. 15 ms to make one; the client pays it at each login."""
SALT_OCTETS = 16


@dataclass(frozen=True, slots=True)
class Verifier:
    """It proves to a client that the server knows it, and cannot be used to log in."""

    salt: bytes
    iterations: int
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


def make_verifier(password: bytes, salt: bytes, iterations: int = ITERATIONS) -> Verifier | None:
    """Make a password's verifier; None for a password that no client could prepare.

    Unassigned characters pass, as clients let them (RFC 4013 section 2.5): an emoji is one.
    """
    try:
        prepared = prepare(password.decode()).encode()
    except ValueError:
        return None
    salted = hashlib.pbkdf2_hmac(HASH, prepared, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", HASH)
    return Verifier(
        salt,
        iterations,
        hashlib.sha256(client_key).digest(),
        hmac.digest(salted, b"Server Key", HASH),
    )


def proves(verifier: Verifier, proof: bytes, auth_message: bytes) -> bool:
    """Whether a client's proof is one of the password of this verifier (RFC 5802 section 3)."""
    signature = hmac.digest(verifier.stored_key, auth_message, HASH)
    if len(proof) != len(signature):
        return False
    pair = int.from_bytes(proof, "big") ^ int.from_bytes(signature, "big")
    client_key = pair.to_bytes(len(proof), "big")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)


class MadeUp:
    """Salts, and verifiers for those who have none, made from the name and a secret.

    Everybody's salt is made so: a name that has no verifier, or no account, looks like any other,
    at any time.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def salt(self, name: str) -> bytes:
        """Give a name's salt."""
        return self._octets("salt", name)[:SALT_OCTETS]

    def verifier(self, name: str) -> Verifier:
        """Give a verifier that no password fits."""
        return Verifier(
            self.salt(name),
            ITERATIONS,
            self._octets("stored key", name),
            self._octets("server key", name),
        )

    def _octets(self, purpose: str, name: str) -> bytes:
        return hmac.digest(self._key, f"{purpose}:{name}".encode(), HASH)
