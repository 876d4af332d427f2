"""Preferences: what an account's owner chooses for it, read and changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict

import structlog

from pop3_service.domain.account import AccountName
from pop3_service.domain.audit import describe
from pop3_service.domain.preferences import Preferences
from pop3_service.domain.settings import Settings
from pop3_service.storage.preferences import PreferencesStore

log = structlog.get_logger()


class PreferencesDesk:
    """The use cases of preferences.

    ``forget`` drops what is remembered of an account's logins, on every worker: the next login is
    told the preferences anew. ``retention_changed`` is told when an account's own retention has
    changed.
    """

    def __init__(
        self,
        stored: PreferencesStore,
        settings: Callable[[], Settings],
        forget: Callable[[AccountName], Awaitable[None]],
        retention_changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._stored = stored
        self._settings = settings
        self._forget = forget
        self._retention_changed = retention_changed
        self._changing = asyncio.Lock()

    async def get(self, account: AccountName) -> Preferences:
        """Give an account's preferences."""
        return await self._stored.get(account)

    async def update(self, account: AccountName, values: Mapping[str, object]) -> Preferences:
        """Change some; give all as they are then. In force at the next login when this is done.

        Raises:
            InvalidArgument: a value is not possible, or not allowed here.
            AccountNotFound
        """
        describe(target=account)
        async with self._changing:
            before = await self._stored.get(account)
            after = before.changed(values, self._settings())
            await self._stored.put(account, after)
            await self._forget(account)
            if after.retention_days != before.retention_days:
                await self._retention_changed()
        changed = {name: value for name, value in asdict(after).items() if name in values}
        describe(
            before={name: value for name, value in asdict(before).items() if name in values},
            after=changed,
        )
        log.info("preferences changed", account=account, **changed)
        return after
