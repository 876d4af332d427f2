"""AUTH of the stub: PLAIN, LOGIN and SCRAM-SHA-256, the server's side."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.stub.server import Stub, Wire

ITERATIONS = 4096


class Refused(Exception):
    """The exchange has failed; ``about_credentials`` says that they were wrong."""

    def __init__(self, told: str, *, about_credentials: bool = False) -> None:
        super().__init__(told)
        self.about_credentials = about_credentials


class Sasl:
    """One exchange."""

    def __init__(self, stub: Stub, wire: Wire) -> None:
        self.stub = stub
        self.wire = wire

    def log_in(self, words: list[str]) -> bool:
        """Go through it; True if the client is in.

        Raises:
            Refused: it did not come to its end.
        """
        ways: dict[str, Callable[[bytes | None], bool]] = {
            "PLAIN": self._plain,
            "LOGIN": self._login,
            "SCRAM-SHA-256": self._scram,
        }
        way = ways.get(words[0].upper())
        if way is None and self.stub.wrong("any mechanism begins"):
            way = self._plain
        if way is None or len(words) > 2:
            raise Refused("no such mechanism")
        if len(words) < 2:
            return way(None)
        if words[1] == "=" and not self.stub.wrong("= is no empty response"):
            return way(b"")
        return way(None if words[1] == "=" else self._decoded(words[1].encode()))

    def _ask(self, challenge: bytes = b"") -> bytes:
        blank = b"" if self.stub.wrong("challenges have no blank") else b" "
        self.wire.send(b"+" + blank + b64encode(challenge) + b"\r\n")
        line = self.wire.line()
        if line is None:
            raise OSError("gone")
        if line == b"*":
            if self.stub.wrong("* does not cancel"):
                return self._ask(challenge)
            raise Refused("cancelled")
        return self._decoded(line)

    def _decoded(self, octets: bytes) -> bytes:
        try:
            return b64decode(octets, validate=not self.stub.wrong("base64 is not checked"))
        except ValueError:
            if self.stub.wrong("base64 is not checked"):
                return b""
            raise Refused("that is no base64") from None

    def _is_right(self, name: bytes, password: bytes) -> bool:
        if self.stub.wrong("AUTH lets everybody in"):
            return True
        return (name, password) == (self.stub.user.encode(), self.stub.password.encode())

    def _plain(self, response: bytes | None) -> bool:
        words = (self._ask() if response is None else response).split(b"\0")
        if len(words) == 2 and self.stub.wrong("PLAIN needs one NUL"):
            words = [b"", *words]
        if len(words) != 3:
            raise Refused("that is no response of PLAIN")
        other, name, password = words
        if other and self.stub.wrong("PLAIN lets nobody in as herself"):
            raise Refused("no name but the user's")
        if other not in (b"", name) and not self.stub.wrong("PLAIN lets in as another"):
            raise Refused("not as somebody else", about_credentials=True)
        return self._is_right(name, password)

    def _login(self, response: bytes | None) -> bool:
        name = self._ask(b"Username:") if response is None else response
        return self._is_right(name, self._ask(b"Password:"))

    def _salt(self, name: str) -> bytes:
        if self.stub.wrong("nobody's salt changes") and name != self.stub.user:
            return secrets.token_bytes(16)
        return hmac.digest(b"key", name.encode(), "sha256")[:16]

    def _scram(self, response: bytes | None) -> bool:
        first = (self._ask() if response is None else response).decode("utf-8", "replace")
        if not first.startswith("n,,n="):
            raise Refused("that is no first message of SCRAM")
        bare = first[3:]
        fields = dict(it.split("=", 1) for it in bare.split(",") if "=" in it)
        name = fields["n"].replace("=2C", ",").replace("=3D", "=")
        nonce = fields.get("r", "") + secrets.token_hex(9)
        salt = self._salt(name)
        told = f"r={nonce},s={b64encode(salt).decode()},i={ITERATIONS}"
        final = self._ask(told.encode()).decode("utf-8", "replace")
        without, _, proof = final.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", self.stub.password.encode(), salt, ITERATIONS)
        key = hmac.digest(salted, b"Client Key", "sha256")
        signed = f"{bare},{told},{without}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        wanted = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        right = name == self.stub.user and hmac.compare_digest(
            self._decoded(proof.encode()), wanted
        )
        if not self.stub.wrong("SCRAM takes any nonce"):
            right = right and without == f"c=biws,r={nonce}"
        if self.stub.wrong("SCRAM lets everybody in"):
            right = True
        if not right:
            return False
        mine = hmac.digest(salted, b"Server Key", "sha256")
        if self.stub.wrong("SCRAM has no proof of the server's"):
            mine = b"x" * 32
        if self._ask(b"v=" + b64encode(hmac.digest(mine, signed, "sha256"))) != b"":
            raise Refused("nothing more is to be said")
        return True
