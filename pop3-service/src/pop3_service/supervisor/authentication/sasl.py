"""The mechanisms of AUTH that the supervisor checks: what a check is, and which there are.

No hash, key or secret of the service crosses the seam: the worker passes the client's messages on.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pop3_service.control.plane import Admitted, Challenged, Evidence, Refused
from pop3_service.pop3.sasl import bearer
from pop3_service.pop3.sasl.mechanisms import SCRAM, SCRAM_PLUS

if TYPE_CHECKING:
    from pop3_service.supervisor.authentication.apop import Apop
    from pop3_service.supervisor.authentication.bearer_checks import BearerChecks
    from pop3_service.supervisor.authentication.scram import ScramDesk


@dataclass(frozen=True, slots=True)
class WrongProof:
    """It was not right; ``name`` is who the client said it is, for the log.

    The client is told what it is told of a wrong password, after the throttle's delay; if there is
    a ``challenge``, it is told that first. ``why`` is for the log.
    """

    name: bytes
    challenge: bytes = b""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a message claims, before it is checked: whose account it is.

    ``decides`` says that its check tells whether a secret was right; ``secret`` is what would be
    sent again by who sends the same wrong one, if there is such a thing. ``in_turn`` says that the
    check takes no longer than a password's; one that may ask another server holds nobody up.
    """

    name: bytes = b""
    decides: bool = True
    in_turn: bool = True
    secret: bytes = field(default=b"", repr=False)


ReadClaim = Callable[[Evidence], Claim]
"""Reads what a message claims. Raises InvalidArgument: it is not one of the mechanism."""

CheckOutcome = Admitted | Refused | Challenged | WrongProof
Check = Callable[[Evidence], Coroutine[Any, Any, CheckOutcome]]
"""Looks at one message. What fails raises a ServiceError; InvalidArgument is for a message that is
not one of the mechanism."""


def checks(scram: ScramDesk, tokens: BearerChecks, apop: Apop) -> dict[str, Check]:
    """Give the checks by mechanism; APOP is a command of its own, with the same kind of check."""
    return {
        SCRAM: scram.check,
        SCRAM_PLUS: scram.check,
        "OAUTHBEARER": tokens.oauthbearer,
        "XOAUTH2": tokens.xoauth2,
        "APOP": apop.check,
    }


def claims(scram: ScramDesk) -> dict[str, ReadClaim]:
    """Give what reads claims, by mechanism; the same mechanisms as those of ``checks``."""
    return {
        SCRAM: scram.claim,
        SCRAM_PLUS: scram.claim,
        "OAUTHBEARER": lambda it: _claim_of_bearer(bearer.read_oauthbearer(it.response)),
        "XOAUTH2": lambda it: _claim_of_bearer(bearer.read_xoauth2(it.response)),
        "APOP": lambda it: Claim(it.response.rpartition(b" ")[0]),
    }


def _claim_of_bearer(given: bearer.Bearer) -> Claim:
    return Claim(given.name, in_turn=False, secret=given.token)
