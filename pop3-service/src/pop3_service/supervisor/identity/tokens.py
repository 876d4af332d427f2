"""Management logins: a token for a name and a password, kept in memory as its hash."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from lineproto.clock import Clock
from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.errors import InvalidCredentials
from pop3_service.domain.rights import Right
from pop3_service.supervisor.identity.automation import AutomationTokens

LIFETIME = timedelta(hours=1)
LONGEST = timedelta(hours=24)
"""A token cannot be renewed past this age."""
MAX_PER_ACCOUNT = 100
"""Tokens of one account; one more ends its oldest."""


@dataclass(frozen=True, slots=True)
class _Login:
    principal: Principal
    begin_time: datetime
    expire_time: datetime


class Tokens:
    """All management logins that live."""

    def __init__(
        self,
        clock: Clock,
        rights: Callable[[str], frozenset[Right]],
        automation: AutomationTokens,
    ) -> None:
        """``rights`` gives those of a role as they are now."""
        self.automation = automation
        self._clock = clock
        self._rights = rights
        self._logins: dict[bytes, _Login] = {}

    def issue(self, principal: Principal) -> tuple[str, datetime]:
        """Open a login; give its token and when that ends."""
        now = self._clock.now()
        self._logins = {key: it for key, it in self._logins.items() if it.expire_time > now}
        own = [key for key, it in self._logins.items() if it.principal.name == principal.name]
        if len(own) >= MAX_PER_ACCOUNT:
            del self._logins[own[0]]
        token = secrets.token_urlsafe(32)
        self._logins[_key(token)] = _Login(principal, now, now + LIFETIME)
        return token, now + LIFETIME

    def principal(self, token: str) -> Principal:
        """Give whose token it is, with the rights of this moment.

        Raises:
            InvalidCredentials: it is unknown, ended or expired.
        """
        if self.automation.is_meant(token):
            return self.automation.principal(token)
        principal = self._find(token).principal
        rights = frozenset() if principal.is_restricted else self._rights(principal.role)
        return replace(principal, rights=rights)

    def expire_time(self, token: str) -> datetime | None:
        """Give when a token ends; None if it is an automation token that does not.

        Raises:
            InvalidCredentials: it is unknown, ended or expired.
        """
        if self.automation.is_meant(token):
            return self.automation.expire_time(token)
        return self._find(token).expire_time

    def renew(self, token: str) -> datetime:
        """Move a token's end and give it.

        Raises:
            InvalidCredentials: it is unknown, ended or expired.
        """
        login = self._find(token)
        expire_time = min(self._clock.now() + LIFETIME, login.begin_time + LONGEST)
        self._logins[_key(token)] = replace(login, expire_time=expire_time)
        return expire_time

    def set_role(self, name: AccountName, role: str) -> None:
        """Note an account's new role: its tokens live on, with other rights."""
        self._logins = {
            key: replace(it, principal=replace(it.principal, role=role))
            if it.principal.name == name
            else it
            for key, it in self._logins.items()
        }

    def unrestrict(self, token: str) -> None:
        """Note that the password was changed with a token, which may have ended meanwhile."""
        login = self._logins.get(_key(token))
        if login is not None:
            principal = replace(login.principal, is_restricted=False)
            self._logins[_key(token)] = replace(login, principal=principal)

    def end(self, token: str) -> None:
        """End a token."""
        self._logins.pop(_key(token), None)

    def end_account(self, name: AccountName, *, keep: str = "") -> None:
        """End all tokens of an account, but one if it is named."""
        kept = _key(keep)
        self._logins = {
            key: it for key, it in self._logins.items() if it.principal.name != name or key == kept
        }

    def end_all(self) -> None:
        """End all tokens."""
        self._logins.clear()

    def _find(self, token: str) -> _Login:
        login = self._logins.get(_key(token))
        if login is None or login.expire_time <= self._clock.now():
            raise InvalidCredentials("the login has ended; log in again")
        return login


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
