"""The passwords before the present one, as hashes, while the password policy asks for them."""

from __future__ import annotations

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from pop3_service.storage import tables


async def of(connection: AsyncConnection, name: str) -> list[str]:
    """Give an account's old hashes, the newest first."""
    columns = tables.old_passwords.c
    query = select(columns.password_hash).where(columns.account == str(name)).order_by(columns.age)
    return list((await connection.execute(query)).scalars())


async def push(connection: AsyncConnection, name: str, password_hash: str, keep: int) -> None:
    """Add the hash that was in place; only the newest ``keep`` stay."""
    table, account = tables.old_passwords, str(name)
    hashes = [password_hash, *await of(connection, account)][:keep]
    await connection.execute(delete(table).where(table.c.account == account))
    rows = [
        {"account": account, "age": age, "password_hash": it} for age, it in enumerate(hashes, 1)
    ]
    if rows:
        await connection.execute(insert(table), rows)
