"""The mechanisms of AUTH that the supervisor checks.

No hash, key or secret of the service crosses the seam: the worker passes the client's messages on.
"""

from __future__ import annotations

from pop3_service.pop3.sasl import bearer
from pop3_service.pop3.sasl.mechanisms import SCRAM, SCRAM_PLUS
from pop3_service.supervisor.authentication.apop import Apop
from pop3_service.supervisor.authentication.bearer_checks import BearerChecks
from pop3_service.supervisor.authentication.proof import Check, Claim, ReadClaim
from pop3_service.supervisor.authentication.scram import ScramDesk


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
