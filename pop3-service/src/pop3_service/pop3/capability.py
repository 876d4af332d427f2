"""Capabilities (RFC 2449), computed from what is there, so that CAPA cannot lie."""

from __future__ import annotations

from dataclasses import dataclass

from pop3_service.domain.settings import Settings
from pop3_service.pop3.command import MAKERS
from pop3_service.pop3.sasl.mechanisms import MECHANISMS, Surroundings

BY_COMMAND = (b"USER", b"TOP", b"UIDL")
"""Capabilities that say that a command of their name is there (RFC 2449 section 6)."""

BEHAVIOURS = ("PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER")
"""What the server does: RFC 2449 sections 6.4, 6.5 and 6.7, RFC 3206 section 6."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client is offered, by where it is: CAPA's lines, and the mechanisms of AUTH."""

    capabilities: tuple[str, ...]
    mechanisms: tuple[str, ...]


def make_offer(implementation: str, here: Surroundings) -> Offer:
    """Give what is offered; ``implementation`` names product and version."""
    mechanisms = tuple(name for name, it in MECHANISMS.items() if it.is_offered(here))
    capabilities = (
        *(keyword.decode() for keyword in BY_COMMAND if keyword in MAKERS),
        *((f"SASL {' '.join(mechanisms)}",) if mechanisms else ()),
        *BEHAVIOURS,
        f"IMPLEMENTATION {implementation}",
    )
    return Offer(capabilities, mechanisms)


class Offers:
    """The offers under some settings, made once for all clients."""

    __slots__ = ("in_clear", "in_tls")

    def __init__(self, implementation: str, settings: Settings) -> None:
        self.in_tls = make_offer(implementation, Surroundings(settings, True, True))
        self.in_clear = make_offer(implementation, Surroundings(settings, False, True))
