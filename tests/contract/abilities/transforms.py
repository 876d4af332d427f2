"""What is done with the catalogue of transforms: a chain, so that each way carries a bar."""

from __future__ import annotations

import base64
import re
from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3_service.domain.rights import Right
from pop3mgmt.client import Caller
from pop3mgmt.v1 import transforms_pb2 as pb2

CHAIN = "tr a-z A-Z | sed 's/^ | /;  $(id) `&`/'"
LETTER = "Subject: dots\r\n\r\n.\r\n..two\r\nend\r\n"
_LINE = re.compile(r"(\S+) (?:version=(\d+) )?active=(\S+) on-failure=(\S+) \S+ by=(\S+) (.*)")


async def _versions_there(world: World) -> Facts:
    await world.service.admin.set_transform("loud", "tr a b")
    await world.service.admin.set_transform("loud", CHAIN, pb2.ON_FAILURE_ORIGINAL, "for phones")
    return {}


async def _letter_there(world: World) -> Facts:
    [uidl] = await world.put("ana", LETTER)
    return {**await _versions_there(world), "uidl": uidl}


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


async def _test_version(caller: Caller, facts: Facts) -> Any:
    request = pb2.TestTransformRequest(
        transform=pb2.TransformVersion(name="loud", version=2),
        stored_message=pb2.StoredMessage(account_name="ana", uidl=facts["uidl"]),
    )
    return [part async for part in caller.test_transform(request)]


async def _test_line(caller: Caller, _: Facts) -> Any:
    request = pb2.TestTransformRequest(command_line=CHAIN)
    return [part async for part in caller.test_transform(request)]


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


def _results(reply: Reply) -> bytes:
    """Give the result that is behind the blank line; of samples, that of each behind its name."""
    octets = "".join(f"{line}\r\n" for line in reply.listing).encode("utf-8", "surrogateescape")
    if reply.line.endswith(" samples"):
        return b"".join(re.split(rb"--- sample:\S+\r\n", octets)[1:])
    return octets.partition(b"\r\n\r\n")[2]


def _named(word: str) -> tuple[str, int]:
    name, _, version = word.partition("@")
    return name, int(version)


MADE = Answers(
    lambda made: (made.name, made.version),
    lambda reply: _named(reply.line.split()[2]),
    lambda record: (record["name"], record["version"]),
)

OUTCOME = Answers(
    lambda parts: (
        [it.report.sample_name for it in parts if it.HasField("report")],
        b"".join(it.chunk for it in parts),
    ),
    lambda reply: (
        [
            it.split()[0].removeprefix("message").removeprefix("sample:")
            for it in reply.listing
            if " octets=" in it
        ],
        _results(reply),
    ),
    lambda told: (
        [it["sample_name"] for it in told["messages"]],
        b"".join(base64.b64decode(it["content_base64"]) for it in told["messages"]),
    ),
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
    Ability(
        "TransformsService/TestTransform",
        _test_version,
        "TRANSFORM_TEST ON {uidl} OF ana loud@2",
        ("transform", "test", "loud@2", "--account", "ana", "--uidl", "{uidl}"),
        OUTCOME,
        prepare=_letter_there,
        given=frozenset({Right.MAIL_READ}),
        what="a version on a message",
    ),
    Ability(
        "TransformsService/TestTransform",
        _test_line,
        f"TRANSFORM_TEST RUN {CHAIN}",
        ("transform", "test", "--run", CHAIN),
        OUTCOME,
        what="a command line on samples",
    ),
]
