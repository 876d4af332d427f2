"""Where a password comes from: exactly one source, and never the command line itself.

The command line of a process can be read by every user of the machine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

import click

from admin_cli.terminal import ask_secret, at_terminal


@dataclass(frozen=True, slots=True)
class Source:
    """One place to read a password from, under the name that the user gave it by."""

    label: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class PasswordOptions:
    """What a password is called: its options, its variables, the question for it."""

    question: str
    prefix: str
    variable: str
    is_new: bool = False

    def get(self, stdin: bool, file: str | None) -> str:
        """Read the password from the one source that was given, or ask for it.

        Raises:
            click.UsageError: two sources, none without a terminal, or no password in it.
        """
        found = self.sources(stdin, file)
        if found:
            return read_only(found)
        if not at_terminal():
            raise click.UsageError(
                f"no {self.question.lower()} and no terminal to ask at; give --{self.prefix}-stdin,"
                f" --{self.prefix}-file, {self.variable} or {self.variable}_FILE"
            )
        return ask_secret(self.question, twice=self.is_new)

    def sources(self, stdin: bool, file: str | None) -> list[Source]:
        """Give the sources that there are, the terminal aside."""
        return [*self._options(stdin, file), *environment(self.variable)]

    def _options(self, stdin: bool, file: str | None) -> list[Source]:
        found = []
        if stdin:
            found.append(Source(f"--{self.prefix}-stdin", _read_stdin))
        if file is not None:
            found.append(Source(f"--{self.prefix}-file", lambda: _read_file(file)))
        return found


LOGIN = PasswordOptions("Password", "password", "POP3CTL_PASSWORD")
OLD = PasswordOptions("Old password", "password", "POP3CTL_PASSWORD")
NEW = PasswordOptions("New password", "new-password", "POP3CTL_NEW_PASSWORD", is_new=True)
ADDED = PasswordOptions("New password", "password", "POP3CTL_NEW_PASSWORD", is_new=True)
APOP = PasswordOptions("APOP secret", "secret", "POP3CTL_APOP_SECRET", is_new=True)


def environment(variable: str) -> list[Source]:
    """Give what the environment offers; an empty variable offers nothing."""
    found = []
    if password := os.environ.get(variable):
        found.append(Source(variable, lambda: os.fsencode(password)))
    if file := os.environ.get(f"{variable}_FILE"):
        found.append(Source(f"{variable}_FILE", lambda: _read_file(file)))
    return found


def read_only(sources: list[Source]) -> str:
    """Read the only source there is; one trailing newline is not part of a password.

    Raises:
        click.UsageError: there are two, or what it gives is no password.
    """
    if len(sources) > 1:
        labels = " and ".join(source.label for source in sources)
        raise click.UsageError(f"more than one password source: {labels}; give exactly one")
    source = sources[0]
    octets = source.read().removesuffix(b"\n").removesuffix(b"\r")
    if not octets:
        raise click.UsageError(f"{source.label} gives an empty password")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"the password from {source.label} is not UTF-8") from None


def _read_stdin() -> bytes:
    if sys.stdin.isatty():
        raise click.UsageError("stdin is a terminal; leave the option out to be asked")
    return sys.stdin.buffer.read()


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from None
