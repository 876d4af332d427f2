"""Capabilities (RFC 2449), computed from what is there, so that CAPA cannot lie."""

from __future__ import annotations

from pop3_service.pop3.command import MAKERS

BY_COMMAND = (b"USER", b"TOP", b"UIDL")
"""Capabilities that say that a command of their name is there (RFC 2449 section 6)."""

BEHAVIOURS = ("PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER")
"""What the server does: RFC 2449 sections 6.4, 6.5 and 6.7, RFC 3206 section 6."""


def capabilities(implementation: str) -> list[str]:
    """Give CAPA's lines; ``implementation`` names product and version."""
    return [
        *(keyword.decode() for keyword in BY_COMMAND if keyword in MAKERS),
        *BEHAVIOURS,
        f"IMPLEMENTATION {implementation}",
    ]
