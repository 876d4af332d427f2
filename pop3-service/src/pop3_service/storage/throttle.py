"""What the throttle knows, as it is stored: failures, and the places accounts log in from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Integer,
    String,
    Table,
    delete,
    insert,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pop3_service.storage import tables
from pop3_service.storage.transactions import to_the_end, transaction

login_failures = Table(
    "login_failures",
    tables.metadata,
    Column("kind", String(8), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_time", Float, nullable=False, index=True),
)

known_places = Table(
    "known_places",
    tables.metadata,
    Column(
        "account", String(255), ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True
    ),
    Column("network", String(64), primary_key=True),
    Column("day", Integer, nullable=False),
)


class StoredFailures(NamedTuple):
    """Failures of a key of some kind; ``last_time_s`` is Unix time."""

    kind: str
    key: str
    failures: int
    last_time_s: float


class StoredPlace(NamedTuple):
    """A network that an account logged in from, on a day (since 1970) for the last time."""

    account: str
    network: str
    day: int


@to_the_end
class ThrottleStore:
    """Failures and places."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load_failures(self, since_s: float) -> list[StoredFailures]:
        """Give the failures since a time, the oldest first."""
        last = login_failures.c.last_time
        async with transaction(self._engine) as connection:
            query = select(login_failures).where(last >= since_s).order_by(last)
            return [StoredFailures(*row) for row in await connection.execute(query)]

    async def load_places(self, since_day: int, limit: int) -> list[StoredPlace]:
        """Give the places since a day, the newest first, so many at most."""
        day = known_places.c.day
        async with transaction(self._engine) as connection:
            query = select(known_places).where(day >= since_day).order_by(day.desc()).limit(limit)
            return [StoredPlace(*row) for row in await connection.execute(query)]

    async def save(
        self, failures: Iterable[StoredFailures], places: Iterable[StoredPlace], each: int
    ) -> None:
        """Store what changed; no failures mean that a key goes. An account keeps ``each`` places.

        Places of accounts that are gone are left out.
        """
        failures, places = list(failures), list(places)
        async with transaction(self._engine) as connection:
            if failures:
                await _save_failures(connection, failures)
            if places:
                await _save_places(connection, places, each)

    async def prune(self, before_s: float, before_day: int) -> None:
        """Remove what is older."""
        async with transaction(self._engine) as connection:
            await connection.execute(
                delete(login_failures).where(login_failures.c.last_time < before_s)
            )
            await connection.execute(delete(known_places).where(known_places.c.day < before_day))


async def _save_failures(connection: AsyncConnection, failures: list[StoredFailures]) -> None:
    key = tuple_(login_failures.c.kind, login_failures.c.key)
    await connection.execute(
        delete(login_failures).where(key.in_([(it.kind, it.key) for it in failures]))
    )
    rows = [
        {"kind": it.kind, "key": it.key, "failures": it.failures, "last_time": it.last_time_s}
        for it in failures
        if it.failures
    ]
    if rows:
        await connection.execute(insert(login_failures), rows)


async def _save_places(connection: AsyncConnection, places: list[StoredPlace], each: int) -> None:
    columns = known_places.c
    names = sorted({it.account for it in places})
    account = tables.accounts.c.name
    found = set(await connection.scalars(select(account).where(account.in_(names))))
    key = tuple_(columns.account, columns.network)
    await connection.execute(
        delete(known_places).where(key.in_([(it.account, it.network) for it in places]))
    )
    rows: list[dict[str, Any]] = [it._asdict() for it in places if it.account in found]
    if rows:
        await connection.execute(insert(known_places), rows)
    for name in found:
        own = select(columns.network).where(columns.account == name)
        more = list(await connection.scalars(own.order_by(columns.day.desc()).offset(each)))
        if more:
            await connection.execute(
                delete(known_places).where(columns.account == name, columns.network.in_(more))
            )
