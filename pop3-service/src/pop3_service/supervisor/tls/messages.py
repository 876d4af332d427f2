"""What the supervisor asks of ``supervisor.x509``, and what that answers, as MessagePack."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from msgspec import Struct

from pop3_service.control.plane import CertificatePair


@dataclass(frozen=True, slots=True)
class PairOctets:
    """The content of a chain's file and of a key's file; one file may hold both."""

    chain: bytes
    key: bytes = field(repr=False)


class Read(Struct, frozen=True, tag=True):
    """Read pairs and check each."""

    pairs: list[PairOctets]


class Make(Struct, frozen=True, tag=True):
    """Make a key and a self-signed certificate for host names and addresses."""

    names: list[str]
    not_before: datetime
    not_after: datetime


Question = Read | Make


class Usable(Struct, frozen=True, tag=True):
    """A pair that can be used. Its PEM is the blocks alone, without what stood around them."""

    pair: CertificatePair
    not_before: datetime
    not_after: datetime
    issuer: str
    self_signed: bool
    fingerprint: str


class Unusable(Struct, frozen=True, tag=True):
    """A pair that cannot be used, and why."""

    text: str


class ReadAnswer(Struct, frozen=True, tag=True):
    """What was found in each pair, in order."""

    found: list[Usable | Unusable]


class MadeAnswer(Struct, frozen=True, tag=True):
    """What was made."""

    pair: PairOctets


Reply = ReadAnswer | MadeAnswer
