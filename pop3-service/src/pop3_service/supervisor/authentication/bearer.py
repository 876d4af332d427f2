"""Bearer tokens: JSON Web Tokens of one issuer become accounts (RFC 6750, RFC 7628).

A token is checked anew at each login and never remembered: that costs no hash, and so no login
outlives its token, a key that was withdrawn, or a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lineproto.clock import Clock
from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import InvalidArgument, InvalidToken, UnknownTokenKey
from pop3_service.domain.settings import Settings
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.authentication.token_keys import Keys, TokenKeys


class BearerTokens:
    """Checks tokens, by the settings of now."""

    def __init__(
        self,
        keys: TokenKeys,
        accounts: AccountStore,
        settings: Callable[[], Settings],
        clock: Clock,
    ) -> None:
        self._keys = keys
        self._accounts = accounts
        self._settings = settings
        self._clock = clock

    async def verify(self, token: bytes, meant: bytes = b"") -> Account:
        """Give the account that a token is for; if one is meant, it must be that.

        Raises:
            InvalidToken: the token is not valid here, or there is no such account.
            ServiceUnavailable: no keys could be read yet.
            StoreUnavailable: the accounts cannot be read.
        """
        settings = self._settings()
        if not settings.takes_bearer_tokens:
            raise InvalidToken("tokens are off")
        claims = await self._claims(token, settings)
        missing = set(settings.oauth_scope.split()) - _scopes(claims)
        if missing:
            raise InvalidToken(f"it lacks the scope {' '.join(sorted(missing))}")
        name = _account_name(claims, settings.oauth_account_claim)
        if meant and _name(meant.decode("utf-8", "replace")) != name:
            raise InvalidToken("it is not for the account that is asked for")
        account = await self._accounts.get(name)
        if account is None:
            raise InvalidToken("there is no account of its name")
        return account

    async def _claims(self, token: bytes, settings: Settings) -> Mapping[str, Any]:
        try:
            text = token.decode("ascii")
        except UnicodeDecodeError:
            raise InvalidToken("it is no JSON Web Token") from None
        keys = await self._keys.held()
        try:
            return self._checked(text, keys, settings)
        except UnknownTokenKey:
            newer = await self._keys.newer(keys)
            if newer is keys:
                raise
        return self._checked(text, newer, settings)

    def _checked(self, token: str, keys: Keys, settings: Settings) -> Mapping[str, Any]:
        # Imported already: by who read the keys.
        from pop3_service.supervisor.authentication import jose

        rules = jose.Rules(
            settings.oauth_issuer, settings.oauth_audience, self._clock.now().timestamp()
        )
        return jose.verify(token, keys, rules)


def _scopes(claims: Mapping[str, Any]) -> set[str]:
    """Give the scopes: a text (RFC 8693 section 4.2), or a list, as some issuers write it."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value = claims.get(name, "")
        words = value.split() if isinstance(value, str) else value
        if isinstance(words, list):
            found.update(word for word in words if isinstance(word, str))
    return found


def _account_name(claims: Mapping[str, Any], claim: str) -> AccountName:
    value = claims.get(claim)
    if not isinstance(value, str):
        raise InvalidToken(f"it has no {claim}")
    if claim == "email" and claims.get("email_verified", True) is not True:
        raise InvalidToken("its email is not verified")
    return _name(value)


def _name(text: str) -> AccountName:
    try:
        return AccountName.parse(text)
    except InvalidArgument:
        raise InvalidToken("what it names is no account name") from None
