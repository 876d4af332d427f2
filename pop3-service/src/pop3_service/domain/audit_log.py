"""What is asked of the audit, and what it answers: a filter, a head, a verification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Self

from pop3_service.domain.audit import OK, AuditEntry
from pop3_service.domain.errors import InvalidArgument

REFUSED = "refused"
"""As an outcome that is asked for: anything but ``ok``."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are meant; what is empty or 0 asks for nothing.

    Times are Unix times, ``since`` included and ``until`` not. ``action`` is how an action begins:
    ``login`` means ``login.pop3`` too. ``outcome`` is ``ok``, ``refused`` or a reason.
    """

    since_s: float = 0.0
    until_s: float = 0.0
    actor: str = ""
    action: str = ""
    target: str = ""
    outcome: str = ""
    address: str = ""

    def meets(self, entry: AuditEntry) -> bool:
        """Whether an entry is meant."""
        return (
            (not self.since_s or entry.time_s >= self.since_s)
            and (not self.until_s or entry.time_s < self.until_s)
            and self.actor in ("", entry.actor)
            and entry.action.startswith(self.action)
            and self.target in ("", entry.target)
            and self.address in ("", entry.address)
            and (
                self.outcome in ("", entry.outcome)
                or (self.outcome == REFUSED and entry.outcome != OK)
            )
        )


class AuditHead(NamedTuple):
    """The end of the chain: the number of its last batch, from 1 on, and that one's hash."""

    batch: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.batch}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a head as the log shows it.

        Raises:
            InvalidArgument: it is none.
        """
        number, _, digits = text.partition(":")
        try:
            octets = bytes.fromhex(digits)
        except ValueError:
            octets = b""
        if not (number.isascii() and number.isdigit() and len(number) < 19 and len(octets) == 32):
            raise InvalidArgument("a head is a batch's number, a colon and 64 hexadecimal digits")
        return cls(int(number), octets)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What retention has removed: all up to a batch, whose hash is what the next goes on from.

    ``next_sequence`` is the first entry that is left, ``removed`` counts the entries removed so
    far.
    """

    batch: int
    hash: bytes
    next_sequence: int
    removed: int
    time_s: float


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is not as it was written: in a batch, between two entries."""

    batch: int
    first_sequence: int
    last_sequence: int
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look at the whole chain found. It is whole where there is no ``damage``."""

    batches: int
    entries: int
    head: AuditHead
    checkpoint: Checkpoint | None
    damage: tuple[Damage, ...] = field(default=())
