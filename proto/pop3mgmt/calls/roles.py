"""The calls about roles."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from pop3mgmt.calls.base import Calls, call
from pop3mgmt.v1 import roles_pb2, roles_pb2_grpc


class RolesCalls(Calls):
    """The calls about roles."""

    @functools.cached_property
    def _roles(self) -> roles_pb2_grpc.RolesServiceAsyncStub:
        return roles_pb2_grpc.RolesServiceStub(self._channel)

    async def list_roles(self) -> list[roles_pb2.RoleDefinition]:
        """Give all roles, the built-in ones first."""
        found: list[roles_pb2.RoleDefinition] = []
        token = ""
        while True:
            request = roles_pb2.ListRolesRequest(page_token=token)
            page = await call(self._roles.ListRoles(request, **self._options()))
            found.extend(page.roles)
            if not (token := page.next_page_token):
                return found

    async def create_role(self, name: str, rights: Iterable[str]) -> roles_pb2.RoleDefinition:
        """Make a role of rights."""
        request = roles_pb2.CreateRoleRequest(name=name, rights=rights)
        return (await call(self._roles.CreateRole(request, **self._options()))).role

    async def update_role(self, name: str, rights: Iterable[str]) -> roles_pb2.RoleDefinition:
        """Give a role these rights in place of all that it has."""
        request = roles_pb2.UpdateRoleRequest(name=name, rights=rights)
        return (await call(self._roles.UpdateRole(request, **self._options()))).role

    async def delete_role(self, name: str) -> None:
        """Remove a role that no account has."""
        request = roles_pb2.DeleteRoleRequest(name=name)
        await call(self._roles.DeleteRole(request, **self._options()))
