"""The service begins anew with data that took the place of what it knew."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from pop3_service.control.plane import DisconnectOrder
from pop3_service.domain.scram import MadeUp
from pop3_service.storage.secrets import SecretStore
from pop3_service.supervisor.authentication.apop import Apop
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.authentication.scram import SALT_KEY, ScramDesk
from pop3_service.supervisor.identity.tokens import Tokens
from pop3_service.supervisor.sessions import SessionsDesk


class Reloading:
    """What is known of the stored data, and how it is got anew."""

    def __init__(
        self,
        authenticator: Authenticator,
        tokens: Tokens,
        apop: Apop,
        scram: ScramDesk,
        secrets: SecretStore,
        sessions: SessionsDesk,
        loads: Sequence[Callable[[], Awaitable[None]]],
    ) -> None:
        """``loads`` read what is stored and put it in force, in this order."""
        self._authenticator = authenticator
        self._tokens = tokens
        self._apop = apop
        self._scram = scram
        self._secrets = secrets
        self._sessions = sessions
        self._loads = loads

    def forget(self) -> None:
        """Forget all logins and keys: none of them may be right any more."""
        self._authenticator.everything_changed()
        self._tokens.end_all()
        self._apop.key_changed()

    async def apply(self) -> int:
        """Put in force what is stored now; give how many sessions were ended."""
        before = await self._sessions.list()
        try:
            self._scram.salts_changed(MadeUp(await self._secrets.get(SALT_KEY)))
            for load in self._loads:
                await load()
        finally:
            # At the end, so that none goes on that came in by what was in force before.
            await self._sessions.disconnect(DisconnectOrder(everybody=True, forget=True))
        return sum(bool(session.account) for session in before)
