"""Transactions: one at a time, and one way to tell that the database failed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pop3_service.domain.errors import (
    StoreUnavailable,
)


@contextlib.asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection in a transaction that is committed at the end."""
    try:
        async with engine.begin() as connection:
            yield connection
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise StoreUnavailable(f"the account store failed: {error.orig}") from error
    except PoolTimeout:
        raise StoreUnavailable("the account store is too busy") from None
