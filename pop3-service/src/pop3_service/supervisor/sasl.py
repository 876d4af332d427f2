"""The mechanisms of AUTH that the supervisor checks: what a check is, and which there are.

No hash, key or secret of the service crosses the seam: the worker passes the client's messages on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pop3_service.control.plane import Admitted, Challenged, Evidence, Refused
from pop3_service.pop3.sasl.mechanisms import SCRAM, SCRAM_PLUS

if TYPE_CHECKING:
    from pop3_service.supervisor.apop import Apop
    from pop3_service.supervisor.bearer_checks import BearerChecks
    from pop3_service.supervisor.scram import ScramDesk


@dataclass(frozen=True, slots=True)
class WrongProof:
    """It was not right; ``name`` is who the client said it is, for the log.

    The client is told what it is told of a wrong password, after the throttle's delay; if there is
    a ``challenge``, it is told that first. ``why`` is for the log.
    """

    name: bytes
    challenge: bytes = b""
    why: str = ""


Check = Callable[[Evidence], Awaitable[Admitted | Refused | Challenged | WrongProof]]
"""Looks at one message. What fails raises a ServiceError; InvalidArgument is for a message that is
not one of the mechanism."""


def checks(scram: ScramDesk, bearer: BearerChecks, apop: Apop) -> dict[str, Check]:
    """Give the checks by mechanism; APOP is a command of its own, with the same kind of check."""
    return {
        SCRAM: scram.check,
        SCRAM_PLUS: scram.check,
        "OAUTHBEARER": bearer.oauthbearer,
        "XOAUTH2": bearer.xoauth2,
        "APOP": apop.check,
    }
