"""What is done with accounts."""

from __future__ import annotations

from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import ANAS_PASSWORD, NEW_PASSWORD, Reply, World
from pop3mgmt.client import Caller


async def _apop(world: World) -> Facts:
    await world.service.admin.set_apop_secret("ana")
    return {}


OUTCOMES = {"imported": 1, "exists": 2, "refused": 3}


def _facts_of(reply: Reply) -> dict[str, Any]:
    told = dict(line.split(": ", 1) for line in reply.listing)
    return {
        "name": reply.line.removeprefix("+OK account "),
        "role": told["role"],
        "sessions": int(told["sessions"]),
        "default": told["default-password"] == "yes",
        "apop": told["apop-secret"] == "yes",
    }


def _facts(account: Any) -> dict[str, Any]:
    return {
        "name": account.name,
        "role": {1: "user", 2: "admin"}[account.role],
        "sessions": account.session_count,
        "default": account.has_default_password,
        "apop": account.has_apop_secret,
    }


def _facts_in(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": record["name"],
        "role": record["role"],
        "sessions": record["session_count"],
        "default": record["has_default_password"],
        "apop": record["has_apop_secret"],
    }


ONE = Answers(_facts, _facts_of, _facts_in)


async def _list(caller: Caller, _: Facts) -> Any:
    return await caller.list_accounts()


async def _get(caller: Caller, _: Facts) -> Any:
    return await caller.get_account("ana")


async def _get_own(caller: Caller, _: Facts) -> Any:
    return await caller.get_account()


async def _policy(caller: Caller, _: Facts) -> Any:
    return await caller.get_password_policy()


def _on(word: str) -> Any:
    return word == "on" if word in ("on", "off") else int(word)


async def _create(caller: Caller, _: Facts) -> Any:
    return await caller.create_account("eva", NEW_PASSWORD)


async def _delete(caller: Caller, _: Facts) -> Any:
    return await caller.delete_account("ana")


async def _reset(caller: Caller, _: Facts) -> Any:
    return await caller.reset_password("ana")


async def _change(caller: Caller, _: Facts) -> Any:
    return await caller.change_password(ANAS_PASSWORD, NEW_PASSWORD)


async def _set_apop(caller: Caller, _: Facts) -> Any:
    return await caller.set_apop_secret("ana")


async def _remove_apop(caller: Caller, _: Facts) -> Any:
    return await caller.remove_apop_secret("ana")


FILE = f"eva:{{PLAIN}}{NEW_PASSWORD}\nana:{{PLAIN}}x\n"


async def _import(caller: Caller, _: Facts) -> Any:
    return await caller.import_accounts([FILE.encode()])


def _words(reply: Reply) -> list[str]:
    return reply.line.split()


ABILITIES = [
    Ability(
        "AccountsService/ListAccounts",
        _list,
        "USERS",
        ("accounts", "list"),
        Answers(
            lambda them: {(it.name, it.session_count) for it in them},
            lambda reply: {
                (line.split()[0], int(line.rpartition("sessions=")[2])) for line in reply.listing
            },
            lambda records: {(it["name"], it["session_count"]) for it in records},
        ),
    ),
    Ability(
        "AccountsService/GetPasswordPolicy",
        _policy,
        "PASSWORD_POLICY",
        ("accounts", "password-policy"),
        Answers(
            lambda policy: {it.name: getattr(policy, it.name) for it in policy.DESCRIPTOR.fields},
            lambda reply: {
                name: _on(value) for name, value in (it.split(": ") for it in reply.listing)
            },
            lambda record: record,
        ),
        own=True,
    ),
    Ability("AccountsService/GetAccount", _get, "ACCOUNT ana", ("accounts", "show", "ana"), ONE),
    Ability(
        "AccountsService/GetAccount",
        _get_own,
        "ACCOUNT",
        ("accounts", "show"),
        ONE,
        own=True,
        what="of the own account",
    ),
    Ability(
        "AccountsService/CreateAccount",
        _create,
        f"ADD_USER eva {NEW_PASSWORD}",
        ("accounts", "add", "eva", "--password-stdin"),
        stdin=NEW_PASSWORD,
    ),
    Ability(
        "AccountsService/ImportAccounts",
        _import,
        "",
        ("accounts", "import", "--from", "dovecot-passwd", "-"),
        Answers(
            lambda lines: [(it.name, it.outcome) for it in lines],
            lambda reply: None,
            lambda record: [(it["name"], OUTCOMES[it["outcome"]]) for it in record["lines"]],
        ),
        stdin=FILE,
    ),
    Ability(
        "AccountsService/DeleteAccount",
        _delete,
        "DELETE_USER ana",
        ("accounts", "delete", "ana", "--yes"),
        Answers(
            lambda ended: ended,
            lambda reply: int(_words(reply)[4]),
            lambda record: record["ended_session_count"],
        ),
    ),
    Ability(
        "AccountsService/ResetPassword",
        _reset,
        "RESET_USER_PASSWORD ana",
        ("accounts", "reset-password", "ana"),
        passwords=Answers(
            lambda password: ("ana", password),
            lambda reply: ("ana", _words(reply)[-1]),
            lambda record: ("ana", record["new_password"]),
        ),
    ),
    Ability(
        "AccountsService/ChangePassword",
        _change,
        f"CHANGE_PASSWORD {ANAS_PASSWORD} {NEW_PASSWORD}",
        ("accounts", "change-password"),
        Answers(
            lambda ended: ended,
            lambda reply: int(_words(reply)[3]),
            lambda record: record["ended_session_count"],
        ),
        variables={"POP3CTL_PASSWORD": ANAS_PASSWORD, "POP3CTL_NEW_PASSWORD": NEW_PASSWORD},
        own=True,
    ),
    Ability(
        "AccountsService/SetApopSecret",
        _set_apop,
        "APOP SET ana",
        ("accounts", "apop", "set", "ana"),
        Answers(
            len,
            lambda reply: len(_words(reply)[-1]),
            lambda record: len(record["secret"]),
        ),
    ),
    Ability(
        "AccountsService/RemoveApopSecret",
        _remove_apop,
        "APOP OFF ana",
        ("accounts", "apop", "off", "ana"),
        prepare=_apop,
    ),
]
