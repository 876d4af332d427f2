"""Password rules: what is taken, and how it is prepared before it is hashed or checked."""

from __future__ import annotations

import secrets

from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.saslprep import prepare

MAX_OCTETS = 1024
"""Longer passwords are refused when set, and wrong when checked."""
LEAST_APOP_OCTETS = 16
RANDOM_LENGTH = 20
"""Characters of a random password: 116 bits."""
_ALPHABET = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def prepare_password(raw: bytes) -> bytes:
    """Give the octets that are hashed: SASLprep of the text, or the raw octets where that fails."""
    try:
        return prepare(raw.decode()).encode()
    except ValueError:
        return raw


def check_new_password(raw: bytes) -> None:
    """Check a password that is to be set.

    Raises:
        InvalidArgument: it is empty, too long, or cannot be sent in a PASS command.
    """
    if not raw:
        raise InvalidArgument("a password cannot be empty")
    if len(raw) > MAX_OCTETS:
        raise InvalidArgument(f"a password has at most {MAX_OCTETS} octets")
    if any(octet in raw for octet in (b"\0", b"\r", b"\n")):
        raise InvalidArgument("a password cannot hold NUL, CR or LF")


def check_apop_secret(secret: bytes) -> None:
    """Check a secret for APOP, whose digest anybody may see who listens (RFC 1939 section 13).

    Raises:
        InvalidArgument: it is too short, or no password.
    """
    check_new_password(secret)
    if len(secret) < LEAST_APOP_OCTETS:
        raise InvalidArgument(f"a secret for APOP has at least {LEAST_APOP_OCTETS} octets")


def random_password() -> str:
    """Make a password that is easy to read aloud and hard to guess."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_LENGTH))
