"""Address rules, bans and suspensions: who may come in from where, and why."""

from __future__ import annotations

import ipaddress

from google.protobuf.duration_pb2 import Duration

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.durations import parse_duration
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.access_pb2 import (
    ACCESS_KIND_BOTH,
    ACCESS_KIND_MANAGEMENT,
    ACCESS_KIND_POP3,
    AddressRule,
    Ban,
    Ground,
    LoginDelay,
    Suspension,
    Verdict,
)
from scmp_gateway.command import Line, number
from scmp_gateway.times import show_time

KINDS = {
    "POP3": ACCESS_KIND_POP3,
    "MANAGEMENT": ACCESS_KIND_MANAGEMENT,
    "BOTH": ACCESS_KIND_BOTH,
}
_KIND_NAMES = {kind: name.lower() for name, kind in KINDS.items()}
_EFFECTS = {"ALLOW": AddressRule.EFFECT_ALLOW, "DENY": AddressRule.EFFECT_DENY}
_EFFECT_NAMES = {effect: name.lower() for name, effect in _EFFECTS.items()}


async def rules(caller: Caller, line: Line) -> Reply:
    """All address rules."""
    found = await caller.list_rules()
    return Listing(f"{len(found)} address rules", [rule_line(it) for it in found])


async def set_rule(caller: Caller, line: Line) -> Reply:
    """Make an address rule, as ALLOW or as DENY."""
    given = _options(line, ("FOR", "ON"))
    kind = KINDS.get(given.get("ON", "BOTH").upper())
    if kind is None:
        raise ManagementError(Reason.INVALID_ARGUMENT, "a rule is ON POP3, MANAGEMENT or BOTH")
    rule = AddressRule(
        effect=_EFFECTS[line.verb],
        network=line.words[0],
        subject=given.get("FOR", ""),
        kind=kind,
        note=given.get("BECAUSE", ""),
    )
    made, ended = await caller.create_rule(rule, force="FORCE" in given)
    return Ok(f"rule {made.id} made, {ended} sessions ended")


async def remove_rule(caller: Caller, line: Line) -> Reply:
    """Remove an address rule."""
    wanted = number(line.words[0])
    if wanted is None:
        raise ManagementError(Reason.INVALID_ARGUMENT, "a rule's id is a whole number")
    force = "FORCE" in _options(line, ())
    removed, ended = await caller.delete_rule(wanted, force=force)
    return Ok(f"rule {removed.id} removed, {ended} sessions ended")


async def bans(caller: Caller, line: Line) -> Reply:
    """All bans and suspensions."""
    networks, accounts = await caller.list_bans(), await caller.list_suspensions()
    return Listing(
        f"{len(networks)} networks banned, {len(accounts)} accounts suspended",
        [ban_line(it) for it in networks] + [suspension_line(it) for it in accounts],
    )


async def ban(caller: Caller, line: Line) -> Reply:
    """Ban a network."""
    given = _options(line, ("FOR",))
    made, ended = await caller.ban(
        line.words[0], given.get("BECAUSE", ""), _duration(given), force="FORCE" in given
    )
    return Ok(f"{made.network} banned {_until(made)}, {ended} sessions ended")


async def unban(caller: Caller, line: Line) -> Reply:
    """Let a network in again."""
    return Ok(f"{(await caller.lift_ban(line.words[0])).network} is banned no more")


async def suspend(caller: Caller, line: Line) -> Reply:
    """Keep an account out."""
    given = _options(line, ("FOR",))
    made, ended = await caller.suspend_account(
        line.words[0], given.get("BECAUSE", ""), _duration(given), force="FORCE" in given
    )
    return Ok(f"account {made.account_name} suspended {_until(made)}, {ended} sessions ended")


async def resume(caller: Caller, line: Line) -> Reply:
    """Let an account log in again."""
    was = await caller.resume_account(line.words[0])
    return Ok(f"account {was.account_name} is suspended no more")


