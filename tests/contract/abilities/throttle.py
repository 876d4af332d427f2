"""Networks and accounts with wrong logins."""

from __future__ import annotations

import re
from typing import Any

import pytest

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3mgmt.errors import ManagementError

GUESSED_AT = "guessed"


async def _wrong_logins(world: World) -> Facts:
    for password in ("one", "two", "three"):
        with pytest.raises(ManagementError):
            await world.service.client.login(GUESSED_AT, password)
    return {}


def _grpc_listing(found: Any) -> list[tuple[str, int]]:
    return sorted((it.network or it.account_name, it.failure_count) for it in found)


def _scmp_listing(reply: Reply) -> list[tuple[str, int]]:
    lines = [re.match(r"(?:network|account) (\S+) failures=(\d+) ", it) for it in reply.listing]
    return sorted((it[1], int(it[2])) for it in lines if it)


def _pop3ctl_listing(found: Any) -> list[tuple[str, int]]:
    return sorted((it["network"] or it["account_name"], it["failure_count"]) for it in found)


def _cleared(reply: Reply) -> int:
    found = re.fullmatch(r"\+OK \S+ cleared, (\d+) had wrong logins", reply.line)
    assert found
    return int(found[1])


CLEARED = Answers(lambda count: count, _cleared, lambda record: record["cleared_count"])

ABILITIES = [
    Ability(
        "ThrottleService/ListThrottled",
        lambda caller, _: caller.list_throttled(),
        "THROTTLED",
        ("throttle", "list"),
        Answers(_grpc_listing, _scmp_listing, _pop3ctl_listing),
        _wrong_logins,
    ),
    Ability(
        "ThrottleService/ClearThrottle",
        lambda caller, _: caller.clear_throttle(account_name=GUESSED_AT),
        f"CLEAR_THROTTLE {GUESSED_AT}",
        ("throttle", "clear", "--account", GUESSED_AT),
        CLEARED,
        _wrong_logins,
        what="of an account",
    ),
    Ability(
        "ThrottleService/ClearThrottle",
        lambda caller, _: caller.clear_throttle(address="127.0.0.1"),
        "CLEAR_THROTTLE 127.0.0.1",
        ("throttle", "clear", "127.0.0.1"),
        CLEARED,
        _wrong_logins,
        what="of a network",
    ),
]
