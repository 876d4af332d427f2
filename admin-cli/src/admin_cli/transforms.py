"""transform: the program that mail is passed through."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from admin_cli.commands import TEXT, Noun
from admin_cli.connection import call
from admin_cli.output import show_done

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.server_pb2 import Settings


@click.group(cls=Noun)
def transform() -> None:
    """Show, set or turn off the program that RETR passes mail through."""


@transform.command("get", calls=("ServerService/GetSettings",), examples=("pop3ctl transform get",))
def get_transform() -> None:
    """Show the command line, or "off"."""
    _show_transform(call(lambda caller: caller.get_settings()))


@transform.command(
    "use",
    calls=("ServerService/UpdateSettings",),
    examples=(
        "pop3ctl transform use wc -l",
        "pop3ctl transform use sed 's/colour/color/g'",
        'pop3ctl transform use "tr a-z A-Z"',
    ),
    context_settings={"allow_interspersed_args": False},
)
@click.argument("words", type=TEXT, nargs=-1, required=True, metavar="PROGRAM [ARGUMENT]...")
def use_command_line(words: tuple[str, ...]) -> None:
    """Pass mail through a program from now on; it is tried before it holds.

    Give it as words, or as one quoted string. No shell runs it. Options of pop3ctl come before
    PROGRAM.
    """
    line = words[0] if len(words) == 1 else shlex.join(words)
    if not line.strip():
        raise click.UsageError("the program is blank; 'pop3ctl transform off' turns it off")
    _show_transform(_put_transform(line))


@transform.command(
    "off", calls=("ServerService/UpdateSettings",), examples=("pop3ctl transform off",)
)
def turn_off_transform() -> None:
    """Send mail as it is stored."""
    _show_transform(_put_transform(""))


def _put_transform(line: str) -> Settings:
    async def update(caller: Caller) -> Settings:
        from pop3mgmt.v1.server_pb2 import Settings

        return await caller.update_settings(Settings(transform=line), ["transform"])

    return call(update)


def _show_transform(found: Settings) -> None:
    show_done({"transform": found.transform}, found.transform or "off")
