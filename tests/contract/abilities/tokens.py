"""What is done with automation tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3_service.domain.rights import BUILT_IN
from pop3mgmt.client import Caller

NETWORKS = ("192.0.2.0/24", "127.0.0.0/8")


async def _ci(world: World) -> Facts:
    await world.service.admin.create_token("ci", "auditor", networks=NETWORKS)
    return {}


async def _list(caller: Caller, _: Facts) -> Any:
    return await caller.list_tokens()


async def _create(caller: Caller, _: Facts) -> Any:
    return await caller.create_token(
        "ci", "operator", networks=NETWORKS, lifetime=timedelta(days=90)
    )


async def _revoke(caller: Caller, _: Facts) -> Any:
    return await caller.revoke_token("ci")


def _row(line: str) -> tuple[Any, ...]:
    name, role, *facts = line.split()
    told = dict(fact.split("=", 1) for fact in facts)
    return name, role, told["networks"].split(","), told["by"], told["last-used"] == "never"


ABILITIES = [
    Ability(
        "TokensService/ListTokens",
        _list,
        "TOKENS",
        ("tokens", "list"),
        Answers(
            lambda them: [
                (
                    *(it.name, it.role_name, list(it.networks), it.created_by),
                    not it.HasField("last_use_time"),
                )
                for it in them
            ],
            lambda reply: [_row(line) for line in reply.listing],
            lambda records: [
                (
                    *(it["name"], it["role"], it["networks"], it["created_by"]),
                    it["last_use_time"] is None,
                )
                for it in records
            ],
        ),
        prepare=_ci,
    ),
    Ability(
        "TokensService/CreateToken",
        _create,
        f"CREATE_TOKEN ci operator 90 {','.join(NETWORKS)}",
        (
            *("tokens", "create", "ci", "--role", "operator", "--expires", "90d"),
            *("--network", NETWORKS[0], "--network", NETWORKS[1]),
        ),
        Answers(
            lambda made: _form(made.secret),
            lambda reply: _form(_secret(reply)),
            lambda record: _form(record["secret"]),
        ),
        given=BUILT_IN["operator"].rights,
    ),
    Ability(
        "TokensService/RevokeToken",
        _revoke,
        "REVOKE_TOKEN ci",
        ("tokens", "revoke", "ci"),
        prepare=_ci,
        given=BUILT_IN["auditor"].rights,
    ),
]


def _secret(reply: Reply) -> str:
    return reply.line.removeprefix("+OK token ci: ")


def _form(secret: str) -> tuple[str, int]:
    return secret[:7], len(secret)
