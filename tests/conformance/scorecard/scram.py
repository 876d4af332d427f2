"""The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), out of hashlib and hmac."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode

from conformance.scorecard.rules import demand


class ScramClient:
    """One exchange. Names and passwords are taken as they are; checks use plain ones."""

    def __init__(self, user: str, password: str, *, spoil_nonce: bool = False) -> None:
        self.verified = False
        self.salt = b""
        self._password = password.encode()
        self._nonce = secrets.token_urlsafe(18).replace("-", "x")
        self._spoil = "x" if spoil_nonce else ""
        name = user.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={self._nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """The client's first message, without channel binding."""
        return b"n,," + self._bare.encode()

    def final(self, server_first: bytes) -> bytes:
        """Answer the server's first message with the proof.

        Raises:
            Broken: the server's message is not as RFC 5802 section 7 has it.
        """
        fields = dict(it.split("=", 1) for it in server_first.decode().split(",") if "=" in it)
        demand({"r", "s", "i"} <= fields.keys(), "the server's first message lacks r, s or i")
        demand(fields["r"].startswith(self._nonce), "the nonce does not begin with the client's")
        demand(len(fields["r"]) > len(self._nonce), "the server adds nothing to the nonce")
        demand(int(fields["i"]) >= 4096, "there are fewer than 4,096 iterations")
        self.salt = b64decode(fields["s"], validate=True)
        without = f"c=biws,r={fields['r']}{self._spoil}"
        signed = ",".join((self._bare, server_first.decode(), without)).encode()
        salted = hashlib.pbkdf2_hmac("sha256", self._password, self.salt, int(fields["i"]))
        key = _mac(salted, b"Client Key")
        signature = _mac(hashlib.sha256(key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self._signature = _mac(_mac(salted, b"Server Key"), signed)
        return f"{without},p={b64encode(proof).decode()}".encode()

    def verify(self, server_final: bytes) -> None:
        """Check the server's proof; an error of the server's is none.

        Raises:
            Broken: it is wrong.
        """
        if server_final.startswith(b"e="):
            return
        demand(server_final == b"v=" + b64encode(self._signature), "the server's proof is wrong")
        self.verified = True


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.digest(key, text, "sha256")
