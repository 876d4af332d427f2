"""The chain: each batch of entries has a keyed hash over its rows and the hash before it.

Whoever changes the file without the key cannot make hashes that fit; whoever has the key can.
BLAKE2b with a key is a MAC (RFC 7693 section 2.9); ``person`` parts what it is used for.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pop3_service.domain.audit_log import AuditHead, Checkpoint

Row = tuple[int | str, ...]
"""An entry as it is stored, all columns: whole numbers and text."""
GENESIS = bytes(32)
"""What the first batch goes on from."""


class Batch(NamedTuple):
    """A batch as it is stored; ``time_us`` is when it was written, ``hash`` its link."""

    number: int
    first: int
    size: int
    time_us: int
    hash: bytes = b""


class Chain:
    """Makes the chain's hashes with a key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def link(self, previous: bytes, batch: Batch, rows: Sequence[Row]) -> bytes:
        """Give the hash of a batch; its own ``hash`` is not looked at."""
        head = struct.pack(">QqqQ", batch.number, batch.first, batch.size, batch.time_us)
        made = self._begin(b"audit batch")
        made.update(previous)
        made.update(head)
        made.update(msgspec.json.encode(rows))
        return made.digest()

    def of_checkpoint(self, it: Checkpoint) -> bytes:
        """Give what signs a checkpoint."""
        octets = struct.pack(
            ">QQQQ", it.batch, it.next_sequence, it.removed, round(it.time_s * 1_000_000)
        )
        return self._digest(b"audit chkpoint", octets + it.hash)

    def of_head(self, head: AuditHead) -> bytes:
        """Give what signs a head."""
        return self._digest(b"audit head", struct.pack(">Q", head.batch) + head.hash)

    def key_check(self) -> bytes:
        """Give what tells this key from others."""
        return self._digest(b"audit key", b"")

    def _digest(self, person: bytes, octets: bytes) -> bytes:
        made = self._begin(person)
        made.update(octets)
        return made.digest()

    def _begin(self, person: bytes) -> hashlib.blake2b:
        return hashlib.blake2b(key=self._key, digest_size=32, person=person)
