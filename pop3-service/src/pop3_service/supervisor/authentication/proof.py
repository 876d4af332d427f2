"""What a check of a login is: what a message claims, and what comes of looking at it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from pop3_service.control.plane import Admitted, Challenged, Evidence, Refused


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
