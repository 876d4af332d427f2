"""What a user does with its own account."""

from __future__ import annotations

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from scmp_gateway.acts.sessions import session_line
from scmp_gateway.command import Line


async def whoami(caller: Caller, line: Line) -> Reply:
    """Who the caller is, and the rights that it has now."""
    now = await caller.get_caller()
    name = now.account_name or f"token/{now.token_name}"
    return Listing(f"{name} {now.role_name}", list(now.rights))


async def curr_connec(caller: Caller, line: Line) -> Reply:
    """The caller's own connections."""
    sessions = await caller.list_sessions(caller.account.name)
    return Listing(
        f"{len(sessions)} connections of {caller.account.name} now",
        [session_line(session) for session in sessions],
    )


async def change_password(caller: Caller, line: Line) -> Reply:
    """Change the caller's own password."""
    ended = await caller.change_password(line.words[0], line.words[1])
    return Ok(f"password changed, {ended} sessions ended")
