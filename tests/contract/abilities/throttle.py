"""What wrong logins have brought about, shown and ended."""

from __future__ import annotations

import contextlib
from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError


async def _tried(world: World) -> Facts:
    for password in ("wrong", "worse"):
        with contextlib.suppress(ManagementError):
            await world.service.client.login("ana", password)
    return {}


async def _list(caller: Caller, _: Facts) -> Any:
    return await caller.list_throttled()


async def _clear(caller: Caller, _: Facts) -> Any:
    return await caller.clear_throttle(account_name="ana")


async def _clear_address(caller: Caller, _: Facts) -> Any:
    return await caller.clear_throttle(address="192.0.2.7")


def _row(line: str) -> tuple[str, int]:
    _, what, failures, *_ = line.split()
    return what, int(failures.removeprefix("failures="))


def _cleared(reply: Reply) -> int:
    return int(reply.line.split()[3])


CLEARED = Answers(lambda count: count, _cleared, lambda record: record["cleared_count"])

ABILITIES = [
    Ability(
        "ThrottleService/ListThrottled",
        _list,
        "THROTTLED",
        ("throttle", "list"),
        Answers(
            lambda them: {(it.network or it.account_name, it.failure_count) for it in them},
            lambda reply: set(map(_row, reply.listing)),
            lambda records: {
                (it["network"] or it["account_name"], it["failure_count"]) for it in records
            },
        ),
        prepare=_tried,
    ),
    Ability(
        "ThrottleService/ClearThrottle",
        _clear,
        "CLEAR_THROTTLE ana",
        ("throttle", "clear", "--account", "ana"),
        CLEARED,
        prepare=_tried,
    ),
    Ability(
        "ThrottleService/ClearThrottle",
        _clear_address,
        "CLEAR_THROTTLE 192.0.2.7",
        ("throttle", "clear", "192.0.2.7"),
        CLEARED,
        what="of an address",
    ),
]
