"""Every ability exists three times with one meaning: gRPC, SCMP line, pop3ctl command.

``contract/abilities`` says how each call is made. Here each is made in all three ways, by somebody
who has the one right that it needs, and refused in all three ways to who lacks that right alone.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from admin_cli.exit_codes import EXIT_CODES
from contract.abilities import every
from contract.ability import COMMANDS, Ability, Facts, access_of
from contract.rights import WITHOUT_COMMAND, WITHOUT_SCMP, guarded, markdown, table
from contract.world import USER, Person, Reply, Told, World
from pop3_service.domain.rights import BUILT_IN, Right
from pop3mgmt.errors import ManagementError
from scmp_gateway.errors import CODE
from scmp_gateway.verbs import VERBS

EVERY = every()
WAYS = ("grpc", "scmp", "pop3ctl")
PAGE = Path(__file__).parents[2] / "proto" / "RIGHTS.md"
STREAMS = {
    "SessionsService/WatchSessions": "test_sessions.py, test_pop3ctl_sessions.py",
    "ServerService/WatchStatus": "test_server.py, test_pop3ctl_server.py",
    "AuditService/WatchAudit": "test_audit.py",
}
"""Calls that do not end by themselves, and where they are tested."""
BY_THEMSELVES = {"AuthService/Login", "AuthService/Logout", "AuthService/RenewToken"}
"""Calls that the programs make around those that are asked for."""


@contextlib.asynccontextmanager
async def prepared(folder: Path, ability: Ability) -> AsyncIterator[tuple[World, Facts]]:
    """A world in which the call can be made."""
    folder.mkdir()
    ability.files(folder)
    async with World(folder).running() as world:
        yield world, await ability.prepare(world)


async def who_may(world: World, ability: Ability) -> Person:
    """Somebody who has the right, those that he hands out, and "own", without which nobody is."""
    if ability.own:
        return USER
    calls = (*VERBS[ability.verb].calls, *COMMANDS[ability.command].calls) if ability.verb else ()
    others = [access_of(call) - {Right.OWN} for call in calls if call != ability.rpc]
    rights = ability.needed | ability.given | frozenset({Right.OWN}).union(*others)
    return await world.person(rights)


async def who_may_not(world: World, ability: Ability) -> Person:
    """Somebody who has every right but that; without "own", it is an automation token."""
    lacking = ability.needed
    if ability.own:
        calls = (ability.rpc, *COMMANDS[ability.command].calls)
        lacking = frozenset().union(*map(access_of, calls))
    return await world.person(frozenset(Right) - lacking, with_account=not ability.own)


async def by_grpc(world: World, ability: Ability, facts: Facts, who: Person) -> Any:
    return await ability.grpc(await world.log_in(who), facts)


async def by_scmp(world: World, ability: Ability, facts: Facts, who: Person) -> Reply:
    async with world.telnet() as client:
        await client.log_in(who)
        world.calls.clear()
        return await client.say(ability.scmp.format(**facts))


async def by_pop3ctl(world: World, ability: Ability, facts: Facts, who: Person) -> Told:
    words = [word.format(**facts) for word in ability.pop3ctl]
    if ability.kept:
        assert (await world.pop3ctl(who, "login")).status == 0
        who = Person("")
    world.calls.clear()
    return await world.pop3ctl(who, *words, stdin=ability.stdin, **ability.variables)


@dataclass
class Walk:
    """What became of a call that was made one way."""

    effects: Any = None
    answer: Any = None
    password: tuple[str, str] | None = None
    calls: set[str] = field(default_factory=set)
    changed: bool = False


_WALKED: dict[tuple[str, str], Walk] = {}


async def walk(folder: Path, ability: Ability, way: str) -> Walk:
    """Make a call one way, in a world of its own; it succeeds."""
    if found := _WALKED.get((ability.name, way)):
        return found
    made = Walk()
    async with prepared(folder / f"{len(_WALKED)}", ability) as (world, facts):
        who = await who_may(world, ability)
        before = await world.seen()
        said = await told(world, ability, facts, way, who)
        made.calls = set(world.calls) - (BY_THEMSELVES - {ability.rpc})
        made.effects = await world.seen()
        made.changed = made.effects != before
        if ability.answers:
            made.answer = getattr(ability.answers, way)(said)
        if ability.passwords:
            made.password = getattr(ability.passwords, way)(said)
            assert await world.logs_in(*made.password)
    _WALKED[ability.name, way] = made
    return made


async def told(world: World, ability: Ability, facts: Facts, way: str, who: Person) -> Any:
    """Make the call one way, which succeeds; give what is told."""
    match way:
        case "grpc":
            return await by_grpc(world, ability, facts, who)
        case "scmp":
            reply = await by_scmp(world, ability, facts, who)
            assert reply.line.startswith("+OK"), reply.line
            return reply
        case _:
            ended = await by_pop3ctl(world, ability, facts, who)
            assert ended.status == 0, ended
            return ended.lines if ability.lines else ended.json


def ways(ability: Ability) -> list[str]:
    return [way for way in WAYS if way != "scmp" or ability.scmp]


# --- the walks ---


@pytest.mark.parametrize("ability", EVERY, ids=lambda it: it.name)
async def test_an_ability_means_the_same_in_all_three_ways(
    ability: Ability, tmp_path: Path
) -> None:
    by_grpc, *others = [await walk(tmp_path, ability, way) for way in ways(ability)]
    assert others
    assert by_grpc.changed or ability.answers, "nothing to compare"
    for other in others:
        assert other.effects == by_grpc.effects
        assert other.answer == by_grpc.answer


@pytest.mark.parametrize("ability", [it for it in EVERY if it.refused], ids=lambda it: it.name)
async def test_an_ability_is_refused_in_all_three_ways_without_its_right(
    ability: Ability, tmp_path: Path
) -> None:
    reason = ability.refused
    assert reason is not None
    async with prepared(tmp_path / "world", ability) as (world, facts):
        who = await who_may_not(world, ability)
        before = await world.seen()
        with pytest.raises(ManagementError) as refused:
            await by_grpc(world, ability, facts, who)
        assert refused.value.reason is reason
        if ability.scmp:
            reply = await by_scmp(world, ability, facts, who)
            assert reply.line.startswith(f"-ERR [{CODE[reason]}] "), reply
        ended = await by_pop3ctl(world, ability, facts, who)
        assert (ended.status, ended.reason) == (EXIT_CODES[reason], reason)
        after = await world.seen()
        if who.token:  # it was used, which is noted
            for seen in (before, after):
                seen["tables"].pop("automation_tokens")
        assert after == before


@pytest.mark.parametrize(
    "ability", [it for it in EVERY if it.alternatives and not it.refused], ids=lambda it: it.name
)
async def test_who_lacks_the_right_is_told_of_the_own_account_alone(
    ability: Ability, tmp_path: Path
) -> None:
    assert ability.answers is not None
    async with prepared(tmp_path / "world", ability) as (world, facts):
        who = await who_may_not(world, ability)
        answers = [
            getattr(ability.answers, way)(await told(world, ability, facts, way, who))
            for way in ways(ability)
        ]
        assert answers == [[]] * len(answers)


# --- the table ---


def test_every_call_has_an_ability() -> None:
    assert {it.rpc for it in EVERY} | STREAMS.keys() | WITHOUT_COMMAND.keys() == guarded().keys()


def test_a_call_without_a_verb_is_there_for_a_reason() -> None:
    assert {row.call for row in table() if not row.verbs} == WITHOUT_SCMP.keys()
    assert {it.rpc for it in EVERY if not it.scmp} <= WITHOUT_SCMP.keys()


def test_a_call_without_a_command_is_there_for_a_reason() -> None:
    assert {row.call for row in table() if not row.commands} == WITHOUT_COMMAND.keys()


def test_no_verb_and_no_command_names_a_call_that_is_not_there() -> None:
    for verb in VERBS.values():
        assert {*verb.calls, *verb.also} <= guarded().keys()
    for command in COMMANDS.values():
        assert {*command.calls, *command.also} <= {*guarded(), "AuthService/Login"}


async def test_what_verbs_and_commands_are_said_to_call_is_what_they_call(tmp_path: Path) -> None:
    verbs: dict[str, list[set[str]]] = defaultdict(list)
    words: dict[str, list[set[str]]] = defaultdict(list)
    for ability in EVERY:
        if ability.scmp:
            verbs[ability.verb].append((await walk(tmp_path, ability, "scmp")).calls)
        words[ability.command].append((await walk(tmp_path, ability, "pop3ctl")).calls)
    for name, verb in VERBS.items():
        if verb.calls:
            assert set().union(*verbs[name]) == {*verb.calls, *verb.also}, name
    for name, command in COMMANDS.items():
        streamed = {call for call in command.also if call in STREAMS}
        if command.calls and not set(command.calls) <= {*STREAMS, "AuthService/Login"}:
            assert set().union(*words[name]) == {*command.calls, *command.also} - streamed, name


def test_the_page_of_rights_is_true() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "make rights > proto/RIGHTS.md"


# --- SCMP, by role ---


@pytest.mark.attack(49, "as non-admin")
@pytest.mark.parametrize("role", BUILT_IN)
async def test_a_role_may_use_exactly_the_verbs_that_its_rights_open(
    role: str, tmp_path: Path
) -> None:
    rights = BUILT_IN[role].rights
    open_ = {
        name
        for name, verb in VERBS.items()
        if verb.calls
        and all(not access_of(call) or access_of(call) & rights for call in verb.calls)
    }
    lines = {it.verb: it.scmp for it in sorted(EVERY, key=lambda it: -len(it.scmp)) if it.scmp}
    async with World(tmp_path).running() as world:
        await world.service.admin.create_account("rita", "lumpy-orange-kettle-43", role)
        rita = Person("rita", "lumpy-orange-kettle-43")
        for name, verb in VERBS.items():
            if not verb.calls:
                continue
            async with world.telnet() as client:
                await client.log_in(rita)
                told = (await client.say("CAPA")).listing
                assert {it for it in told if it in VERBS and VERBS[it].calls} == open_
                assert f"ROLE {role}" in told
                line = lines[name].format_map(defaultdict(lambda: "9"))
                if any(Right.OWN in access_of(call) for call in verb.calls):
                    line = line.replace(" ana", " rita")
                reply = await client.say(line)
                assert reply.line.startswith("-ERR [DENIED] ") is (name not in open_), reply
