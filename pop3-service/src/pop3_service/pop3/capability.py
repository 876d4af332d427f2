"""Capabilities (RFC 2449), computed from what is there, so that CAPA cannot lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pop3_service.domain.settings import Settings
from pop3_service.pop3.command import BEFORE_LOGIN, MAKERS, Command, Pass, User
from pop3_service.pop3.sasl.mechanisms import MECHANISMS, SCRAM_PLUS, Surroundings

BY_COMMAND = (b"USER", b"TOP", b"UIDL")
"""Capabilities that say that a command of their name is there (RFC 2449 section 6)."""


EXPIRE = "EXPIRE "


def expiry(days: int, least_days: int = 0) -> str:
    """Give EXPIRE (RFC 2449 section 6.7) for a retention of ``days``, 0 for ever.

    ``least_days`` is the shortest that an account has of its own, 0 if none has, where the client
    is not known yet: it is told the least that it may be, and that it depends on who it is.
    """
    if least_days and not 0 < days <= least_days:
        return f"{EXPIRE}{least_days} USER"
    return f"{EXPIRE}{days or 'NEVER'}"


def behaviours(settings: Settings, least_retention_days: int = 0) -> tuple[str, ...]:
    """Give what the server does: RFC 2449 sections 6.4 to 6.7, RFC 3206 section 6, RFC 6856."""
    delay_s = math.ceil(settings.login_delay_s)
    return (
        *((f"LOGIN-DELAY {delay_s}",) if delay_s else ()),
        "PIPELINING",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        expiry(settings.expire_days, least_retention_days),
        "UTF8 USER",
        "LANG",
    )


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client is offered, by where it is.

    ``commands`` are those of AUTHORIZATION state, ``mechanisms`` those of AUTH; ``plaintext`` says
    whether a password may be sent, ``binds`` whether binding to the TLS connection is offered.
    ``expire_days`` is the setting of that name.
    """

    capabilities: tuple[str, ...]
    mechanisms: tuple[str, ...]
    commands: frozenset[type[Command]]
    plaintext: bool
    binds: bool = False
    expire_days: int = 0

    def after_login(self, retention_days: int) -> tuple[str, ...]:
        """Give the capabilities for an account with a retention of its own, 0 for none."""
        days = min(filter(None, (retention_days, self.expire_days)), default=0)
        return tuple(expiry(days) if it.startswith(EXPIRE) else it for it in self.capabilities)


def make_offer(implementation: str, here: Surroundings, least_retention_days: int = 0) -> Offer:
    """Give what is offered; ``implementation`` names product and version."""
    mechanisms = tuple(name for name, it in MECHANISMS.items() if it.is_offered(here))
    capabilities = (
        *(
            keyword.decode()
            for keyword in BY_COMMAND
            if keyword in MAKERS and (here.plaintext or keyword != b"USER")
        ),
        *((f"SASL {' '.join(mechanisms)}",) if mechanisms else ()),
        *behaviours(here.settings, least_retention_days),
        f"IMPLEMENTATION {implementation}",
    )
    commands = BEFORE_LOGIN if here.plaintext else BEFORE_LOGIN - {User, Pass}
    return Offer(
        capabilities,
        mechanisms,
        commands,
        here.plaintext,
        SCRAM_PLUS in mechanisms,
        here.settings.expire_days,
    )


class Offers:
    """The offers under some settings, made once for all clients.

    ``unheard`` is for those whom nobody can overhear, though they are not in TLS with us;
    ``policy`` says whether staying within this host is enough for that. ``binds`` is for the
    certificates in force: a client that could bind and is told that it cannot would be right to
    think of an attack (RFC 5802 section 6), so all of them have something to bind to, or none is
    said to. ``least_retention_days`` is the shortest retention that an account has of its own.
    """

    __slots__ = ("in_clear", "in_tls", "policy", "unheard")

    def __init__(
        self,
        implementation: str,
        settings: Settings,
        *,
        binds: bool = False,
        least_retention_days: int = 0,
    ) -> None:
        def offer(*, in_tls: bool, plaintext: bool) -> Offer:
            here = Surroundings(settings, in_tls, plaintext, binds)
            return make_offer(implementation, here, least_retention_days)

        self.policy = settings.plaintext_login
        self.in_tls = offer(in_tls=True, plaintext=True)
        self.unheard = offer(in_tls=False, plaintext=True)
        self.in_clear = offer(in_tls=False, plaintext=self.policy == "allow")
