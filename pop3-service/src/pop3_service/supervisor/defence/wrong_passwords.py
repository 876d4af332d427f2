"""Wrong passwords seen lately: a mail client that keeps sending an old one has failed once.

Of each a keyed hash is kept; the key is made at the start and never leaves the process.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict

MAX_PAIRS = 20_000
"""Pairs of account and network remembered; of more, those that were longest silent go."""
EACH = 4
"""Passwords remembered of a pair: the last ones."""
_OCTETS = 8


class WrongPasswords:
    """The last wrong passwords of an account from a network."""

    def __init__(self, *, limit: int = MAX_PAIRS) -> None:
        self._limit = limit
        self._key = secrets.token_bytes(32)
        self._seen: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        """Pairs remembered."""
        return len(self._seen)

    def seen(self, account: str, network: str, password: bytes) -> bool:
        """Note a wrong password; give whether it is one of the last."""
        pair = self._hash(f"{account}\0{network}".encode("utf-8", "surrogatepass"))
        known, new = self._seen.pop(pair, b""), self._hash(pair + password)
        hashes = [known[at : at + _OCTETS] for at in range(0, len(known), _OCTETS)]
        again = new in hashes
        if again:
            hashes.remove(new)
        self._seen[pair] = b"".join([*hashes, new][-EACH:])
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)
        return again

    def _hash(self, octets: bytes) -> bytes:
        return hashlib.blake2b(octets, key=self._key, digest_size=_OCTETS).digest()
