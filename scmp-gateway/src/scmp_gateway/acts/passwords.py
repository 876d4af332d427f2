"""What passwords must be, and those that are to be changed at their first use."""

from __future__ import annotations

from collections.abc import Sequence

from lineproto.reply import Listing, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from scmp_gateway.command import Line

MUST_CHANGE = "MUST_CHANGE"


async def password_policy(caller: Caller, line: Line) -> Reply:
    """The password policy."""
    policy = await caller.get_password_policy()
    values = ((field.name, getattr(policy, field.name)) for field in policy.DESCRIPTOR.fields)
    return Listing("password policy follows", [f"{name}: {_shown(it)}" for name, it in values])


def without_must_change(words: Sequence[str], least: int, most: int) -> tuple[Sequence[str], bool]:
    """Take MUST_CHANGE off the end, if it is there; tell whether it was.

    Raises:
        ManagementError: what is before it has not from ``least`` to ``most`` words.
    """
    is_said = len(words) > least and words[-1].upper() == MUST_CHANGE
    rest = words[:-1] if is_said else words
    if len(rest) > most:
        raise ManagementError(Reason.INVALID_ARGUMENT, f"the last word may be {MUST_CHANGE}")
    return rest, is_said


def _shown(value: bool | int) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
