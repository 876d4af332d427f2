"""An ability: one call of the contract, and how it is made by gRPC, by SCMP and by pop3ctl.

``tests/contract/abilities`` has one file a noun, each with its ``ABILITIES``; ``test_abilities.py``
makes each call in all three ways, in worlds that are equal, and compares what became of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.rights import V1, commands
from contract.world import Reply, World
from pop3_service.api.methods import ACCESS
from pop3_service.domain.rights import Right
from pop3mgmt.client import Caller
from pop3mgmt.reasons import Reason

COMMANDS = dict(commands())
"""Every command of pop3ctl under its words."""

Facts = dict[str, str]
"""What a world has that a call names, such as a message's unique id: ``{uidl}`` in a line."""


@dataclass(frozen=True)
class Answers:
    """What each way is told, in one form: the same if the three mean the same."""

    grpc: Callable[[Any], Any]
    scmp: Callable[[Reply], Any]
    pop3ctl: Callable[[Any], Any]


async def _nothing(world: World) -> Facts:
    return {}


def _no_files(folder: Path) -> None:
    return None


@dataclass(frozen=True)
class Ability:
    """One call, three ways."""

    rpc: str
    """``AccountsService/CreateAccount``."""
    grpc: Callable[[Caller, Facts], Awaitable[Any]]
    scmp: str
    """The line; empty for a call that is in ``contract.rights.WITHOUT_SCMP``."""
    pop3ctl: tuple[str, ...]
    """The words; ``--json`` is added."""
    answers: Answers | None = None
    """Needed where nothing changes: then this is all there is to compare."""
    passwords: Answers | None = None
    """A name and a password that each way tells: POP3 must take it."""
    prepare: Callable[[World], Awaitable[Facts]] = _nothing
    files: Callable[[Path], None] = _no_files
    """Makes what has to be in the folder before the service starts."""
    stdin: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    what: str = ""
    """Tells two abilities of one RPC from each other."""
    lines: bool = False
    """pop3ctl prints JSON lines."""
    kept: bool = False
    """It is about the login that pop3ctl keeps: one is made and kept first."""
    own: bool = False
    """It is about the account of ana, who makes it with the right "own" alone."""
    right: str = ""
    """What it needs, where its call may need one right or another."""
    given: frozenset[Right] = frozenset()
    """Rights that it hands out: who makes it must have them."""
    refused: Reason | None = Reason.PERMISSION_DENIED
    """What those are told who lack the right; None where they are told less instead."""

    @property
    def name(self) -> str:
        return f"{self.rpc} {self.what}".strip()

    @property
    def verb(self) -> str:
        return self.scmp.partition(" ")[0]

    @property
    def command(self) -> str:
        """The command's words, such as ``accounts add``."""
        one, two = self.pop3ctl[0], " ".join(self.pop3ctl[:2])
        return two if two in COMMANDS else one

    @property
    def alternatives(self) -> frozenset[Right]:
        """The rights any one of which opens the call."""
        return access_of(self.rpc)

    @property
    def needed(self) -> frozenset[Right]:
        """The right that it needs."""
        if self.right:
            return frozenset({Right(self.right)})
        if self.own:
            return frozenset({Right.OWN})
        return self.alternatives - {Right.OWN} or self.alternatives


def access_of(rpc: str) -> frozenset[Right]:
    """Give the rights any one of which opens a call."""
    return ACCESS[f"{V1}{rpc}"].rights
