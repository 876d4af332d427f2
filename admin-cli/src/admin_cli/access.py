"""rules, bans, why: who may come in from where."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import click

from admin_cli.commands import ANY_TEXT, TEXT, Command, Duration, Noun
from admin_cli.connection import call
from admin_cli.output import (
    Column,
    Record,
    local_time,
    note,
    show_done,
    show_list,
    text_or_dash,
    timestamp,
)

if TYPE_CHECKING:
    from pop3mgmt.v1.access_pb2 import AddressRule, Ban, Ground, Suspension, Verdict

KINDS = ("pop3", "management", "both")

RULE_COLUMNS = (
    Column("id", "ID", right=True),
    Column("effect", "EFFECT"),
    Column("network", "NETWORK"),
    Column("subject", "FOR"),
    Column("kind", "ON"),
    Column("set_by", "SET BY"),
    Column("set_time", "SET", local_time),
    Column("note", "NOTE", text_or_dash),
)
BAN_COLUMNS = (
    Column("kind", "KIND"),
    Column("name", "NETWORK OR ACCOUNT"),
    Column("end_time", "UNTIL", lambda moment: local_time(moment) if moment else "for ever"),
    Column("set_by", "SET BY"),
    Column("set_time", "SET", local_time),
    Column("reason", "REASON", text_or_dash),
)
WHY_COLUMNS = (
    Column("kind", "LOGIN"),
    Column("outcome", "OUTCOME"),
    Column("rank", "WEIGHT"),
    Column("what", "WHAT"),
    Column("end_time", "UNTIL", local_time),
    Column("set_by", "SET BY", text_or_dash),
    Column("text", "REASON OR NOTE", text_or_dash),
)

force_option = click.option(
    "--force", is_flag=True, help="Even if it locks out you, or many who share an address."
)
for_option = click.option(
    "--for",
    "duration",
    type=Duration(0.001),
    default=None,
    metavar="DURATION",
    help="It ends by itself after this, as 30m, 12h or 7d; without it, never.",
)
reason_option = click.option(
    "--reason",
    type=ANY_TEXT,
    default="",
    metavar="TEXT",
    help="Why, for those who look at it later.",
)


@click.group(cls=Noun)
def rules() -> None:
    """Allow and deny networks, for everyone, a role or an account.

    The account's rules decide first, then its role's, then everyone's; of these the longest
    prefix, and of one network a deny. What no rule is about may come in.
    """


@rules.command("list", calls=("AccessService/ListRules",), examples=("pop3ctl rules list",))
def list_rules() -> None:
    """List the address rules, oldest first."""
    show_list(map(rule_record, call(lambda caller: caller.list_rules())), RULE_COLUMNS)


def _rule_command(effect: str) -> None:
    """Make ``rules allow`` and ``rules deny``, which differ in their effect alone."""

    @rules.command(
        effect,
        calls=("AccessService/CreateRule",),
        help=f"{effect.title()} a network, or a single address.",
        examples=(
            f"pop3ctl rules {effect} 192.0.2.0/24",
            f"pop3ctl rules {effect} 2001:db8::/32 --for role:admin --on management",
        ),
    )
    @click.argument("network", type=TEXT)
    @click.option(
        "--for",
        "subject",
        type=TEXT,
        default="everyone",
        show_default=True,
        metavar="SUBJECT",
        help="everyone, role:NAME or account:NAME.",
    )
    @click.option(
        "--on",
        "kind",
        type=click.Choice(KINDS),
        default="both",
        show_default=True,
        help="What the rule is about.",
    )
    @click.option("--note", type=ANY_TEXT, default="", metavar="TEXT", help="What it is for.")
    @force_option
    def make(network: str, subject: str, kind: str, note: str, force: bool) -> None:
        from pop3mgmt.v1 import access_pb2

        rule = access_pb2.AddressRule(
            effect=access_pb2.AddressRule.Effect.Value(f"EFFECT_{effect.upper()}"),
            network=network,
            subject=subject,
            kind=access_pb2.AccessKind.Value(f"ACCESS_KIND_{kind.upper()}"),
            note=note,
        )
        made, ended = call(lambda caller: caller.create_rule(rule, force=force))
        record = rule_record(made) | {"ended_session_count": ended}
        show_done(record, f"rule {made.id} made, sessions ended: {ended}")


_rule_command("allow")
_rule_command("deny")


@rules.command("remove", calls=("AccessService/DeleteRule",), examples=("pop3ctl rules remove 7",))
@click.argument("rule_id", type=click.IntRange(1, 2**63 - 1))
@force_option
def remove_rule(rule_id: int, force: bool) -> None:
    """Remove an address rule."""
    was, ended = call(lambda caller: caller.delete_rule(rule_id, force=force))
    record = rule_record(was) | {"ended_session_count": ended}
    show_done(record, f"rule {was.id} removed, sessions ended: {ended}")


@click.group(cls=Noun)
def bans() -> None:
    """Ban networks; 'pop3ctl accounts suspend' is the same for an account."""


@bans.command(
    "list",
    calls=("AccessService/ListBans", "AccessService/ListSuspensions"),
    examples=("pop3ctl bans list", "pop3ctl bans list --json"),
)
def list_bans() -> None:
    """List banned networks and suspended accounts."""

    async def both(caller: Any) -> tuple[list[Ban], list[Suspension]]:
        return await caller.list_bans(), await caller.list_suspensions()

    networks, accounts = call(both)
    show_list([*map(ban_record, networks), *map(suspension_record, accounts)], BAN_COLUMNS)


@bans.command(
    "add",
    calls=("AccessService/CreateBan",),
    examples=("pop3ctl bans add 203.0.113.7 --for 12h --reason 'guesses passwords'",),
)
@click.argument("network", type=TEXT)
@for_option
@reason_option
@force_option
def add_ban(network: str, duration: float | None, reason: str, force: bool) -> None:
    """Ban a network, or a single address. Its sessions end at once."""
    made, ended = call(lambda caller: caller.ban(network, reason, duration, force=force))
    record = ban_record(made) | {"ended_session_count": ended}
    show_done(record, f"{made.network} banned, sessions ended: {ended}")


@bans.command(
    "lift", calls=("AccessService/DeleteBan",), examples=("pop3ctl bans lift 203.0.113.7",)
)
@click.argument("network", type=TEXT)
def lift_ban(network: str) -> None:
    """Let a network in again."""
    was = call(lambda caller: caller.lift_ban(network))
    show_done(ban_record(was), f"{was.network} is banned no more")


@click.command(
    "suspend",
    cls=Command,
    calls=("AccessService/SuspendAccount",),
    examples=("pop3ctl accounts suspend alice --for 7d --reason 'has left on holiday'",),
)
@click.argument("name", type=TEXT)
@for_option
@reason_option
@force_option
def suspend_account(name: str, duration: float | None, reason: str, force: bool) -> None:
    """Keep an account out. Its sessions and logins end at once, its mail stays."""
    made, ended = call(lambda caller: caller.suspend_account(name, reason, duration, force=force))
    record = suspension_record(made) | {"ended_session_count": ended}
    show_done(record, f"suspended {made.account_name}; sessions ended: {ended}")


@click.command(
    "resume",
    cls=Command,
    calls=("AccessService/ResumeAccount",),
    examples=("pop3ctl accounts resume alice",),
)
@click.argument("name", type=TEXT)
def resume_account(name: str) -> None:
    """Let a suspended account log in again."""
    was = call(lambda caller: caller.resume_account(name))
    show_done(suspension_record(was), f"{was.account_name} is suspended no more")


@click.command(
    "why",
    cls=Command,
    calls=("AccessService/ExplainAccess",),
    examples=("pop3ctl why 203.0.113.7", "pop3ctl why alice", "pop3ctl why alice 203.0.113.7"),
)
@click.argument("who", nargs=-1, required=True, type=TEXT, metavar="ADDRESS|ACCOUNT...")
def why(who: tuple[str, ...]) -> None:
    """Say what would happen to a login from an address, to an account, or both."""
    addresses = [it for it in who if _is_address(it)]
    accounts = [it for it in who if not _is_address(it)]
    if len(addresses) > 1 or len(accounts) > 1:
        raise click.UsageError("give one address, one account, or both")
    told = call(lambda caller: caller.explain_access("".join(addresses), "".join(accounts)))
    records = [record for verdict in told.verdicts for record in verdict_records(verdict)]
    delay = told.delay
    throttle: Record = {
        "network": delay.network,
        "network_failure_count": delay.network_failure_count,
        "account_failure_count": delay.account_failure_count,
        "known_place": delay.known_place,
        "shared": delay.shared,
        "check_delay_seconds": delay.check_delay.ToMilliseconds() / 1000,
        "answer_delay_seconds": delay.answer_delay.ToMilliseconds() / 1000,
    }
    show_list([record | {"throttle": throttle} for record in records], WHY_COLUMNS)
    if throttle["check_delay_seconds"]:
        note(f"a login waits {throttle['check_delay_seconds']:g} s before it is checked")
    if throttle["answer_delay_seconds"]:
        note(f"a wrong password is answered after {throttle['answer_delay_seconds']:g} s")


def rule_record(rule: AddressRule) -> Record:
    """Give a rule's values under their names in the contract."""
    from pop3mgmt.v1.access_pb2 import AccessKind

    return {
        "id": rule.id,
        "effect": rule.Effect.Name(rule.effect).removeprefix("EFFECT_").lower(),
        "network": rule.network,
        "subject": rule.subject,
        "kind": AccessKind.Name(rule.kind).removeprefix("ACCESS_KIND_").lower(),
        "note": rule.note,
        "set_by": rule.set_by,
        "set_time": timestamp(rule.set_time),
    }