async def why(caller: Caller, line: Line) -> Reply:
    """What would happen to a login, and what decides."""
    addresses = [it for it in line.words if _is_address(it)]
    accounts = [it for it in line.words if not _is_address(it)]
    if len(addresses) > 1 or len(accounts) > 1:
        raise ManagementError(Reason.INVALID_ARGUMENT, "give one address, one account, or both")
    told = await caller.explain_access("".join(addresses), "".join(accounts))
    outcomes = [f"{_KIND_NAMES[it.kind]} {_outcome(it)}" for it in told.verdicts]
    lines = [text for verdict in told.verdicts for text in _verdict_lines(verdict)]
    return Listing(", ".join(outcomes), lines + _delay_lines(told.delay))


def rule_line(rule: AddressRule) -> str:
    """Tell of a rule in one line."""
    return (
        f"{rule.id} {_EFFECT_NAMES[rule.effect]} {rule.network} for={rule.subject}"
        f" on={_KIND_NAMES[rule.kind]} by={rule.set_by} since={show_time(rule.set_time)}"
        f" {rule.note}".rstrip()
    )


def ban_line(ban: Ban) -> str:
    """Tell of a ban in one line."""
    return f"network {ban.network} {_set(ban)}"


def suspension_line(suspension: Suspension) -> str:
    """Tell of a suspension in one line."""
    return f"account {suspension.account_name} {_set(suspension)}"


def _set(what: Ban | Suspension) -> str:
    end = show_time(what.end_time) if what.HasField("end_time") else "-"
    since = show_time(what.set_time)
    return f"until={end} by={what.set_by} since={since} {what.reason}".rstrip()


def _until(what: Ban | Suspension) -> str:
    return f"until {show_time(what.end_time)}" if what.HasField("end_time") else "for ever"


def _verdict_lines(verdict: Verdict) -> list[str]:
    kind = _KIND_NAMES[verdict.kind]
    lines = [f"{kind}: {_outcome(verdict)}"]
    for at, ground in enumerate(verdict.grounds):
        lines.append(f"{kind}-{'then' if at else 'decides'}: {_ground_line(ground)}")
    return lines + [f"{kind}-others: rule {rule_line(it)}" for it in verdict.other_rules]


def _ground_line(ground: Ground) -> str:
    if ground.HasField("ban"):
        return f"ban {ban_line(ground.ban)}"
    if ground.HasField("suspension"):
        return f"suspension {suspension_line(ground.suspension)}"
    return f"rule {rule_line(ground.rule)}"


def _outcome(verdict: Verdict) -> str:
    return "allowed" if verdict.allowed else "refused"


def _delay_lines(delay: LoginDelay) -> list[str]:
    """Tell what the throttle does: failures, and delays in seconds."""
    return [
        f"throttle-network: {delay.network or '-'} failures={delay.network_failure_count}"
        f"{' shared' if delay.shared else ''}{' known-place' if delay.known_place else ''}",
        f"throttle-account: failures={delay.account_failure_count}",
        f"check-delay: {_seconds(delay.check_delay)}",
        f"wrong-login-delay: {_seconds(delay.answer_delay)}",
    ]


def _seconds(duration: Duration) -> str:
    return f"{duration.ToTimedelta().total_seconds():g}"


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _options(line: Line, valued: tuple[str, ...]) -> dict[str, str]:
    """Read what follows the first word: ``valued`` with a word each, FORCE, and BECAUSE last.

    Raises:
        ManagementError: it is something else, or says a thing twice.
    """
    given: dict[str, str] = {}
    words = list(line.words[1:])
    while words:
        key = words.pop(0).upper()
        if key in given:
            raise ManagementError(Reason.INVALID_ARGUMENT, f"{key} is given twice")
        if key == "BECAUSE" and words:
            given[key], words = " ".join(words), []
        elif key in valued and words:
            given[key] = words.pop(0)
        elif key == "FORCE":
            given[key] = ""
        else:
            raise ManagementError(Reason.INVALID_ARGUMENT, f"{key} has no place there")
    return given


def _duration(given: dict[str, str]) -> float | None:
    if "FOR" not in given:
        return None
    try:
        return parse_duration(given["FOR"])
    except ValueError as error:
        raise ManagementError(Reason.INVALID_ARGUMENT, str(error)) from None
