"""Automation tokens: a role for a program, without an account and without a password."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lineproto.networks import Networks, plain_network
from pop3_service.domain.errors import InvalidArgument

PREFIX = "valija_"
"""What every token begins with, so that one that got into the open is recognised."""
SECRET_OCTETS = 32
MAX_NETWORKS = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class AutomationToken:
    """A token as it is stored: its SHA-256, and what is known of it.

    ``networks`` are those it may be used from, all of them if there is none. ``expire_time`` is
    None for one that never ends.
    """

    name: str
    digest: bytes = field(repr=False)
    role: str
    networks: tuple[str, ...]
    created_by: str
    create_time: datetime
    expire_time: datetime | None = None
    last_use_time: datetime | None = None
    last_use_address: str = ""

    def may_be_used_from(self, host: str) -> bool:
        """Whether the address is in one of its networks."""
        return not self.networks or host in Networks(self.networks)

    def has_expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expire_time is not None and self.expire_time <= now


def make_secret() -> str:
    """Make the text of a token: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(SECRET_OCTETS)


def digest_of(text: str) -> bytes:
    """Give what is stored of a token. 256 random bits need neither salt nor a slow hash."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def parse_token_name(text: str) -> str:
    """Check a token's name.

    Raises:
        InvalidArgument: it is not 1 to 64 of ``A-Z a-z 0-9 . _ -``, the first no mark.
    """
    if not _NAME.fullmatch(text):
        raise InvalidArgument(
            "a token's name is 1 to 64 letters, digits, dots, hyphens and underscores"
        )
    return text


def parse_networks(texts: Sequence[str]) -> tuple[str, ...]:
    """Read networks such as ``192.0.2.0/24`` or single addresses; give them in one form.

    Raises:
        InvalidArgument: one of them is none, or they are too many.
    """
    if len(texts) > MAX_NETWORKS:
        raise InvalidArgument(f"a token has at most {MAX_NETWORKS} networks")
    try:
        return tuple(str(plain_network(text)) for text in texts)
    except ValueError as error:
        raise InvalidArgument(f"not a network: {error}") from None
