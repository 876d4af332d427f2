"""What every command has: ``--json``, examples in its help, text that is UTF-8.

A noun is a group of commands; the nouns themselves are loaded only when they are used.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from admin_cli.output import want_json
from pop3mgmt.durations import parse_duration, show_duration

F = TypeVar("F", bound=Callable[..., Any])
WHOLE = 1000
"""More characters than a command's first sentence has."""


class Command(click.Command):
    """One command; its help ends with examples.

    ``calls`` are the calls that it makes, as ``AccountsService/ListAccounts``, ``also`` those that
    it makes for some arguments alone. Logging in and out around a call, and renewing the login, are
    not named.
    """

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str],
        calls: Sequence[str] = (),
        also: Sequence[str] = (),
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.calls = tuple(calls)
        self.also = tuple(also)
        self.examples = tuple(examples)
        self.params.append(json_option())

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they would be typed, never wrapped."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{' ' * formatter.current_indent}{example}\n")


class Noun(click.Group):
    """The commands about one kind of thing."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command's first sentence whole; click would cut it at the width."""
        rows = [(name, self.commands[name].get_short_help_str(WHOLE)) for name in self.commands]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command that is loaded when it is used: where it is, and its line in the help."""

    where: str
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


class LazyGroup(click.Group):
    """A group whose help knows its commands without importing them."""

    def __init__(self, *args: Any, table: Mapping[str, Lazy], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the command of that name."""
        found = self.table.get(cmd_name)
        return None if found is None else found.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self.table.items()])


class Text(click.ParamType[str]):
    """An argument that can be sent: UTF-8, and not empty unless that is a value too."""

    name = "text"

    def __init__(self, *, may_be_empty: bool = False) -> None:
        self.may_be_empty = may_be_empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Give the text, or fail as wrong usage."""
        try:
            str(value).encode()
        except UnicodeEncodeError:
            self.fail("is not UTF-8", param, ctx)
        if not value and not self.may_be_empty:
            self.fail("is empty", param, ctx)
        return str(value)


TEXT = Text()
ANY_TEXT = Text(may_be_empty=True)


class Parsed(click.ParamType[Any]):
    """An option or argument that a function reads, which raises ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give what was read, or fail as wrong usage."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(TEXT.convert(value, param, ctx))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Role(Text):
    """A role; those that are always there can be completed."""

    name = "role"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Give the built-in roles that begin so."""
        known = ("user", "auditor", "operator", "admin")
        return [CompletionItem(it) for it in known if it.startswith(incomplete)]


ROLE = Role()


class Duration(click.ParamType[float]):
    """An option that is a time; its value is seconds, ``least_s`` or more."""

    name = "duration"

    def __init__(self, least_s: float) -> None:
        self.least_s = least_s

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Give the seconds, or fail as wrong usage."""
        try:
            seconds = parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < self.least_s:
            self.fail(f"the least is {show_duration(self.least_s)}", param, ctx)
        return seconds


def json_option() -> click.Option:
    """Make the ``--json`` option."""
    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        callback=want_json,
        help="Print JSON with stable keys.",
    )


def password_options(prefix: str, variable: str, what: str = "the password") -> Callable[[F], F]:
    """Add the ways to give a password; ``variable`` is the third, a terminal the last."""
    name = prefix.replace("-", "_")

    def add(function: F) -> F:
        file = click.option(
            f"--{prefix}-file",
            f"{name}_file",
            metavar="FILE",
            help=f"Read {what} from a file. Environment: {variable} or {variable}_FILE.",
        )
        stdin = click.option(
            f"--{prefix}-stdin", f"{name}_stdin", is_flag=True, help=f"Read {what} from stdin."
        )
        return stdin(file(function))

    return add
