"""The mechanisms that there are, and where each is offered: CAPA, AUTH and its list read this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pop3_service.domain.settings import Settings
from pop3_service.pop3.sasl.exchange import NOTHING, Challenge, Exchange, Relayed
from pop3_service.pop3.sasl.login import ASK_NAME, Login
from pop3_service.pop3.sasl.plain import Plain

SCRAM = "SCRAM-SHA-256"
SCRAM_PLUS = "SCRAM-SHA-256-PLUS"
"""RFC 7677."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides over what is offered to a client.

    ``plaintext`` says whether it may send what an eavesdropper could log in with, ``binds`` whether
    the TLS connection has something to bind to (RFC 5929).
    """

    settings: Settings
    in_tls: bool
    plaintext: bool
    binds: bool = False


def _always(_: Surroundings) -> bool:
    return True


def _with_tokens(here: Surroundings) -> bool:
    return here.settings.takes_bearer_tokens


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A mechanism: how an exchange begins, and where it is offered.

    ``asks`` is what is sent when AUTH came without an initial response; ``plaintext`` says that
    who overhears the exchange can log in.
    """

    begin: Callable[[], Exchange]
    asks: Challenge = NOTHING
    plaintext: bool = False
    offered: Callable[[Surroundings], bool] = _always

    def is_offered(self, here: Surroundings) -> bool:
        """Whether it is offered here."""
        return (here.plaintext or not self.plaintext) and self.offered(here)


def _scram(here: Surroundings) -> bool:
    return here.settings.scram


def _scram_plus(here: Surroundings) -> bool:
    return here.settings.scram and here.in_tls and here.binds


MECHANISMS: dict[str, Mechanism] = {
    SCRAM_PLUS: Mechanism(partial(Relayed, SCRAM_PLUS), offered=_scram_plus),
    SCRAM: Mechanism(partial(Relayed, SCRAM), offered=_scram),
    "OAUTHBEARER": Mechanism(partial(Relayed, "OAUTHBEARER"), plaintext=True, offered=_with_tokens),
    "XOAUTH2": Mechanism(partial(Relayed, "XOAUTH2"), plaintext=True, offered=_with_tokens),
    "PLAIN": Mechanism(Plain, plaintext=True),
    "LOGIN": Mechanism(Login, ASK_NAME, plaintext=True),
}
"""In the order in which they are told, the best first. One that the supervisor checks begins with
``partial(Relayed, name)``, and has its line in ``supervisor.sasl`` too."""
