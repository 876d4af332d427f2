"""What a verb of SCMP is: usage, the calls it makes, what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lineproto.reply import Reply
from pop3mgmt.client import Caller
from scmp_gateway.command import Line

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
