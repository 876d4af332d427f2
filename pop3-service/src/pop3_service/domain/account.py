"""Accounts: their names, roles and what is known of them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from pop3_service.domain.errors import InvalidArgument, PermissionDenied
from pop3_service.domain.preferences import NO_PREFERENCES, Preferences
from pop3_service.domain.rights import BUILT_IN, Right, RoleName
from pop3_service.domain.saslprep import prepare

NAME_MAX_OCTETS = 255
"""The longest file name (POSIX NAME_MAX); a name becomes a folder."""
LONGEST_TEXT = 4 * NAME_MAX_OCTETS
"""Octets of a name as it is given, and characters of it once it is normalised; preparing may leave
some out."""


def is_too_long(text: str) -> bool:
    """Whether a text is longer than any way to write a name; then it is not to be prepared.

    Preparing takes time for each character, and one character may become 18.
    """
    if len(text) > LONGEST_TEXT or text.isascii():
        return len(text) > LONGEST_TEXT
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_TEXT:
        return True
    return len(unicodedata.normalize("NFKC", text)) > LONGEST_TEXT


class AccountName(str):
    """A name that is safe as one component of a path.

    It holds no ``/``, NUL, blank or control character and does not begin with a dot.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Prepare (SASLprep, RFC 4013) and check a name.

        Raises:
            InvalidArgument: it is empty, too long, or holds what a name cannot.
        """
        too_long = f"an account name has at most {NAME_MAX_OCTETS} octets"
        if is_too_long(text):
            raise InvalidArgument(too_long)
        try:
            name = prepare(text)
        except ValueError as error:
            raise InvalidArgument(f"not an account name: {error}") from None
        if not name:
            raise InvalidArgument("an account name cannot be empty")
        if len(name.encode()) > NAME_MAX_OCTETS:
            raise InvalidArgument(too_long)
        if name.startswith("."):
            raise InvalidArgument("an account name cannot begin with a dot")
        if "/" in name:
            raise InvalidArgument("an account name cannot hold a /")
        if any(c.isspace() or not c.isprintable() for c in name):
            raise InvalidArgument("an account name cannot hold blanks or control characters")
        return cls(name)

    @classmethod
    def meant(cls, text: str) -> Self:
        """Prepare a name to look for; one that no account can have stays as it is."""
        try:
            return cls.parse(text)
        except InvalidArgument:
            return cls(text)


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What a worker has to know of an account that has logged in."""

    role: str = RoleName.USER.value
    preferences: Preferences = NO_PREFERENCES
    password_time_s: float = field(default=0.0, compare=False)
    """When its own password was set, as Unix time; 0 if that is not known."""


USER_FACTS = AccountFacts()
"""Those of an account of which nothing is out of the ordinary."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it is stored; ``role`` is the name of one."""

    name: AccountName
    role: str
    password_hash: str = field(repr=False)
    create_time: datetime
    has_default_password: bool = False
    has_apop_secret: bool = False
    preferences: Preferences = NO_PREFERENCES
    must_change_password: bool = False
    password_time: datetime | None = None

    @property
    def password_since(self) -> datetime:
        """When the password was set: with the account, unless it is known better."""
        return self.password_time or self.create_time

    @property
    def facts(self) -> AccountFacts:
        """What a worker has to know of it."""
        return AccountFacts(str(self.role), self.preferences, self.password_since.timestamp())


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a management call.

    ``rights`` are those of the role at the time of the call, ``address`` is where the caller is,
    with its port, and ``token_name`` names the automation token, which has no account.
    """

    name: AccountName
    role: str
    rights: frozenset[Right] = frozenset()
    address: str = ""
    token_name: str = ""
    is_restricted: bool = False
    """The password must be changed before anything else; until then there are no rights."""

    @classmethod
    def system(cls, name: str) -> Self:
        """The service itself, at its start or by its own clock, under the name it is logged as."""
        return cls(AccountName(name), RoleName.ADMIN.value, BUILT_IN[RoleName.ADMIN].rights)

    def may(self, right: Right) -> bool:
        """Whether the caller has a right."""
        return right in self.rights

    def lacks(self, rights: frozenset[Right]) -> frozenset[Right]:
        """Give those rights that the caller lacks.

        An automation token has no account, so ``OWN`` is none that it could lack.
        """
        return rights - self.rights - ({Right.OWN} if self.token_name else frozenset())

    def require_all(self, rights: frozenset[Right], doing: str) -> None:
        """Let nobody give or govern rights that he lacks.

        Raises:
            PermissionDenied: one of the rights is not the caller's.
        """
        if lacking := sorted(self.lacks(rights)):
            raise PermissionDenied(f"{doing} needs rights that you lack: {', '.join(lacking)}")
