"""What is done with the catalogue of transforms; each way carries what a shell would read."""

from __future__ import annotations

import re
from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3mgmt.client import Caller
from pop3mgmt.v1 import transforms_pb2 as pb2

CHAIN = "sed 's/^ | /;  $(id) `&`/'"
_LINE = re.compile(r"(\S+) (?:version=(\d+) )?active=(\S+) on-failure=(\S+) \S+ by=(\S+) (.*)")


async def _versions_there(world: World) -> Facts:
    await world.service.admin.set_transform("loud", "tr a b")
    await world.service.admin.set_transform("loud", CHAIN, pb2.ON_FAILURE_ORIGINAL, "for phones")
    return {}


async def _list(caller: Caller, _: Facts) -> Any:
    return await caller.list_transforms()


async def _versions(caller: Caller, _: Facts) -> Any:
    return await caller.list_transform_versions("loud")


async def _get(caller: Caller, _: Facts) -> Any:
    return await caller.get_transform("loud", 2)


async def _set(caller: Caller, _: Facts) -> Any:
    return await caller.set_transform("loud", CHAIN, pb2.ON_FAILURE_ORIGINAL)


async def _delete(caller: Caller, _: Facts) -> Any:
    return await caller.delete_transform("loud")


def _on_failure(transform: pb2.Transform) -> str:
    return pb2.OnFailure.Name(transform.on_failure).removeprefix("ON_FAILURE_").lower()


def _version(transform: pb2.Transform) -> tuple[Any, ...]:
    return (
        *(transform.name, transform.version, _on_failure(transform)),
        *(transform.created_by, transform.command_line),
    )


def _told(record: Any) -> tuple[Any, ...]:
    return (
        *(record["name"], record["version"], record["on_failure"]),
        *(record["created_by"], record["command_line"]),
    )


def _line(line: str) -> tuple[Any, ...]:
    """Read a line of TRANSFORMS or TRANSFORM_HISTORY."""
    found = _LINE.fullmatch(line)
    assert found, line
    what, version, _, on_failure, by, command_line = found.groups()
    name, _, number = what.partition("@")
    return name, int(version or number), on_failure, by, command_line


def _shown(reply: Reply) -> tuple[Any, ...]:
    """Read the answer to TRANSFORM_SHOW."""
    name, version = _named(reply.line.removeprefix("+OK transform "))
    facts = dict(line.split(": ", 1) for line in reply.listing)
    assert facts["note"] == "for phones"
    return name, version, facts["on-failure"], facts["by"], facts["command-line"]


def _named(word: str) -> tuple[str, int]:
    name, _, version = word.partition("@")
    return name, int(version)


MADE = Answers(
    lambda made: (made.name, made.version),
    lambda reply: _named(reply.line.split()[2]),
    lambda record: (record["name"], record["version"]),
)

ABILITIES = [
    Ability(
        "TransformsService/ListTransforms",
        _list,
        "TRANSFORMS",
        ("transform", "list"),
        Answers(
            lambda them: [_version(it.latest) for it in them],
            lambda reply: [_line(it) for it in reply.listing],
            lambda records: [_told(it) for it in records],
        ),
        prepare=_versions_there,
    ),
    Ability(
        "TransformsService/ListTransformVersions",
        _versions,
        "TRANSFORM_HISTORY loud",
        ("transform", "history", "loud"),
        Answers(
            lambda them: [_version(it) for it in them],
            lambda reply: [_line(it) for it in reply.listing],
            lambda records: [_told(it) for it in records],
        ),
        prepare=_versions_there,
    ),
    Ability(
        "TransformsService/GetTransform",
        _get,
        "TRANSFORM_SHOW loud@2",
        ("transform", "show", "loud@2"),
        Answers(_version, _shown, _told),
        prepare=_versions_there,
    ),
    Ability(
        "TransformsService/SetTransform",
        _set,
        f"TRANSFORM_SET loud ORIGINAL {CHAIN}",
        ("transform", "set", "--on-failure", "original", "loud", CHAIN),
        MADE,
    ),
    Ability(
        "TransformsService/DeleteTransform",
        _delete,
        "TRANSFORM_DELETE loud",
        ("transform", "delete", "loud"),
        Answers(
            lambda count: count,
            lambda reply: int(reply.line.split()[-2]),
            lambda record: record["version_count"],
        ),
        prepare=_versions_there,
    ),
]
