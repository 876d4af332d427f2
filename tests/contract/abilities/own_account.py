"""What an account's owner does with it, and who manages accounts in his place."""

from __future__ import annotations

from typing import Any

from contract.abilities.sessions import ENDED, SHORT
from contract.ability import Ability, Answers, Facts
from contract.world import USER, Reply, World
from pop3mgmt.client import Caller
from pop3mgmt.v1.own_account_pb2 import Preferences


async def _phone(world: World) -> Facts:
    ana = await world.log_in(USER)
    await ana.create_app_password("phone")
    await ana.create_app_password("laptop")
    return {}


async def _spanish(world: World) -> Facts:
    ana = await world.log_in(USER)
    await ana.update_preferences(Preferences(language="es", retention_days=90), PATHS)
    return {}


PATHS = ("language", "retention_days")


async def _list(caller: Caller, _: Facts) -> Any:
    return await caller.list_app_passwords()


async def _list_ana(caller: Caller, _: Facts) -> Any:
    return await caller.list_app_passwords("ana")


async def _create(caller: Caller, _: Facts) -> Any:
    return await caller.create_app_password("phone")


async def _revoke(caller: Caller, _: Facts) -> Any:
    return await caller.revoke_app_password("phone")


async def _revoke_all(caller: Caller, _: Facts) -> Any:
    return await caller.revoke_all_app_passwords("ana")


async def _get(caller: Caller, _: Facts) -> Any:
    return await caller.get_preferences()


async def _get_ana(caller: Caller, _: Facts) -> Any:
    return await caller.get_preferences("ana")


async def _update(caller: Caller, _: Facts) -> Any:
    return await caller.update_preferences(Preferences(language="es"), ["language"])


async def _update_ana(caller: Caller, _: Facts) -> Any:
    return await caller.update_preferences(
        Preferences(retention_days=30), ["retention_days"], "ana"
    )


async def _logins(caller: Caller, _: Facts) -> Any:
    return await caller.get_recent_logins(5)


async def _logins_ana(caller: Caller, _: Facts) -> Any:
    return await caller.get_recent_logins(5, "ana")


async def _tried(world: World) -> Facts:
    await world.log_in(USER)
    return {}


async def _sessions(caller: Caller, _: Facts) -> Any:
    return await caller.list_sessions()


async def _end_one(caller: Caller, _: Facts) -> Any:
    return await caller.disconnect(session_id="3")


async def _end_all(caller: Caller, _: Facts) -> Any:
    return await caller.disconnect(account_name="ana")


NAMES = Answers(
    lambda them: [it.name for it in them],
    lambda reply: [line.split()[0] for line in reply.listing],
    lambda records: [it["name"] for it in records],
)
REVOKED = Answers(
    lambda done: (done.revoked_count, done.ended_session_count),
    lambda reply: (int(reply.line.split()[1]), int(reply.line.split()[-3])),
    lambda record: (record["revoked_count"], record["ended_session_count"]),
)


def _chosen(reply: Reply) -> tuple[str, int, bool]:
    told = dict(line.split(": ", 1) for line in reply.listing)
    return (
        told["language"].removeprefix("default"),
        int(told["retention-days"].replace("default", "0")),
        told["transform"] == "on",
    )


CHOSEN = Answers(
    lambda chosen: (chosen.language, chosen.retention_days, chosen.transform),
    _chosen,
    lambda record: (record["language"], record["retention_days"] or 0, record["transform"]),
)

LOGINS = Answers(
    lambda them: {(it.address, it.refusal_reason) for it in them},
    lambda reply: {
        (line.split()[1], line.split()[5].removeprefix("outcome=").removeprefix("ok"))
        for line in reply.listing
    },
    lambda records: {(it["address"], it["refusal_reason"]) for it in records},
)

ABILITIES = [
    Ability(
        "OwnAccountService/GetRecentLogins",
        _logins,
        "LOGINS 5",
        ("me", "logins", "--limit", "5"),
        LOGINS,
        prepare=_tried,
        own=True,
    ),
    Ability(
        "OwnAccountService/GetRecentLogins",
        _logins_ana,
        "LOGINS 5 ana",
        ("me", "logins", "--limit", "5", "--account", "ana"),
        LOGINS,
        prepare=_tried,
        what="of another",
    ),
    Ability(
        "OwnAccountService/ListAppPasswords",
        _list,
        "APP_PASSWORDS",
        ("me", "app-passwords"),
        NAMES,
        prepare=_phone,
        own=True,
    ),
    Ability(
        "OwnAccountService/ListAppPasswords",
        _list_ana,
        "APP_PASSWORDS ana",
        ("me", "app-passwords", "--account", "ana"),
        NAMES,
        prepare=_phone,
        what="of another",
    ),
    Ability(
        "OwnAccountService/CreateAppPassword",
        _create,
        "ADD_APP_PASSWORD phone",
        ("me", "add-app-password", "phone"),
        Answers(
            lambda made: len(made.password),
            lambda reply: len(reply.line.removeprefix("+OK app password phone: ")),
            lambda record: len(record["password"]),
        ),
        own=True,
    ),
    Ability(
        "OwnAccountService/RevokeAppPassword",
        _revoke,
        "REVOKE_APP_PASSWORD phone",
        ("me", "revoke-app-password", "phone"),
        REVOKED,
        prepare=_phone,
        own=True,
    ),
    Ability(
        "OwnAccountService/RevokeAppPassword",
        _revoke_all,
        "REVOKE_APP_PASSWORD ALL ana",
        ("me", "revoke-app-password", "--all", "--account", "ana"),
        REVOKED,
        prepare=_phone,
        what="all of another",
    ),
    Ability(
        "OwnAccountService/GetPreferences",
        _get,
        "PREFERENCES",
        ("me", "show"),
        CHOSEN,
        prepare=_spanish,
        own=True,
    ),
    Ability(
        "OwnAccountService/GetPreferences",
        _get_ana,
        "PREFERENCES ana",
        ("me", "show", "--account", "ana"),
        CHOSEN,
        prepare=_spanish,
        what="of another",
    ),
    Ability(
        "OwnAccountService/UpdatePreferences",
        _update,
        "SET_PREFERENCE LANGUAGE es",
        ("me", "set", "--language", "es"),
        CHOSEN,
        own=True,
    ),
    Ability(
        "OwnAccountService/UpdatePreferences",
        _update_ana,
        "SET_PREFERENCE RETENTION 30 ana",
        ("me", "set", "--retention", "30", "--account", "ana"),
        CHOSEN,
        what="of another",
    ),
    Ability(
        "SessionsService/ListSessions",
        _sessions,
        "CURR_CONNEC",
        ("me", "sessions"),
        SHORT,
        own=True,
        what="as the owner",
    ),
    Ability(
        "SessionsService/DisconnectSession",
        _end_one,
        "END_SESSION 3",
        ("me", "end-session", "3"),
        ENDED,
        own=True,
        what="as the owner",
    ),
    Ability(
        "SessionsService/DisconnectSession",
        _end_all,
        "END_SESSION ALL",
        ("me", "end-session", "--all"),
        ENDED,
        own=True,
        what="all of the owner",
    ),
]
