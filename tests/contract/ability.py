"""An ability: one call of the contract, and how it is made by gRPC, by SCMP and by pop3ctl.

``tests/contract/abilities`` has one file a noun, each with its ``ABILITIES``; ``test_abilities.py``
makes each call in all three ways, in worlds that are equal, and compares what became of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contract.service import ADMIN_PASSWORD
from contract.world import ANA, Reply, World
from pop3mgmt.client import Caller

Facts = dict[str, str]
"""What a world has that a call names, such as a message's unique id: ``{uidl}`` in a line."""


@dataclass(frozen=True)
class Answers:
    """What each way is told, in one form: the same if the three mean the same."""

    grpc: Callable[[Any], Any]
    scmp: Callable[[Reply], Any]
    pop3ctl: Callable[[Any], Any]


@dataclass(frozen=True)
class Person:
    """Who makes the calls."""

    name: str
    password: str


ADMIN = Person("default", ADMIN_PASSWORD)
USER = Person(ANA, "secret")


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
    """The line."""
    pop3ctl: tuple[str, ...]
    """The words; ``--json`` is added."""
    answers: Answers | None = None
    """Needed where nothing changes: then this is all there is to compare."""
    prepare: Callable[[World], Awaitable[Facts]] = _nothing
    files: Callable[[Path], None] = _no_files
    """Makes what has to be in the folder before the service starts."""
    stdin: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    by: Person = ADMIN
    what: str = ""
    """Tells two abilities of one RPC from each other."""

    @property
    def name(self) -> str:
        return f"{self.rpc} {self.what}".strip()
