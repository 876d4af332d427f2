"""transform: chains of programs that mail is passed through; their versions, and what is active."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from admin_cli.commands import ANY_TEXT, TEXT, Noun, Parsed
from admin_cli.connection import call
from admin_cli.output import (
    Column,
    Record,
    local_time,
    note,
    show_done,
    show_facts,
    show_list,
    text_or_dash,
    timestamp,
    yes_or_no,
)
from admin_cli.transform_activations import activate, active, roll_back, turn_off, use
from admin_cli.transform_tests import test_transform
from pop3mgmt.transform_words import parse_version, show_version

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.transforms_pb2 import Transform, TransformSummary

LIST_COLUMNS = (
    Column("name", "NAME"),
    Column("version", "LATEST", right=True),
    Column("active_versions", "ACTIVE", lambda them: ",".join(map(str, them)) or "-"),
    Column("on_failure", "ON FAILURE"),
    Column("create_time", "MADE", local_time),
    Column("created_by", "BY", text_or_dash),
    Column("command_line", "COMMAND LINE"),
)
HISTORY_COLUMNS = (
    Column("version", "VERSION", right=True),
    Column("is_active", "ACTIVE", yes_or_no),
    Column("on_failure", "ON FAILURE"),
    Column("create_time", "MADE", local_time),
    Column("created_by", "BY", text_or_dash),
    Column("command_line", "COMMAND LINE"),
    Column("note", "NOTE"),
)
SHOW_COLUMNS = (
    Column("name", "Name", lambda name: name or "(none: from a command line)"),
    Column("version", "Version"),
    Column("command_line", "Command line"),
    Column("on_failure", "On failure"),
    Column("is_active", "Active", yes_or_no),
    Column("create_time", "Made", local_time),
    Column("created_by", "By", text_or_dash),
    Column("note", "Note", text_or_dash),
)


@click.group(cls=Noun)
def transform() -> None:
    """Pass mail through programs: make, test and activate chains of them.

    A transform is a chain of programs, such as "valija-transform text-only | tr a-z A-Z". Setting
    it makes a version, which changes no mail until it is active.
    """


transform.add_command(activate)
transform.add_command(active)
transform.add_command(roll_back)
transform.add_command(turn_off)
transform.add_command(use)
transform.add_command(test_transform)


@transform.command(
    "list",
    calls=("TransformsService/ListTransforms",),
    examples=("pop3ctl transform list", "pop3ctl transform list --json | jq -r '.[].name'"),
)
def list_transforms() -> None:
    """List the transforms that have a name."""
    found = call(lambda caller: caller.list_transforms())
    show_list(map(summary_record, found), LIST_COLUMNS)


@transform.command(
    "show",
    calls=("TransformsService/GetTransform",),
    examples=("pop3ctl transform show banner", "pop3ctl transform show banner@2"),
)
@click.argument("what", type=Parsed("transform", parse_version), metavar="NAME[@VERSION]")
def show_transform(what: tuple[str, int]) -> None:
    """Show a transform: its latest version, or the one that is named."""
    found = call(lambda caller: caller.get_transform(*what))
    show_facts(transform_record(found), SHOW_COLUMNS)


@transform.command(
    "history",
    calls=("TransformsService/ListTransformVersions",),
    examples=("pop3ctl transform history banner", "pop3ctl transform history"),
)
@click.argument("name", type=TEXT, required=False)
def list_versions(name: str | None) -> None:
    """List the versions of a transform, the newest first.

    Without NAME, those that have none: what 'transform use' has made. "@3" is the third of them.
    """
    found = call(lambda caller: caller.list_transform_versions(name or ""))
    show_list(map(transform_record, found), HISTORY_COLUMNS)
    if found.removed_count:
        note(f"{found.removed_count} older versions are not kept")


@transform.command(
    "set",
    calls=("TransformsService/SetTransform",),
    examples=(
        "pop3ctl transform set lines wc -l",
        'pop3ctl transform set loud "valija-transform text-only | tr a-z A-Z"',
        "pop3ctl transform set --note 'for phones' plain valija-transform text-only",
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
@click.option("--note", type=ANY_TEXT, default="", metavar="TEXT", help="What it is for.")
@click.argument("name", type=TEXT)
@click.argument("words", type=TEXT, nargs=-1, required=True, metavar="PROGRAM [ARGUMENT]...")
def set_transform(on_failure: str, note: str, name: str, words: tuple[str, ...]) -> None:
    """Make a transform or its next version, not active yet.

    It is tried on sample messages first. Give the program and its arguments as words; give a
    chain, whose programs are parted by "|", as one quoted string. No shell runs it. Options of
    pop3ctl come before NAME.
    """
    line = command_line(words)

    async def make(caller: Caller) -> Transform:
        from pop3mgmt.v1.transforms_pb2 import OnFailure

        wanted = OnFailure.Value(f"ON_FAILURE_{on_failure.upper()}")
        return await caller.set_transform(name, line, wanted, note)

    made = call(make)
    active = "active" if made.is_active else "not active yet"
    told = f"{show_version(made.name, made.version)} is {made.command_line}, {active}"
    show_done(transform_record(made), told)


@transform.command(
    "delete",
    calls=("TransformsService/DeleteTransform",),
    examples=("pop3ctl transform delete banner",),
)
@click.argument("name", type=TEXT)
def delete_transform(name: str) -> None:
    """Delete a transform that is not active, with all its versions."""
    count = call(lambda caller: caller.delete_transform(name))
    versions = "1 version" if count == 1 else f"{count} versions"
    show_done({"name": name, "version_count": count}, f'deleted "{name}", {versions}')


def command_line(words: tuple[str, ...]) -> str:
    """Give the command line of words; a single one is a whole line, with its own quotes."""
    line = words[0] if len(words) == 1 else shlex.join(words)
    if not line.strip():
        raise click.UsageError("the program is blank")
    return line


def transform_record(transform: Transform) -> Record:
    """Give a version's values under their names in the contract."""
    from pop3mgmt.v1.transforms_pb2 import OnFailure

    return {
        "name": transform.name,
        "version": transform.version,
        "command_line": transform.command_line,
        "on_failure": OnFailure.Name(transform.on_failure).removeprefix("ON_FAILURE_").lower(),
        "note": transform.note,
        "created_by": transform.created_by,
        "create_time": timestamp(transform.create_time),
        "is_active": transform.is_active,
    }


def summary_record(summary: TransformSummary) -> Record:
    """Give a transform's values: those of its latest version, and which are active."""
    latest: dict[str, Any] = transform_record(summary.latest)
    return {**latest, "active_versions": list(summary.active_versions)}
