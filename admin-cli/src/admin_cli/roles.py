"""roles: named sets of rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from admin_cli.commands import TEXT, Noun
from admin_cli.connection import call
from admin_cli.output import Column, Record, show_done, show_list

if TYPE_CHECKING:
    from pop3mgmt.v1.roles_pb2 import RoleDefinition

COLUMNS = (
    Column("name", "NAME"),
    Column("built_in", "", lambda built_in: "built in" if built_in else ""),
    Column("rights", "RIGHTS", " ".join),
)


@click.group(cls=Noun)
def roles() -> None:
    """Manage roles, which are sets of rights."""


@roles.command(
    "list",
    calls=("RolesService/ListRoles",),
    examples=("pop3ctl roles list", "pop3ctl roles list --json | jq -r '.[].name'"),
)
def list_roles() -> None:
    """List all roles with their rights, the built-in ones first."""
    show_list(map(role_record, call(lambda caller: caller.list_roles())), COLUMNS)


@roles.command(
    "create",
    calls=("RolesService/CreateRole",),
    examples=("pop3ctl roles create helpdesk own accounts.read accounts.write",),
)
@click.argument("name", type=TEXT)
@click.argument("rights", type=TEXT, nargs=-1, required=True)
def create_role(name: str, rights: tuple[str, ...]) -> None:
    """Make a role of RIGHTS; 'roles list' shows those that there are."""
    role = call(lambda caller: caller.create_role(name, rights))
    show_done(role_record(role), f'created role "{role.name}"')


@roles.command(
    "update",
    calls=("RolesService/UpdateRole",),
    examples=("pop3ctl roles update helpdesk own accounts.read",),
)
@click.argument("name", type=TEXT)
@click.argument("rights", type=TEXT, nargs=-1, required=True)
def update_role(name: str, rights: tuple[str, ...]) -> None:
    """Give a role RIGHTS in place of its own, in force at once for all who have it."""
    role = call(lambda caller: caller.update_role(name, rights))
    show_done(role_record(role), f'changed role "{role.name}"')


@roles.command(
    "delete",
    calls=("RolesService/DeleteRole",),
    examples=("pop3ctl roles delete helpdesk",),
)
@click.argument("name", type=TEXT)
def delete_role(name: str) -> None:
    """Delete a role that no account and no token has."""
    call(lambda caller: caller.delete_role(name))
    show_done({"name": name}, f'deleted role "{name}"')


def role_record(role: RoleDefinition) -> Record:
    """Give a role's values under their names in the contract."""
    return {"name": role.name, "rights": list(role.rights), "built_in": role.built_in}
