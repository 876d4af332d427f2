"""Whom a rule or a transform is about: everyone, those of a role, or one account."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from pop3_service.domain.errors import InvalidArgument


class Scope(StrEnum):
    """How many a subject is; what is later in this order is more specific."""

    EVERYONE = "everyone"
    ROLE = "role"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom something is about; ``name`` is empty for everyone."""

    scope: Scope = Scope.EVERYONE
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse a name where there is to be none, and none where there is to be one."""
        if (self.scope is Scope.EVERYONE) is bool(self.name):
            raise InvalidArgument("it is for everyone, or for a role or an account by its name")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``everyone``, ``role:<name>`` or ``account:<name>``.

        Raises:
            InvalidArgument: it is none of these.
        """
        scope, _, name = text.partition(":")
        if scope not in list(Scope):
            raise InvalidArgument("it is for everyone, role:<name> or account:<name>")
        return cls(Scope(scope), name)

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}" if self.name else str(self.scope)


EVERYONE = Subject()
