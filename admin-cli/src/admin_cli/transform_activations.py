"""transform activate, rollback, off, active, use: which transform holds for whom."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from admin_cli.activation_words import EVERYONE, activation_record, active_words, row, without
from admin_cli.commands import TEXT, Command, Parsed
from admin_cli.connection import call
from admin_cli.output import (
    Column,
    as_json,
    local_time,
    note,
    show_done,
    show_list,
    text_or_dash,
)
from pop3mgmt.transform_words import (
    parse_canary,
    parse_percent,
    parse_version,
)

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.transform_activations_pb2 import TransformActivation


COLUMNS = (
    Column("subject", "FOR"),
    Column("transform", "TRANSFORM"),
    Column("mode", "MODE"),
    Column("former", "BEFORE"),
    Column("run_count", "RUNS", right=True),
    Column("failure_count", "FAILED", right=True),
    Column("difference_count", "DIFFER", right=True),
    Column("set_by", "SET BY", text_or_dash),
    Column("set_time", "SET", local_time),
)
PAST_COLUMNS = (
    *COLUMNS,
    Column("end_time", "ENDED", local_time),
    Column("end_reason", "BECAUSE", text_or_dash),
)


def subject_argument(command: Any) -> Any:
    """Add for whom it is."""
    return click.argument("subject", type=TEXT, default=EVERYONE)(command)


@click.command(
    "activate",
    cls=Command,
    calls=("TransformActivationsService/ActivateTransform",),
    examples=(
        "pop3ctl transform activate banner --shadow",
        "pop3ctl transform activate banner@2 --canary 10%,ana,bob --limit 2%",
        "pop3ctl transform activate banner@2 --for role:user",
        "pop3ctl transform activate none --for account:alice",
    ),
)
@click.argument("what", type=Parsed("transform", parse_version), metavar="NAME[@VERSION]")
@click.option(
    "--for",
    "subject",
    type=TEXT,
    default=EVERYONE,
    show_default=True,
    metavar="SUBJECT",
    help="everyone, role:NAME or account:NAME.",
)
@click.option(
    "--shadow", is_flag=True, help="Run it beside, and count what differs; mail stays as it is now."
)
@click.option(
    "--canary",
    type=Parsed("canary", parse_canary),
    metavar="ACCOUNTS",
    help="For some accounts first, as 10%, ana,bob or 10%,ana.",
)
@click.option(
    "--limit",
    type=Parsed("percent", parse_percent),
    metavar="PERCENT",
    help="A canary is rolled back when more runs than this fail.  [default: 5%]",
)
def activate(what: tuple[str, int], subject: str, shadow: bool, canary: Any, limit: Any) -> None:
    """Pass mail through a transform, from the next login on.

    Without a version it is the latest; the name "none" is mail as it is, and "@3" the third that
    has no name. What is for an account decides before what is for its role, and that before what
    is for everyone. Sessions that are open keep what they began with.
    """
    from pop3mgmt.v1 import transform_activations_pb2 as pb2

    if shadow and canary:
        raise click.UsageError("give --shadow or --canary, not both")
    if limit is not None and not canary:
        raise click.UsageError("--limit goes with --canary")
    mode = "SHADOW" if shadow else "CANARY" if canary else "ON"
    request = pb2.ActivateTransformRequest(
        name=what[0],
        version=what[1],
        subject=subject,
        mode=pb2.TransformMode.Value(f"TRANSFORM_MODE_{mode}"),
        account_names=canary.accounts if canary else (),
        share_percent=canary.share if canary else 0,
        failure_limit_percent=limit,
    )
    _show(call(lambda caller: caller.activate_transform(request)))


@click.command(
    "rollback",
    cls=Command,
    calls=("TransformActivationsService/RollBackTransform",),
    examples=("pop3ctl transform rollback", "pop3ctl transform rollback role:user"),
)
@subject_argument
def roll_back(subject: str) -> None:
    """Bring back what was active before.

    It is for everyone unless SUBJECT says for whom: role:NAME or account:NAME.
    """
    was, now = call(lambda caller: caller.roll_back_transform(subject))
    record = {
        "rolled_back": activation_record(was),
        "activation": activation_record(now) if now else None,
    }
    show_done(record, f"{was.subject}: {active_words(now) if now else without(was.subject)}")


@click.command(
    "off",
    cls=Command,
    calls=("TransformActivationsService/DeactivateTransform",),
    examples=("pop3ctl transform off", "pop3ctl transform off account:alice"),
)
@subject_argument
def turn_off(subject: str) -> None:
    """End what is active for everyone, or for SUBJECT.

    SUBJECT is role:NAME or account:NAME; then its mail goes by what is active for the account's
    role, or for everyone. To keep its mail as it is, activate "none" for it.
    """
    was = call(lambda caller: caller.deactivate_transform(subject))
    show_done(activation_record(was), f"{was.subject}: {without(was.subject)}")


@click.command(
    "active",
    cls=Command,
    calls=("TransformActivationsService/ListTransformActivations",),
    examples=(
        "pop3ctl transform active",
        "pop3ctl transform active --past --for everyone",
        "pop3ctl transform active --json | jq '.[] | select(.mode == \"canary\")'",
    ),
)
@click.option("--past", is_flag=True, help="What was active too, the newest first.")
@click.option(
    "--for", "subject", type=TEXT, default=None, metavar="SUBJECT", help="Only for this one."
)
def active(past: bool, subject: str | None) -> None:
    """List what is active for whom, and what came of it so far."""
    found = call(lambda caller: caller.list_transform_activations(subject or "", include_past=past))
    records = list(map(activation_record, found))
    if found.removed_count:
        note(f"{found.removed_count} older ones, of all subjects, are not kept")
    if as_json():
        show_list(records, ())
        return
    show_list(map(row, records), PAST_COLUMNS if past else COLUMNS)
    for it in records:
        if it["last_failure"] and not it["end_time"]:
            note(f"{it['subject']}: the last that failed: {it['last_failure']}")


@click.command(
    "use",
    cls=Command,
    calls=("TransformActivationsService/UseCommandLine",),
    examples=(
        "pop3ctl transform use wc -l",
        "pop3ctl transform use sed 's/colour/color/g'",
        'pop3ctl transform use "valija-transform text-only | tr a-z A-Z"',
    ),
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--on-failure",
    type=click.Choice(("refuse", "original")),
    default="refuse",
    show_default=True,
    help="What a client gets of a message that it fails on.",
)
@click.argument("words", type=TEXT, nargs=-1, required=True, metavar="PROGRAM [ARGUMENT]...")
def use(on_failure: str, words: tuple[str, ...]) -> None:
    """Pass everyone's mail through a program, without a name for it.

    It is tried on sample messages before it holds. Give it as words, or as one quoted string, in
    which "|" parts the programs of a chain. No shell runs it. Options of pop3ctl come before
    PROGRAM.
    """
    line = words[0] if len(words) == 1 else shlex.join(words)
    if not line.strip():
        raise click.UsageError("the program is blank; 'pop3ctl transform off' turns it off")

    async def make(caller: Caller) -> TransformActivation | None:
        from pop3mgmt.v1.transforms_pb2 import OnFailure

        wanted = OnFailure.Value(f"ON_FAILURE_{on_failure.upper()}")
        return await caller.use_command_line(line, wanted)

    _show(call(make))


def _show(activation: TransformActivation | None) -> None:
    if activation is None:
        show_done({}, f"{EVERYONE}: off")
        return
    words = f"{activation.subject}: {active_words(activation)}"
    show_done(activation_record(activation), words)
