"""What is done with what is active. @1 and @2 are transforms that were made without a name."""

from __future__ import annotations

from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3mgmt.client import Caller
from pop3mgmt.v1.transform_activations_pb2 import (
    TRANSFORM_MODE_CANARY,
    TRANSFORM_MODE_SHADOW,
    ActivateTransformRequest,
    TransformActivation,
)

LIST = "TransformActivationsService/ListTransformActivations"
ACTIVATE = "TransformActivationsService/ActivateTransform"
USE = "TransformActivationsService/UseCommandLine"
FOR_USERS = ActivateTransformRequest(version=1, subject="role:user")
SHADOW = ActivateTransformRequest(version=1, mode=TRANSFORM_MODE_SHADOW)
CANARY = ActivateTransformRequest(
    version=1,
    mode=TRANSFORM_MODE_CANARY,
    account_names=["ana"],
    share_percent=10,
    failure_limit_percent=2,
)


async def _one(world: World) -> Facts:
    await world.service.admin.use_command_line("cat")
    return {}


async def _two(world: World) -> Facts:
    await _one(world)
    await world.service.admin.use_command_line("cat -u")
    return {}


async def _canary(world: World) -> Facts:
    await _two(world)
    await world.service.admin.activate_transform(CANARY)
    return {}


async def _for_users(world: World) -> Facts:
    await _two(world)
    await world.service.admin.activate_transform(FOR_USERS)
    return {}


def _activate(request: ActivateTransformRequest) -> Any:
    async def activate(caller: Caller, _: Facts) -> Any:
        return await caller.activate_transform(request)

    return activate


async def _active(caller: Caller, _: Facts) -> Any:
    return await caller.list_transform_activations()


async def _past(caller: Caller, _: Facts) -> Any:
    return await caller.list_transform_activations(include_past=True)


async def _everyones(caller: Caller, _: Facts) -> Any:
    return await caller.list_transform_activations("everyone")


async def _use(caller: Caller, _: Facts) -> Any:
    return await caller.use_command_line("cat -n")


async def _use_nothing(caller: Caller, _: Facts) -> Any:
    return await caller.use_command_line("")


async def _roll_back(caller: Caller, _: Facts) -> Any:
    return await caller.roll_back_transform()


async def _end(caller: Caller, _: Facts) -> Any:
    return await caller.deactivate_transform("role:user")


def _told(them: list[TransformActivation]) -> list[tuple[str, int, bool]]:
    return [(it.subject, it.transform.version, it.HasField("end_time")) for it in them]


def _lines(reply: Reply) -> list[tuple[str, int, bool]]:
    words = [line.split() for line in reply.listing]
    return [(it[0], int(it[1][1:]), any(word.startswith("ended=") for word in it)) for it in words]


def _records(records: Any) -> list[tuple[str, int, bool]]:
    return [(it["subject"], it["transform"]["version"], bool(it["end_time"])) for it in records]


LISTED = Answers(_told, _lines, _records)

ABILITIES = [
    Ability(LIST, _active, "TRANSFORM_ACTIVE", ("transform", "active"), LISTED, prepare=_canary),
    Ability(
        LIST,
        _past,
        "TRANSFORM_ACTIVATIONS",
        ("transform", "active", "--past"),
        LISTED,
        prepare=_canary,
        what="and what was",
    ),
    Ability(
        LIST,
        _everyones,
        "TRANSFORM",
        ("transform", "active", "--for", "everyone"),
        Answers(
            lambda them: [it.transform.command_line for it in them],
            lambda reply: [reply.line.removeprefix("+OK transform is ")],
            lambda records: [it["transform"]["command_line"] for it in records],
        ),
        prepare=_two,
        what="in the seed's words",
    ),
    Ability(
        ACTIVATE,
        _activate(FOR_USERS),
        "TRANSFORM_ACTIVATE @1 FOR role:user",
        ("transform", "activate", "@1", "--for", "role:user"),
        prepare=_two,
    ),
    Ability(
        ACTIVATE,
        _activate(SHADOW),
        "TRANSFORM_ACTIVATE @1 SHADOW",
        ("transform", "activate", "@1", "--shadow"),
        prepare=_two,
        what="in the shadow",
    ),
    Ability(
        ACTIVATE,
        _activate(CANARY),
        "TRANSFORM_ACTIVATE @1 CANARY 10%,ana LIMIT 2%",
        ("transform", "activate", "@1", "--canary", "10%,ana", "--limit", "2%"),
        prepare=_two,
        what="as a canary",
    ),
    Ability(USE, _use, "TRANSFORM cat -n", ("transform", "use", "cat", "-n"), prepare=_one),
    Ability(
        USE,
        _use_nothing,
        "TRANSFORM OFF",
        ("transform", "off"),
        prepare=_one,
        what="that is empty",
    ),
    Ability(
        "TransformActivationsService/RollBackTransform",
        _roll_back,
        "TRANSFORM_ROLLBACK",
        ("transform", "rollback"),
        prepare=_two,
    ),
    Ability(
        "TransformActivationsService/DeactivateTransform",
        _end,
        "TRANSFORM_OFF role:user",
        ("transform", "off", "role:user"),
        prepare=_for_users,
    ),
]
