"""Who may come from where: address rules, bans of networks and suspensions of accounts.

A rule allows or denies a network to a subject: an account, a role or everyone. The subject that is
most specific decides first, and within it the longest prefix; an allow and a deny of the same
network and subject deny. Where no rule matches, the client may come in. A ban or a suspension goes
before all rules. To let a subject in from some networks alone: allow these, and deny ``0.0.0.0/0``
and ``::/0``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from lineproto.networks import plain_network
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.subject import EVERYONE, Subject

MAX_RULES = 10_000
MAX_BANS = 10_000
MAX_TEXT = 500
"""Characters of a note or of a reason."""


class Effect(StrEnum):
    """What a rule does."""

    ALLOW = "allow"
    DENY = "deny"


class Service(StrEnum):
    """What a client comes for, or what a rule is about."""

    POP3 = "pop3"
    MANAGEMENT = "management"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class AddressRule:
    """A rule as it is stored; times are seconds (Unix)."""

    id: int
    effect: Effect
    network: str
    subject: Subject = EVERYONE
    service: Service = Service.BOTH
    note: str = ""
    set_by: str = ""
    set_time_s: float = 0.0

    def __str__(self) -> str:
        name = f"rule {self.id}" if self.id else "this rule"
        return f"{name}: {self.effect} {self.network} for {self.subject}"


@dataclass(frozen=True, slots=True)
class Ban:
    """A network that may not come in at all; ``end_time_s`` (Unix) None means for ever."""

    network: str
    reason: str = ""
    end_time_s: float | None = None
    set_by: str = ""
    set_time_s: float = 0.0

    def __str__(self) -> str:
        return f"ban of {self.network}"


@dataclass(frozen=True, slots=True)
class Suspension:
    """An account that may not log in; ``end_time_s`` (Unix) None means until it is resumed."""

    account: str
    reason: str = ""
    end_time_s: float | None = None
    set_by: str = ""
    set_time_s: float = 0.0

    def __str__(self) -> str:
        return f"suspension of {self.account}"


@dataclass(frozen=True, slots=True)
class AccessTable:
    """All rules, bans and suspensions: what is stored, and what workers are told."""

    rules: tuple[AddressRule, ...] = ()
    bans: tuple[Ban, ...] = ()
    suspensions: tuple[Suspension, ...] = ()

    def next_end_s(self) -> float | None:
        """When the next ban or suspension ends (Unix); None if none does."""
        ends = [it.end_time_s for it in self.bans] + [it.end_time_s for it in self.suspensions]
        return min((it for it in ends if it is not None), default=None)


def parse_network(text: str) -> str:
    """Read a network or a single address; give it as it is stored.

    An IPv4-mapped IPv6 network is the IPv4 one.

    Raises:
        InvalidArgument: it is none, or has bits set behind its prefix.
    """
    try:
        return str(plain_network(text))
    except ValueError as error:
        raise InvalidArgument(f"not a network: {error}") from None


def check_text(text: str) -> str:
    """Give a note or a reason without blanks around it.

    Raises:
        InvalidArgument: it is too long, or holds control characters.
    """
    text = text.strip()
    if len(text) > MAX_TEXT:
        raise InvalidArgument(f"a note or a reason has at most {MAX_TEXT} characters")
    if not text.isprintable():
        raise InvalidArgument("a note or a reason cannot hold control characters")
    return text
