"""Address rules, bans and suspensions, as they are stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, bindparam, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from pop3_service.domain.address_rules import (
    AccessTable,
    AddressRule,
    Ban,
    Effect,
    Service,
    Suspension,
)
from pop3_service.domain.subject import Scope, Subject
from pop3_service.storage import tables
from pop3_service.storage.accounts import keep_an_admin
from pop3_service.storage.transactions import to_the_end, transaction


@to_the_end
class AccessStore:
    """What keeps clients out, and what lets them in nevertheless."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def load(self) -> AccessTable:
        """Give all there is, in the order it was set."""
        async with transaction(self._engine) as connection:
            rules = await connection.execute(
                select(tables.address_rules).order_by(tables.address_rules.c.id)
            )
            bans = await connection.execute(select(tables.bans).order_by(tables.bans.c.set_time))
            suspensions = await connection.execute(
                select(tables.suspensions).order_by(tables.suspensions.c.set_time)
            )
            return AccessTable(
                tuple(_rule(row) for row in rules),
                tuple(Ban(row.network, **_been_set(row)) for row in bans),
                tuple(Suspension(row.account, **_been_set(row)) for row in suspensions),
            )

    async def insert_rule(self, rule: AddressRule) -> int:
        """Add a rule, whatever its id; give the id it has from now on."""
        values = {
            "effect": rule.effect.value,
            "network": rule.network,
            "scope": rule.subject.scope.value,
            "subject": rule.subject.name,
            "service": rule.service.value,
            "note": rule.note,
            "set_by": rule.set_by,
            "set_time": _time(rule.set_time_s),
        }
        async with transaction(self._engine) as connection:
            result = await connection.execute(insert(tables.address_rules).values(values))
            key = result.inserted_primary_key
            assert key is not None  # noqa: S101 - the table has one
            return int(key[0])

    async def delete_rule(self, number: int) -> None:
        """Remove a rule; one that is not there is none."""
        table = tables.address_rules
        async with transaction(self._engine) as connection:
            await connection.execute(delete(table).where(table.c.id == number))

    async def put_ban(self, ban: Ban) -> None:
        """Store a ban in place of one of the same network."""
        values = {
            "network": ban.network,
            **_set(ban),
        }
        async with transaction(self._engine) as connection:
            await connection.execute(
                delete(tables.bans).where(tables.bans.c.network == ban.network)
            )
            await connection.execute(insert(tables.bans).values(values))

    async def delete_bans(self, networks: list[str]) -> None:
        """Remove the bans of some networks."""
        await self._delete(tables.bans.c.network, networks)

    async def put_suspension(self, suspension: Suspension) -> None:
        """Store a suspension in place of one of the same account.

        Raises:
            AccountNotFound: there is no such account.
            LastAdmin: no admin would be left that is not suspended.
        """
        name = str(suspension.account)
        values = {
            "account": name,
            **_set(suspension),
        }
        async with transaction(self._engine) as connection:
            await keep_an_admin(connection, name)
            await connection.execute(
                delete(tables.suspensions).where(tables.suspensions.c.account == name)
            )
            await connection.execute(insert(tables.suspensions).values(values))

    async def delete_suspensions(self, accounts: list[str]) -> None:
        """Remove the suspensions of some accounts."""
        await self._delete(tables.suspensions.c.account, [str(it) for it in accounts])

    async def _delete(self, column: Column[str], values: list[str]) -> None:
        """Remove the rows with these values, in one go: ten thousand bans may end together."""
        if not values:
            return
        rows = delete(column.table).where(column == bindparam("value"))
        async with transaction(self._engine) as connection:
            await connection.execute(rows, [{"value": it} for it in values])


def _rule(row: Any) -> AddressRule:
    return AddressRule(
        row.id,
        Effect(row.effect),
        row.network,
        Subject(Scope(row.scope), row.subject),
        Service(row.service),
        row.note,
        row.set_by,
        row.set_time.replace(tzinfo=UTC).timestamp(),
    )


def _set(what: Ban | Suspension) -> dict[str, Any]:
    """Give what a ban and a suspension have in common, as it is stored."""
    return {
        "reason": what.reason,
        "end_time": None if what.end_time_s is None else _time(what.end_time_s),
        "set_by": what.set_by,
        "set_time": _time(what.set_time_s),
    }


def _been_set(row: Any) -> dict[str, Any]:
    """Read the same."""
    end = row.end_time
    return {
        "reason": row.reason,
        "end_time_s": None if end is None else end.replace(tzinfo=UTC).timestamp(),
        "set_by": row.set_by,
        "set_time_s": row.set_time.replace(tzinfo=UTC).timestamp(),
    }


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
