"""The roles that admins have made, as they are stored."""

from __future__ import annotations

import json

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from pop3_service.domain.errors import RoleExists, RoleInUse, RoleNotFound
from pop3_service.domain.rights import Right, Role
from pop3_service.domain.subject import Scope, Subject
from pop3_service.storage import tables
from pop3_service.storage.transactions import to_the_end, transaction
from pop3_service.storage.transforms import end_activations

HOLDERS = {"accounts": tables.accounts, "tokens": tables.automation_tokens}
"""What has a role."""


@to_the_end
class RoleStore:
    """The roles that are not built in."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def all(self) -> list[Role]:
        """Give the roles; a right that this version does not know is left out."""
        async with transaction(self._engine) as connection:
            rows = await connection.execute(select(tables.roles).order_by(tables.roles.c.name))
            known = set(Right)
            return [
                Role(row.name, frozenset(Right(it) for it in json.loads(row.rights) if it in known))
                for row in rows
            ]

    async def insert(self, role: Role) -> None:
        """Add a role.

        Raises:
            RoleExists: the name is taken.
        """
        try:
            async with transaction(self._engine) as connection:
                await connection.execute(insert(tables.roles).values(_values(role)))
        except IntegrityError:
            raise RoleExists(role.name) from None

    async def replace(self, role: Role) -> None:
        """Give a role other rights.

        Raises:
            RoleNotFound: there is none of that name.
        """
        async with transaction(self._engine) as connection:
            result = await connection.execute(
                update(tables.roles).where(tables.roles.c.name == role.name).values(_values(role))
            )
            if not result.rowcount:
                raise RoleNotFound(role.name)

    async def delete(self, name: str, by: str = "") -> None:
        """Remove a role; what transform is active for it ends.

        Raises:
            RoleNotFound: there is none of that name.
            RoleInUse: accounts or automation tokens have it.
        """
        async with transaction(self._engine) as connection:
            for what, table in HOLDERS.items():
                users = select(func.count()).where(table.c.role == name)
                if count := await connection.scalar(users):
                    raise RoleInUse(name, count, what)
            result = await connection.execute(
                delete(tables.roles).where(tables.roles.c.name == name)
            )
            if not result.rowcount:
                raise RoleNotFound(name)
            await end_activations(connection, Subject(Scope.ROLE, name), by)


def _values(role: Role) -> dict[str, str]:
    return {"name": role.name, "rights": json.dumps(sorted(role.rights))}
