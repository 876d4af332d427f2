"""Roles: those that are always there, and those that admins make of rights."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from pop3_service.domain.account import Principal
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import InvalidArgument, RoleExists, RoleNotFound
from pop3_service.domain.rights import BUILT_IN, Right, Role, parse_rights, parse_role_name
from pop3_service.storage.roles import RoleStore

log = structlog.get_logger()


class RolesDesk:
    """The roles in force. They are kept in memory: every management call asks for one.

    ``changing`` is held from looking at a caller's and a role's rights until what they allow is
    stored: no account is given a role that has become another one meanwhile.
    """

    def __init__(self, store: RoleStore) -> None:
        self._store = store
        self._roles: dict[str, Role] = dict(BUILT_IN)
        self.changing = asyncio.Lock()
        self.on_deleted: Callable[[str], Awaitable[None]] = _nothing_more

    async def load(self) -> None:
        """Read the roles that are stored."""
        self._roles = {role.name: role for role in await self._store.all()} | BUILT_IN

    def all(self) -> list[Role]:
        """Give the roles, the built-in ones first."""
        own = sorted(self._roles.keys() - BUILT_IN.keys())
        return [*BUILT_IN.values(), *(self._roles[name] for name in own)]

    def get(self, name: str) -> Role:
        """Give a role.

        Raises:
            RoleNotFound: there is none of that name.
        """
        try:
            return self._roles[name]
        except KeyError:
            raise RoleNotFound(name) from None

    def rights(self, name: str) -> frozenset[Right]:
        """Give the rights of a role; of one that is not there, none."""
        role = self._roles.get(name)
        return role.rights if role else frozenset()

    async def create(self, name: str, rights: Collection[str], by: Principal) -> Role:
        """Make a role; nobody puts rights into it that he lacks.

        Raises:
            InvalidArgument, PermissionDenied, RoleExists
        """
        describe(target=name)
        role = Role(parse_role_name(name), parse_rights(rights))
        by.require_all(role.rights, "making this role")
        if name in BUILT_IN:
            raise RoleExists(name)
        async with self.changing:
            await self._store.insert(role)
            self._roles[name] = role
        describe(after=_told(role))
        log.info("role created", name=name, rights=sorted(role.rights), by=by.name)
        return role

    async def update(self, name: str, rights: Collection[str], by: Principal) -> Role:
        """Give a role other rights, in force at the next call of each who has it.

        Raises:
            InvalidArgument, PermissionDenied, RoleNotFound
        """
        describe(target=name)
        async with self.changing:
            old = self._changeable(name, by)
            role = Role(name, parse_rights(rights))
            by.require_all(role.rights, "this change")
            await self._store.replace(role)
            self._roles[name] = role
        describe(before=_told(old), after=_told(role))
        log.info(
            "role changed", name=name, old=sorted(old.rights), new=sorted(role.rights), by=by.name
        )
        return role

    async def delete(self, name: str, by: Principal) -> None:
        """Remove a role that nobody has.

        Raises:
            InvalidArgument, PermissionDenied, RoleInUse, RoleNotFound
        """
        describe(target=name)
        async with self.changing:
            old = self._changeable(name, by)
            await self._store.delete(name, by.name)
            self._roles.pop(name, None)
        await self.on_deleted(name)
        describe(before=_told(old))
        log.info("role deleted", name=name, by=by.name)

    def _changeable(self, name: str, by: Principal) -> Role:
        role = self.get(name)
        if role.is_built_in:
            raise InvalidArgument(f"role {name!r} is built in and stays as it is")
        by.require_all(role.rights, "changing this role")
        return role


async def _nothing_more(_: str) -> None:
    """Where nobody else keeps something of a role."""


def _told(role: Role) -> dict[str, object]:
    """Give what the audit is told."""
    return {"rights": sorted(role.rights)}
