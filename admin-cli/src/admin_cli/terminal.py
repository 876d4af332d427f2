"""Questions to a person; without a terminal there are none."""

from __future__ import annotations

import sys

import click


def at_terminal() -> bool:
    """Say whether a person can answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str) -> str:
    """Ask for a line."""
    answer: str = click.prompt(question, err=True)
    return answer


def ask_secret(question: str, *, twice: bool = False) -> str:
    """Ask for a secret, which is not shown; ``twice`` for one that is new."""
    answer: str = click.prompt(question, hide_input=True, confirmation_prompt=twice, err=True)
    return answer


def confirm(question: str) -> None:
    """Go on only after a yes.

    Raises:
        click.Abort: the answer was no.
    """
    click.confirm(question, abort=True, err=True)
