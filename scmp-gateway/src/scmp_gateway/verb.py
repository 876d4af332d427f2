"""What a verb of SCMP is: usage, the calls it makes, what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from textwrap import wrap

from lineproto.reply import Reply
from pop3mgmt.client import Caller
from scmp_gateway.command import Line

MEANING_AT = 32
"""The column in which the meaning of a verb begins, in HELP."""
HELP_WIDTH = 80

Handler = Callable[[Caller, Line], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb.

    ``calls`` are the methods that it calls, as ``Service/Method``: who may call all of them may use
    it. ``also`` are those that it calls for some arguments alone. ``handler`` is None where the
    dialogue answers; ``most`` None means any number of arguments.
    """

    usage: str
    help: str
    handler: Handler | None = None
    least: int = 0
    most: int | None = 0
    calls: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    before_login: bool = False

    def fits(self, words: int) -> bool:
        """Whether so many arguments are right."""
        return words >= self.least and (self.most is None or words <= self.most)

    def explained(self) -> list[str]:
        """Give usage and meaning for a terminal; a line that goes on begins with blanks."""
        margin = " " * MEANING_AT
        beside = len(self.usage) <= MEANING_AT - 2
        first = f"{self.usage:<{MEANING_AT}}" if beside else margin
        lines = wrap(self.help, HELP_WIDTH, initial_indent=first, subsequent_indent=margin)
        return lines if beside else [self.usage, *lines]