def ban_record(ban: Ban) -> Record:
    """Give a ban's values; ``name`` is the network."""
    return {"kind": "network", "name": ban.network, **_set(ban)}


def suspension_record(suspension: Suspension) -> Record:
    """Give a suspension's values; ``name`` is the account."""
    return {"kind": "account", "name": suspension.account_name, **_set(suspension)}


def verdict_records(verdict: Verdict) -> list[Record]:
    """Give a line for each thing that has a say, and one where there is none."""
    from pop3mgmt.v1.access_pb2 import AccessKind

    about: Record = {
        "kind": AccessKind.Name(verdict.kind).removeprefix("ACCESS_KIND_").lower(),
        "outcome": "allowed" if verdict.allowed else "refused",
    }
    said = [
        about | {"rank": "then" if at else "decides"} | _ground_record(ground)
        for at, ground in enumerate(verdict.grounds)
    ]
    said += [about | {"rank": "for others"} | _rule_said(it) for it in verdict.other_rules]
    nothing = {"what": "nothing is against it", "end_time": None, "set_by": "", "text": ""}
    return said or [about | {"rank": "-"} | nothing]


def _ground_record(ground: Ground) -> Record:
    if ground.HasField("ban"):
        ban = ground.ban
        return {
            "what": f"ban of {ban.network}",
            "end_time": timestamp(ban.end_time),
            "set_by": ban.set_by,
            "text": ban.reason,
        }
    if ground.HasField("suspension"):
        suspension = ground.suspension
        return {
            "what": f"suspension of {suspension.account_name}",
            "end_time": timestamp(suspension.end_time),
            "set_by": suspension.set_by,
            "text": suspension.reason,
        }
    return _rule_said(ground.rule)


def _rule_said(rule: AddressRule) -> Record:
    record = rule_record(rule)
    return {
        "what": "rule {id}: {effect} {network} for {subject}".format(**record),
        "end_time": None,
        "set_by": rule.set_by,
        "text": rule.note,
    }


def _set(what: Ban | Suspension) -> Record:
    return {
        "reason": what.reason,
        "end_time": timestamp(what.end_time),
        "set_by": what.set_by,
        "set_time": timestamp(what.set_time),
    }


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True
