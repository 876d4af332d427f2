"""Settings: stored, put in force on every worker, changed while the service runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from pop3_service.domain.audit import describe
from pop3_service.domain.errors import InvalidArgument, LimitBelowCurrent
from pop3_service.domain.settings import Settings
from pop3_service.storage.accounts import AccountStore
from pop3_service.storage.settings import SettingsStore

log = structlog.get_logger()


class SettingsDesk:
    """The settings in force. ``apply`` tells workers."""

    def __init__(
        self,
        store: SettingsStore,
        accounts: AccountStore,
        apply: Callable[[Settings], Awaitable[None]],
    ) -> None:
        self.current = Settings()
        self._store = store
        self._accounts = accounts
        self._apply = apply
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Read what is stored; a value that no longer fits is told and left out."""
        stored = await self._store.load()
        # One may fit the others alone, as a delay that is above the default of the longest.
        with contextlib.suppress(InvalidArgument):
            self.current = Settings().changed(stored)
            return
        found = Settings()
        for name, value in stored.items():
            try:
                found = found.changed({name: value})
            except InvalidArgument as error:
                log.warning("stored setting ignored", name=name, reason=str(error))
        self.current = found

    async def reload(self) -> None:
        """Put in force what is stored, which was written by somebody else."""
        async with self._changing:
            await self.load()
            await self._apply(self.current)

    async def update(self, values: dict[str, Any], by: str) -> Settings:
        """Change settings, all of them or none; stored before they are in force.

        Raises:
            InvalidArgument, LimitBelowCurrent, StoreUnavailable
        """
        describe(target=" ".join(values))
        async with self._changing:
            old = self.current
            new = old.changed(values)
            if "max_accounts" in values:
                count = await self._accounts.count()
                if new.max_accounts < count:
                    raise LimitBelowCurrent(new.max_accounts, count)
            before, after = old.as_dict(), new.as_dict()
            await self._store.save({name: after[name] for name in values})
            describe(
                before={name: before[name] for name in values},
                after={name: after[name] for name in values},
            )
            self.current = new
            await self._apply(new)
            for name in values:
                log.info("setting changed", name=name, by=by, old=before[name], new=after[name])
            return new
