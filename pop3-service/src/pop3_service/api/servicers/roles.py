"""Roles: messages of the contract to use cases and back."""

from __future__ import annotations

from pop3_service.api.access import caller
from pop3_service.api.servicers.shared import Context
from pop3_service.api.translate import offset_page
from pop3_service.domain.rights import Role
from pop3_service.supervisor.identity.roles import RolesDesk
from pop3mgmt.v1 import roles_pb2, roles_pb2_grpc


class RolesServicer(roles_pb2_grpc.RolesServiceServicer):
    """Roles."""

    def __init__(self, roles: RolesDesk) -> None:
        self._roles = roles

    async def ListRoles(
        self, request: roles_pb2.ListRolesRequest, context: Context
    ) -> roles_pb2.ListRolesResponse:
        """Give a page of the roles."""
        found = self._roles.all()
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return roles_pb2.ListRolesResponse(
            roles=map(_message, page), next_page_token=next_token, total_count=len(found)
        )

    async def CreateRole(
        self, request: roles_pb2.CreateRoleRequest, context: Context
    ) -> roles_pb2.CreateRoleResponse:
        """Make a role."""
        role = await self._roles.create(request.name, request.rights, caller())
        return roles_pb2.CreateRoleResponse(role=_message(role))

    async def UpdateRole(
        self, request: roles_pb2.UpdateRoleRequest, context: Context
    ) -> roles_pb2.UpdateRoleResponse:
        """Give a role other rights."""
        role = await self._roles.update(request.name, request.rights, caller())
        return roles_pb2.UpdateRoleResponse(role=_message(role))

    async def DeleteRole(
        self, request: roles_pb2.DeleteRoleRequest, context: Context
    ) -> roles_pb2.DeleteRoleResponse:
        """Remove a role."""
        await self._roles.delete(request.name, caller())
        return roles_pb2.DeleteRoleResponse()


def _message(role: Role) -> roles_pb2.RoleDefinition:
    return roles_pb2.RoleDefinition(
        name=role.name, rights=sorted(role.rights), built_in=role.is_built_in
    )
