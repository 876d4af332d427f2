"""Roles and their rights."""

from __future__ import annotations

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from scmp_gateway.command import Line


async def roles(caller: Caller, line: Line) -> Reply:
    """All roles with their rights."""
    found = await caller.list_roles()
    return Listing(f"{len(found)} roles", [f"{it.name} {' '.join(it.rights)}" for it in found])


async def add_role(caller: Caller, line: Line) -> Reply:
    """Make a role."""
    role = await caller.create_role(line.words[0], line.words[1:])
    return Ok(f"role {role.name} created, {len(role.rights)} rights")


async def change_role(caller: Caller, line: Line) -> Reply:
    """Give a role other rights."""
    role = await caller.update_role(line.words[0], line.words[1:])
    return Ok(f"role {role.name} changed, {len(role.rights)} rights")


async def delete_role(caller: Caller, line: Line) -> Reply:
    """Remove a role."""
    await caller.delete_role(line.words[0])
    return Ok(f"role {line.words[0]} deleted")
