"""What is done with POP3 sessions. In each world ana has two, default one, one no account."""

from __future__ import annotations

from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply
from pop3mgmt.client import Caller
from pop3mgmt.reasons import Reason


async def _list(caller: Caller, _: Facts) -> Any:
    return await caller.list_sessions()


async def _list_ana(caller: Caller, _: Facts) -> Any:
    return await caller.list_sessions("ana")


async def _disconnect_one(caller: Caller, _: Facts) -> Any:
    return await caller.disconnect(session_id="2")


async def _disconnect_ana(caller: Caller, _: Facts) -> Any:
    return await caller.disconnect(account_name="ana")


async def _disconnect_own(caller: Caller, _: Facts) -> Any:
    return await caller.disconnect(session_id="3")


def _row(line: str) -> tuple[Any, ...]:
    number, peer, account, *facts = line.split()
    told = dict(fact.split("=") for fact in facts)
    counts = tuple(int(told[key]) for key in ("sent", "messages", "idle"))
    return number, peer, account.strip("-"), *counts


ALL = Answers(
    lambda them: [
        (
            *(it.id, it.peer, it.account_name),
            *(it.sent_bytes, it.sent_message_count, it.idle_seconds),
        )
        for it in them
    ],
    lambda reply: [_row(line) for line in reply.listing],
    lambda records: [
        tuple(
            it[key]
            for key in (
                *("id", "peer", "account_name"),
                *("sent_bytes", "sent_message_count", "idle_seconds"),
            )
        )
        for it in records
    ],
)
SHORT = Answers(
    lambda them: [(it.id, it.peer, it.account_name, it.sent_bytes) for it in them],
    lambda reply: [_short(line) for line in reply.listing],
    lambda records: [
        (it["id"], it["peer"], it["account_name"], it["sent_bytes"]) for it in records
    ],
)


def _short(line: str) -> tuple[Any, ...]:
    number, peer, account, _, sent = line.split()
    return number, peer, account.strip("-"), int(sent.removeprefix("sent="))


def _ended(reply: Reply) -> int:
    return int(reply.line.split()[1])


ENDED = Answers(lambda ended: ended, _ended, lambda record: record["ended_session_count"])

ABILITIES = [
    Ability(
        "SessionsService/ListSessions",
        _list,
        "SESSIONS",
        ("sessions", "list"),
        ALL,
        refused=None,
    ),
    Ability(
        "SessionsService/ListSessions",
        _list,
        "ALL_CONNEC",
        ("sessions", "list"),
        SHORT,
        what="in the seed's words",
        refused=None,
    ),
    Ability(
        "SessionsService/ListSessions",
        _list_ana,
        "SESSIONS ana",
        ("sessions", "list", "--account", "ana"),
        ALL,
        what="of an account",
    ),
    Ability(
        "SessionsService/ListSessions",
        _list,
        "CURR_CONNEC",
        ("sessions", "list"),
        SHORT,
        own=True,
        what="of the own account",
    ),
    Ability(
        "SessionsService/DisconnectSession",
        _disconnect_one,
        "KICK 2",
        ("sessions", "disconnect", "2"),
        ENDED,
        refused=Reason.SESSION_NOT_FOUND,
    ),
    Ability(
        "SessionsService/DisconnectSession",
        _disconnect_ana,
        "KICK_USER ana",
        ("sessions", "disconnect", "--account", "ana"),
        ENDED,
        what="of an account",
    ),
    Ability(
        "SessionsService/DisconnectSession",
        _disconnect_own,
        "KICK 3",
        ("sessions", "disconnect", "3"),
        ENDED,
        own=True,
        what="of the own account",
    ),
]
