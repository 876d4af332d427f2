"""Who the caller is, and the end of a login."""

from __future__ import annotations

from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError


async def _who(caller: Caller, _: Facts) -> Any:
    return await caller.get_caller()


async def _log_out(caller: Caller, _: Facts) -> Any:
    await caller.logout()
    try:
        await caller.get_caller()
    except ManagementError as error:
        return error.reason.value
    return "logged in"


def _told(reply: Reply) -> tuple[str, str, list[str]]:
    name, role = reply.line.removeprefix("+OK ").split()
    return name, role, reply.listing


ABILITIES = [
    Ability(
        "AuthService/GetCaller",
        _who,
        "WHOAMI",
        ("whoami",),
        Answers(
            lambda who: (who.account_name, who.role_name, list(who.rights)),
            _told,
            lambda record: (record["name"], record["role"], record["rights"]),
        ),
        own=True,
        refused=None,
    ),
    Ability(
        "AuthService/Logout",
        _log_out,
        "LOGOUT",
        ("logout",),
        Answers(
            lambda now: now == "INVALID_CREDENTIALS",
            lambda reply: reply.line == "+OK logged out",
            lambda record: record["logged_out"],
        ),
        kept=True,
        own=True,
        refused=None,
    ),
]
