"""The settings, as they are stored."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from pop3_service.storage import tables
from pop3_service.storage.transactions import to_the_end, transaction


@to_the_end
class SettingsStore:
    """The settings that were ever set; the others have their defaults."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load(self) -> dict[str, Any]:
        """Give the stored values by name."""
        async with transaction(self._engine) as connection:
            rows = await connection.execute(select(tables.settings))
            return {row.name: json.loads(row.value) for row in rows}

    async def save(self, values: dict[str, Any]) -> None:
        """Store values, all of them or none."""
        async with transaction(self._engine) as connection:
            for name, value in values.items():
                await connection.execute(
                    delete(tables.settings).where(tables.settings.c.name == name)
                )
                await connection.execute(
                    insert(tables.settings).values(name=name, value=json.dumps(value))
                )
