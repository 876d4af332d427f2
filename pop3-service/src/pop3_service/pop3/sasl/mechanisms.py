"""The mechanisms that there are, and where each is offered: CAPA, AUTH and its list read this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pop3_service.domain.settings import Settings
from pop3_service.pop3.sasl.exchange import NOTHING, Challenge, Exchange, Relayed
from pop3_service.pop3.sasl.login import ASK_NAME, Login
from pop3_service.pop3.sasl.plain import Plain


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides over what is offered to a client.

    ``plaintext`` says whether it may send what an eavesdropper could log in with.
    """

    settings: Settings
    in_tls: bool
    plaintext: bool


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


MECHANISMS: dict[str, Mechanism] = {
    "OAUTHBEARER": Mechanism(partial(Relayed, "OAUTHBEARER"), plaintext=True, offered=_with_tokens),
    "XOAUTH2": Mechanism(partial(Relayed, "XOAUTH2"), plaintext=True, offered=_with_tokens),
    "PLAIN": Mechanism(Plain, plaintext=True),
    "LOGIN": Mechanism(Login, ASK_NAME, plaintext=True),
}
"""In the order in which they are told, the best first. One that the supervisor checks begins with
``partial(Relayed, name)``, and has its line in ``supervisor.sasl`` too."""
