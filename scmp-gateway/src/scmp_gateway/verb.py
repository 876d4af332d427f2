"""What a verb of SCMP is: usage, who may use it, what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum

from lineproto.reply import Reply
from pop3mgmt.client import Caller
from pop3mgmt.v1.accounts_pb2 import ROLE_ADMIN
from scmp_gateway.command import Line


class Role(IntEnum):
    """Who may use a verb; each may what the ones before may."""

    ANYONE = 0
    USER = 1
    ADMIN = 2


Handler = Callable[[Caller, Line], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. ``handler`` is None where the dialogue answers; ``most`` None means any number."""

    usage: str
    role: Role
    help: str
    handler: Handler | None = None
    least: int = 0
    most: int | None = 0

    def fits(self, words: int) -> bool:
        """Whether so many arguments are right."""
        return words >= self.least and (self.most is None or words <= self.most)


def role_of(caller: Caller | None) -> Role:
    """Give the role of whoever is logged in."""
    if caller is None:
        return Role.ANYONE
    return Role.ADMIN if caller.account.role == ROLE_ADMIN else Role.USER
