"""What is done with roles."""

from __future__ import annotations

from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3_service.domain.rights import BUILT_IN, Right
from pop3mgmt.client import Caller

HELPDESK = ("accounts.read", "own")
NARROWER = ("own",)


async def _helpdesk(world: World) -> Facts:
    await world.service.admin.create_role("helpdesk", HELPDESK)
    return {}


async def _list(caller: Caller, _: Facts) -> Any:
    return await caller.list_roles()


async def _create(caller: Caller, _: Facts) -> Any:
    return await caller.create_role("helpdesk", HELPDESK)


async def _update(caller: Caller, _: Facts) -> Any:
    return await caller.update_role("helpdesk", NARROWER)


async def _delete(caller: Caller, _: Facts) -> Any:
    return await caller.delete_role("helpdesk")


async def _give(caller: Caller, _: Facts) -> Any:
    return await caller.set_role("ana", "operator")


def _ended(reply: Reply) -> int:
    return int(reply.line.split()[-3])


GIVEN = frozenset(map(Right, HELPDESK))

ABILITIES = [
    Ability(
        "RolesService/ListRoles",
        _list,
        "ROLES",
        ("roles", "list"),
        Answers(
            lambda them: [(it.name, list(it.rights)) for it in them],
            lambda reply: [(name, rights) for name, *rights in map(str.split, reply.listing)],
            lambda records: [(it["name"], it["rights"]) for it in records],
        ),
    ),
    Ability(
        "RolesService/CreateRole",
        _create,
        f"ADD_ROLE helpdesk {' '.join(HELPDESK)}",
        ("roles", "create", "helpdesk", *HELPDESK),
        given=GIVEN,
    ),
    Ability(
        "RolesService/UpdateRole",
        _update,
        f"CHANGE_ROLE helpdesk {' '.join(NARROWER)}",
        ("roles", "update", "helpdesk", *NARROWER),
        prepare=_helpdesk,
        given=GIVEN,
    ),
    Ability(
        "RolesService/DeleteRole",
        _delete,
        "DELETE_ROLE helpdesk",
        ("roles", "delete", "helpdesk"),
        prepare=_helpdesk,
        given=GIVEN,
    ),
    Ability(
        "AccountsService/SetRole",
        _give,
        "SET_ROLE ana operator",
        ("accounts", "set-role", "ana", "operator"),
        Answers(
            lambda ended: ended,
            _ended,
            lambda record: record["ended_session_count"],
        ),
        given=BUILT_IN["operator"].rights,
    ),
]
