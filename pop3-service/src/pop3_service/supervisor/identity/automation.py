"""Automation tokens: made, listed and revoked; whose call it is that brings one.

All of them are in memory, under their digests: every call with one asks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from lineproto.clock import Clock
from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.audit import describe, host_of
from pop3_service.domain.automation import (
    PREFIX,
    AutomationToken,
    digest_of,
    make_secret,
    parse_networks,
    parse_token_name,
)
from pop3_service.domain.errors import (
    InvalidArgument,
    InvalidCredentials,
    PermissionDenied,
    StoreUnavailable,
    TokenNotFound,
)
from pop3_service.domain.rights import Right
from pop3_service.storage.tokens import TokenStore
from pop3_service.supervisor.identity.roles import RolesDesk

LONGEST = timedelta(days=3650)
LAST_USE_EVERY = timedelta(minutes=1)
"""How often the last use of a token is noted."""
INVALID = "the token is not valid, or not any more"

log = structlog.get_logger()


class AutomationTokens:
    """The automation tokens, and their use cases."""

    def __init__(self, store: TokenStore, roles: RolesDesk, clock: Clock) -> None:
        self._store = store
        self._roles = roles
        self._clock = clock
        self._tokens: dict[bytes, AutomationToken] = {}

    async def load(self) -> None:
        """Read the tokens that are stored."""
        self._tokens = {token.digest: token for token in await self._store.all()}

    @staticmethod
    def is_meant(text: str) -> bool:
        """Whether a text is an automation token's, and not a login's."""
        return text.startswith(PREFIX)

    def all(self) -> list[AutomationToken]:
        """Give the tokens, in order of name."""
        return sorted(self._tokens.values(), key=lambda token: token.name)

    def principal(self, text: str) -> Principal:
        """Give whose token it is, with its role's rights of this moment; none is its own.

        Raises:
            InvalidCredentials: it is unknown, revoked or expired.
        """
        token = self._find(text)
        rights = self._roles.rights(token.role) - {Right.OWN}
        # No account can have a name with a slash in it.
        name = AccountName(f"token/{token.name}")
        return Principal(name, token.role, rights, token_name=token.name)

    async def use(self, text: str, address: str) -> None:
        """Note when and from where a token was used, at most once a minute.

        ``address`` is where the caller is, with its port. Outside its networks a token is unknown.

        Raises:
            InvalidCredentials: it is unknown, revoked, expired, or used from elsewhere.
        """
        token, now = self._find(text), self._clock.now()
        if not token.may_be_used_from(host_of(address)):
            log.warning("token refused", token=token.name, peer=address, reason="network")
            raise InvalidCredentials(INVALID)
        if token.last_use_time and now - token.last_use_time < LAST_USE_EVERY:
            return
        used = replace(token, last_use_time=now, last_use_address=host_of(address))
        self._tokens[token.digest] = used
        with contextlib.suppress(StoreUnavailable):  # the call itself says so, if it needs it
            await self._store.set_last_use(used)

    async def create(
        self, name: str, role: str, networks: Sequence[str], lifetime: timedelta, by: Principal
    ) -> tuple[str, AutomationToken]:
        """Make a token; give its text, which is kept nowhere, and what is known of it.

        Raises:
            InvalidArgument, PermissionDenied, RoleNotFound, TokenExists
        """
        describe(target=name)
        if by.token_name:
            raise PermissionDenied("an automation token makes no other")
        if not timedelta() <= lifetime <= LONGEST:
            raise InvalidArgument("a token lives ten years at most; 0 means until it is revoked")
        self._check_role(role, by)
        text, now = make_secret(), self._clock.now()
        token = AutomationToken(
            name=parse_token_name(name),
            digest=digest_of(text),
            role=role,
            networks=parse_networks(networks),
            created_by=by.name,
            create_time=now,
            expire_time=now + lifetime if lifetime else None,
        )
        async with self._roles.changing:  # the role may be another one than it was
            self._check_role(role, by)
            await self._store.insert(token)
            self._tokens[token.digest] = token
        describe(after=_facts(token))
        log.info("token created", name=name, role=role, by=by.name)
        return text, token

    def _check_role(self, role: str, by: Principal) -> None:
        rights = self._roles.get(role).rights - {Right.OWN}
        if not rights:
            raise InvalidArgument(f"role {role!r} has no right that an automation token can have")
        by.require_all(rights, "making this token")

    async def revoke(self, name: str, by: Principal) -> None:
        """End a token: from the next call on, and within a second on open streams.

        Raises:
            PermissionDenied, TokenNotFound
        """
        describe(target=name)
        token = next((it for it in self._tokens.values() if it.name == name), None)
        if token is None:
            raise TokenNotFound(name)
        describe(before=_facts(token))
        by.require_all(self._roles.rights(token.role) - {Right.OWN}, "revoking this token")
        self._tokens.pop(token.digest)
        try:
            await self._store.delete(name)
        except StoreUnavailable:
            self._tokens[token.digest] = token  # what is stored would be back at the next start
            raise
        log.info("token revoked", name=name, by=by.name)

    def expire_time(self, text: str) -> datetime | None:
        """Give when a token ends; None if it does not.

        Raises:
            InvalidCredentials: it is unknown, revoked or expired.
        """
        return self._find(text).expire_time

    def _find(self, text: str) -> AutomationToken:
        token = self._tokens.get(digest_of(text))
        if token is None or token.has_expired(self._clock.now()):
            raise InvalidCredentials(INVALID)
        return token


def _facts(token: AutomationToken) -> dict[str, object]:
    expire_time = token.expire_time
    return {
        "role": token.role,
        "networks": list(token.networks),
        "expire_time": expire_time.isoformat() if expire_time else None,
    }
