"""Automation tokens, as they are stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from pop3_service.domain.automation import AutomationToken
from pop3_service.domain.errors import InvalidArgument, TokenExists, TokenNotFound
from pop3_service.storage import tables
from pop3_service.storage.revoked import OF_TOKENS, note_revoked
from pop3_service.storage.transactions import to_the_end, transaction

MAX_TOKENS = 1000
"""Automation tokens in all; each of them is in memory too."""


@to_the_end
class TokenStore:
    """The automation tokens."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> list[AutomationToken]:
        """Give the tokens, in order of name."""
        query = select(tables.automation_tokens).order_by(tables.automation_tokens.c.name)
        async with transaction(self._engine) as connection:
            return [_token(row) for row in await connection.execute(query)]

    async def insert(self, token: AutomationToken) -> None:
        """Add a token.

        Raises:
            TokenExists: the name is taken.
            InvalidArgument: there are ``MAX_TOKENS`` already.
        """
        try:
            async with transaction(self._engine) as connection:
                count = select(func.count()).select_from(tables.automation_tokens)
                full = (await connection.scalar(count) or 0) >= MAX_TOKENS
                await connection.execute(insert(tables.automation_tokens).values(_values(token)))
                if full:  # after the insert, so that a taken name is told as such
                    raise InvalidArgument(f"there are {MAX_TOKENS} tokens already; revoke some")
        except IntegrityError:
            raise TokenExists(token.name) from None

    async def delete(self, name: str) -> None:
        """Remove a token, and keep that it is revoked.

        Raises:
            TokenNotFound: there is none of that name.
        """
        columns = tables.automation_tokens.c
        async with transaction(self._engine) as connection:
            digest = await connection.scalar(select(columns.digest).where(columns.name == name))
            if digest is None:
                raise TokenNotFound(name)
            await connection.execute(delete(tables.automation_tokens).where(columns.name == name))
            await note_revoked(connection, [digest], OF_TOKENS)

    async def set_last_use(self, token: AutomationToken) -> None:
        """Store when and from where a token was used, unless it is gone, or another of its name."""
        columns = tables.automation_tokens.c
        async with transaction(self._engine) as connection:
            await connection.execute(
                update(tables.automation_tokens)
                .where(columns.name == token.name, columns.digest == token.digest)
                .values(
                    last_use_time=_stored(token.last_use_time),
                    last_use_address=token.last_use_address,
                )
            )


def _values(token: AutomationToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "digest": token.digest,
        "role": token.role,
        "networks": json.dumps(token.networks),
        "created_by": token.created_by,
        "create_time": _stored(token.create_time),
        "expire_time": _stored(token.expire_time),
        "last_use_time": _stored(token.last_use_time),
        "last_use_address": token.last_use_address,
    }


def _token(row: Row[Any]) -> AutomationToken:
    return AutomationToken(
        row.name,
        row.digest,
        row.role,
        tuple(json.loads(row.networks)),
        row.created_by,
        row.create_time.replace(tzinfo=UTC),
        _read(row.expire_time),
        _read(row.last_use_time),
        row.last_use_address,
    )


def _stored(moment: datetime | None) -> datetime | None:
    """Leave the zone out: the database knows none, and every time in it is UTC."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def _read(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
