"""OAUTHBEARER and XOAUTH2, checked: a client's message becomes an account, or what is wrong."""

from __future__ import annotations

from collections.abc import Callable

from pop3_service.control.plane import Admitted, Evidence
from pop3_service.domain.errors import InvalidToken
from pop3_service.domain.settings import Settings
from pop3_service.pop3.sasl import bearer
from pop3_service.supervisor.authentication.bearer import BearerTokens
from pop3_service.supervisor.authentication.proof import WrongProof


class BearerChecks:
    """The checks of both mechanisms. Both refuse by a challenge, which the client answers."""

    def __init__(self, tokens: BearerTokens, settings: Callable[[], Settings]) -> None:
        self._tokens = tokens
        self._settings = settings

    async def oauthbearer(self, evidence: Evidence) -> Admitted | WrongProof:
        """Look at a message of OAUTHBEARER."""
        settings = self._settings()
        failure = bearer.oauthbearer_failure(
            settings.oauth_scope, settings.oauth_openid_configuration
        )
        return await self._check(bearer.read_oauthbearer(evidence.response), failure)

    async def xoauth2(self, evidence: Evidence) -> Admitted | WrongProof:
        """Look at a message of XOAUTH2."""
        failure = bearer.xoauth2_failure(self._settings().oauth_scope)
        return await self._check(bearer.read_xoauth2(evidence.response), failure)

    async def _check(self, given: bearer.Bearer, failure: bytes) -> Admitted | WrongProof:
        try:
            account = await self._tokens.verify(given.token, given.name)
        except InvalidToken as error:
            return WrongProof(given.name, failure, error.why)
        return Admitted(account.name, facts=account.facts)
