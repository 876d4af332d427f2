"""Accounts' preferences, as they are stored: a row for each account that made a choice."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Integer,
    Row,
    String,
    Table,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from pop3_service.domain.errors import AccountNotFound
from pop3_service.domain.preferences import NO_PREFERENCES, Preferences
from pop3_service.storage import tables
from pop3_service.storage.transactions import to_the_end, transaction

preferences = Table(
    "preferences",
    tables.metadata,
    Column(
        "account", String(255), ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True
    ),
    Column("language", String(16), nullable=False),
    Column("retention_days", Integer, nullable=False),
    Column("transform", Boolean, nullable=False),
)
_C = preferences.c


@to_the_end
class PreferencesStore:
    """The preferences of all accounts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, account: str) -> Preferences:
        """Give an account's; who chose nothing, or is not there, has the defaults."""
        async with transaction(self._engine) as connection:
            query = select(preferences).where(_C.account == account)
            row = (await connection.execute(query)).first()
        return read_preferences(row) if row else NO_PREFERENCES

    async def put(self, account: str, chosen: Preferences) -> None:
        """Store an account's.

        Raises:
            AccountNotFound: there is no account of that name.
        """
        async with transaction(self._engine) as connection:
            known = select(tables.accounts.c.name).where(tables.accounts.c.name == account)
            if await connection.scalar(known) is None:
                raise AccountNotFound(account)
            await connection.execute(delete(preferences).where(_C.account == account))
            if chosen != NO_PREFERENCES:
                await connection.execute(
                    insert(preferences).values(
                        account=str(account),
                        language=chosen.language,
                        retention_days=chosen.retention_days,
                        transform=chosen.transform,
                    )
                )

    async def least_retention_days(self) -> int:
        """Give the shortest retention of any account, 0 if none has one of its own."""
        query = select(func.min(_C.retention_days)).where(_C.retention_days > 0)
        async with transaction(self._engine) as connection:
            return await connection.scalar(query) or 0


def read_preferences(row: Row[Any]) -> Preferences:
    """Read the preferences of a row."""
    return Preferences(row.language, row.retention_days, row.transform)
