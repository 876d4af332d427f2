"""What is done with address rules, bans and suspensions."""

from __future__ import annotations

from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import ANA, Reply, World
from pop3mgmt.client import Caller
from pop3mgmt.v1.access_pb2 import ACCESS_KIND_POP3, AddressRule

NETWORK = "198.51.100.0/24"


async def _with_rule(world: World) -> Facts:
    rule = AddressRule(effect=AddressRule.EFFECT_DENY, network=NETWORK, note="the lab")
    made, _ = await world.service.admin.create_rule(rule)
    return {"rule": str(made.id)}


async def _with_ban(world: World) -> Facts:
    await world.service.admin.ban(NETWORK, "guesses passwords")
    return {}


async def _with_suspension(world: World) -> Facts:
    await world.service.admin.suspend_account(ANA, "on leave")
    return {}


async def _with_all(world: World) -> Facts:
    await _with_ban(world)
    await _with_suspension(world)
    return await _with_rule(world)


async def _list_rules(caller: Caller, _: Facts) -> Any:
    return await caller.list_rules()


async def _list_bans(caller: Caller, _: Facts) -> Any:
    return await caller.list_bans()


async def _list_suspensions(caller: Caller, _: Facts) -> Any:
    return await caller.list_suspensions()


def _create_rule(effect: str) -> Any:
    async def create(caller: Caller, _: Facts) -> Any:
        rule = AddressRule(
            effect=AddressRule.Effect.Value(f"EFFECT_{effect}"),
            network=NETWORK,
            subject=f"account:{ANA}",
            kind=ACCESS_KIND_POP3,
            note="the lab",
        )
        return await caller.create_rule(rule)

    return create


async def _delete_rule(caller: Caller, facts: Facts) -> Any:
    return await caller.delete_rule(int(facts["rule"]))


async def _ban(caller: Caller, _: Facts) -> Any:
    return await caller.ban(NETWORK, "guesses passwords", 3600)


async def _lift(caller: Caller, _: Facts) -> Any:
    return await caller.lift_ban(NETWORK)


async def _suspend(caller: Caller, _: Facts) -> Any:
    return await caller.suspend_account(ANA, "on leave", 86400)


async def _resume(caller: Caller, _: Facts) -> Any:
    return await caller.resume_account(ANA)


async def _why(caller: Caller, _: Facts) -> Any:
    return await caller.explain_access("198.51.100.7", ANA)


def _scmp_rule(line: str) -> tuple[str, ...]:
    number, effect, network, subject, kind, by, _, *note = line.split(" ", 7)
    return number, effect, network, subject[4:], kind[3:], by[3:], "".join(note)


def _scmp_set(kind: str) -> Any:
    def read(reply: Reply) -> Any:
        lines = [it.split(" ", 5) for it in reply.listing]
        return [(it[1], it[3][3:], it[5]) for it in lines if it[0] == kind]

    return read


def _pop3ctl_set(kind: str) -> Any:
    def read(records: list[dict[str, Any]]) -> Any:
        return [(it["name"], it["set_by"], it["reason"]) for it in records if it["kind"] == kind]

    return read


def _scmp_why(reply: Reply) -> Any:
    told = [line.split(": ", 1) for line in reply.listing]
    outcomes = {key: value for key, value in told if key in ("pop3", "management")}
    said = [
        (key.partition("-")[0], value.split(" ", 1)[0])
        for key, value in told
        if key.endswith(("-decides", "-then", "-others"))
    ]
    return outcomes, said


_KINDS = {1: "pop3", 2: "management"}


def _grpc_why(response: Any) -> Any:
    outcomes = {_KINDS[it.kind]: "allowed" if it.allowed else "refused" for it in response.verdicts}
    said = [
        (_KINDS[it.kind], field.name)
        for it in response.verdicts
        for ground in it.grounds
        for field, _ in ground.ListFields()
    ]
    return outcomes, said


def _pop3ctl_why(records: list[dict[str, Any]]) -> Any:
    outcomes = {it["kind"]: it["outcome"] for it in records}
    return outcomes, [(it["kind"], it["what"].split(" ", 1)[0]) for it in records]


FOR_ANA = ("--for", f"account:{ANA}", "--on", "pop3", "--note", "the lab")
ABILITIES = [
    Ability(
        "AccessService/ListRules",
        _list_rules,
        "RULES",
        ("rules", "list"),
        Answers(
            lambda them: [
                (str(it.id), "deny", it.network, it.subject, "both", it.set_by, it.note)
                for it in them
            ],
            lambda reply: [_scmp_rule(it) for it in reply.listing],
            lambda records: [
                (
                    str(it["id"]),
                    it["effect"],
                    it["network"],
                    it["subject"],
                    it["kind"],
                    it["set_by"],
                    it["note"],
                )
                for it in records
            ],
        ),
        prepare=_with_rule,
    ),
    Ability(
        "AccessService/ListBans",
        _list_bans,
        "BANS",
        ("bans", "list"),
        Answers(
            lambda them: [(it.network, it.set_by, it.reason) for it in them],
            _scmp_set("network"),
            _pop3ctl_set("network"),
        ),
        prepare=_with_all,
    ),
    Ability(
        "AccessService/ListSuspensions",
        _list_suspensions,
        "BANS",
        ("bans", "list"),
        Answers(
            lambda them: [(it.account_name, it.set_by, it.reason) for it in them],
            _scmp_set("account"),
            _pop3ctl_set("account"),
        ),
        prepare=_with_all,
    ),
    Ability(
        "AccessService/CreateRule",
        _create_rule("DENY"),
        f"DENY {NETWORK} FOR account:{ANA} ON POP3 BECAUSE the lab",
        ("rules", "deny", NETWORK, *FOR_ANA),
        what="that denies",
    ),
    Ability(
        "AccessService/CreateRule",
        _create_rule("ALLOW"),
        f"allow {NETWORK} on pop3 for account:{ANA} because the lab",
        ("rules", "allow", NETWORK, *FOR_ANA),
        what="that allows",
    ),
    Ability(
        "AccessService/CreateBan",
        _ban,
        f"BAN {NETWORK} FOR 1h BECAUSE guesses passwords",
        ("bans", "add", NETWORK, "--for", "1h", "--reason", "guesses passwords"),
    ),
    Ability(
        "AccessService/DeleteRule",
        _delete_rule,
        "REMOVE_RULE {rule}",
        ("rules", "remove", "{rule}"),
        prepare=_with_all,
    ),
    Ability(
        "AccessService/DeleteBan",
        _lift,
        f"UNBAN {NETWORK}",
        ("bans", "lift", NETWORK),
        prepare=_with_all,
    ),
    Ability(
        "AccessService/SuspendAccount",
        _suspend,
        f"SUSPEND {ANA} FOR 1d BECAUSE on leave",
        ("accounts", "suspend", ANA, "--for", "1d", "--reason", "on leave"),
    ),
    Ability(
        "AccessService/ResumeAccount",
        _resume,
        f"RESUME {ANA}",
        ("accounts", "resume", ANA),
        prepare=_with_suspension,
    ),
    Ability(
        "AccessService/ExplainAccess",
        _why,
        f"WHY {ANA} 198.51.100.7",
        ("why", ANA, "198.51.100.7"),
        Answers(_grpc_why, _scmp_why, _pop3ctl_why),
        prepare=_with_all,
    ),
]
