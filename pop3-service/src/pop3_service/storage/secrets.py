"""Secrets of the service's own, as they are stored."""

from __future__ import annotations

import secrets

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from pop3_service.storage import tables
from pop3_service.storage.transactions import to_the_end, transaction


@to_the_end
class SecretStore:
    """Secrets that the service makes for itself. They never leave the supervisor."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, name: str) -> bytes:
        """Give a secret of 32 octets; it is made when it is asked for first."""
        columns = tables.secrets.c
        async with transaction(self._engine) as connection:
            found = await connection.scalar(select(columns.value).where(columns.name == name))
            if found is None:
                found = secrets.token_bytes(32)
                await connection.execute(insert(tables.secrets).values(name=name, value=found))
        return bytes(found)
