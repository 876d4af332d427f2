"""What is done with address rules, bans and suspensions. 198.51.100.0/24 is where nobody is."""

from __future__ import annotations

from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3mgmt.client import Caller
from pop3mgmt.v1.access_pb2 import ACCESS_KIND_POP3, AddressRule

NETWORK = "198.51.100.0/24"
HOST = "198.51.100.7"


def _rule(effect: AddressRule.Effect.ValueType) -> AddressRule:
    return AddressRule(effect=effect, network=NETWORK, subject="role:user", kind=ACCESS_KIND_POP3)


async def _denied(world: World) -> Facts:
    rule, _ = await world.service.admin.create_rule(_rule(AddressRule.EFFECT_DENY))
    return {"rule": str(rule.id)}


async def _banned(world: World) -> Facts:
    await world.service.admin.ban(NETWORK, "guesses")
    return {}


async def _suspended(world: World) -> Facts:
    await world.service.admin.suspend_account("ana", "has left")
    return {}


async def _both(world: World) -> Facts:
    return {**await _banned(world), **await _suspended(world)}


async def _rules(caller: Caller, _: Facts) -> Any:
    return await caller.list_rules()


async def _allow(caller: Caller, _: Facts) -> Any:
    return await caller.create_rule(_rule(AddressRule.EFFECT_ALLOW))


async def _deny(caller: Caller, _: Facts) -> Any:
    return await caller.create_rule(_rule(AddressRule.EFFECT_DENY))


async def _remove(caller: Caller, facts: Facts) -> Any:
    return await caller.delete_rule(int(facts["rule"]))


async def _bans(caller: Caller, _: Facts) -> Any:
    return [it.network for it in await caller.list_bans()]


async def _suspensions(caller: Caller, _: Facts) -> Any:
    return [it.account_name for it in await caller.list_suspensions()]


async def _ban(caller: Caller, _: Facts) -> Any:
    return await caller.ban(NETWORK, "", 3600.0)


async def _lift(caller: Caller, _: Facts) -> Any:
    return await caller.lift_ban(NETWORK)


async def _suspend(caller: Caller, _: Facts) -> Any:
    return await caller.suspend_account("ana", "has left", 3600.0)


async def _resume(caller: Caller, _: Facts) -> Any:
    return await caller.resume_account("ana")


async def _why(caller: Caller, _: Facts) -> Any:
    return await caller.explain_access(HOST, "ana")


ENDED = Answers(
    lambda done: done[1],
    lambda reply: int(reply.line.split()[-3]),
    lambda record: record["ended_session_count"],
)


def _listed(kind: str) -> Any:
    """Give the first words of the lines of one kind: BANS tells of networks and accounts."""

    def names(reply: Reply) -> list[str]:
        return [line.split()[1] for line in reply.listing if line.startswith(f"{kind} ")]

    return names


def _named(kind: str) -> Any:
    return lambda records: [it["name"] for it in records if it["kind"] == kind]


ABILITIES = [
    Ability(
        "AccessService/ListRules",
        _rules,
        "RULES",
        ("rules", "list"),
        Answers(
            lambda them: [(it.id, it.network) for it in them],
            lambda reply: [(int(it.split()[0]), it.split()[2]) for it in reply.listing],
            lambda records: [(it["id"], it["network"]) for it in records],
        ),
        prepare=_denied,
    ),
    Ability(
        "AccessService/CreateRule",
        _allow,
        f"ALLOW {NETWORK} FOR role:user ON POP3",
        ("rules", "allow", NETWORK, "--for", "role:user", "--on", "pop3"),
        ENDED,
        what="that allows",
    ),
    Ability(
        "AccessService/CreateRule",
        _deny,
        f"DENY {NETWORK} FOR role:user ON POP3",
        ("rules", "deny", NETWORK, "--for", "role:user", "--on", "pop3"),
        ENDED,
    ),
    Ability(
        "AccessService/DeleteRule",
        _remove,
        "REMOVE_RULE {rule}",
        ("rules", "remove", "{rule}"),
        ENDED,
        prepare=_denied,
    ),
    Ability(
        "AccessService/ListBans",
        _bans,
        "BANS",
        ("bans", "list"),
        Answers(lambda names: names, _listed("network"), _named("network")),
        prepare=_both,
    ),
    Ability(
        "AccessService/ListSuspensions",
        _suspensions,
        "BANS",
        ("bans", "list"),
        Answers(lambda names: names, _listed("account"), _named("account")),
        prepare=_both,
    ),
    Ability(
        "AccessService/CreateBan",
        _ban,
        f"BAN {NETWORK} FOR 1h",
        ("bans", "add", NETWORK, "--for", "1h"),
        ENDED,
    ),
    Ability(
        "AccessService/DeleteBan",
        _lift,
        f"UNBAN {NETWORK}",
        ("bans", "lift", NETWORK),
        prepare=_banned,
    ),
    Ability(
        "AccessService/SuspendAccount",
        _suspend,
        "SUSPEND ana FOR 1h BECAUSE has left",
        ("accounts", "suspend", "ana", "--for", "1h", "--reason", "has left"),
        ENDED,
    ),
    Ability(
        "AccessService/ResumeAccount",
        _resume,
        "RESUME ana",
        ("accounts", "resume", "ana"),
        prepare=_suspended,
    ),
    Ability(
        "AccessService/ExplainAccess",
        _why,
        f"WHY ana {HOST}",
        ("why", "ana", HOST),
        Answers(
            lambda told: {it.allowed for it in told.verdicts},
            lambda reply: {word == "allowed" for word in reply.line.replace(",", "").split()[2::2]},
            lambda told: {it["outcome"] == "allowed" for it in told},
        ),
        prepare=_both,
    ),
]
