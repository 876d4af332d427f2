"""What is done with accounts."""

from __future__ import annotations

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from scmp_gateway.acts.passwords import without_must_change
from scmp_gateway.command import Line
from scmp_gateway.times import show_time

TO_CHANGE = " (to be changed before anything else)"


async def users(caller: Caller, line: Line) -> Reply:
    """All accounts."""
    accounts = await caller.list_accounts()
    return Listing(
        f"{len(accounts)} accounts",
        [
            f"{account.name} {account.role_name} sessions={account.session_count}"
            for account in accounts
        ],
    )


async def account(caller: Caller, line: Line) -> Reply:
    """What is known of an account; without a name, of the caller's own."""
    found = await caller.get_account("".join(line.words))
    return Listing(
        f"account {found.name}",
        [
            f"role: {found.role_name}",
            f"created: {show_time(found.create_time)}",
            f"sessions: {found.session_count}",
            f"default-password: {'yes' if found.has_default_password else 'no'}",
            f"apop-secret: {'yes' if found.has_apop_secret else 'no'}",
        ],
    )


async def delete_user(caller: Caller, line: Line) -> Reply:
    """Remove an account; its mail is kept."""
    ended = await caller.delete_account(line.words[0])
    return Ok(f"account {line.words[0]} deleted, {ended} sessions ended, mail kept")


async def add_user(caller: Caller, line: Line) -> Reply:
    """Make an account."""
    words, must_change = without_must_change(line.words, 2, 3)
    account = await caller.create_account(*words, must_change=must_change)
    return Ok(f"account {account.name} created{TO_CHANGE if must_change else ''}")


async def set_role(caller: Caller, line: Line) -> Reply:
    """Give an account another role."""
    name, role = line.words
    ended = await caller.set_role(name, role)
    return Ok(f"account {name} has the role {role}, {ended} sessions ended")


async def reset_user_password(caller: Caller, line: Line) -> Reply:
    """Set a random password and show it once."""
    [name], must_change = without_must_change(line.words, 1, 1)
    reset = await caller.set_random_password(name, must_change=must_change)
    note = TO_CHANGE if reset.must_change_password else ""
    return Ok(f"new password of {name}: {reset.new_password}{note}")


async def apop(caller: Caller, line: Line) -> Reply:
    """Give an account a random secret for APOP and show it once, or take it away."""
    action, name = line.words
    match action.upper():
        case "SET":
            return Ok(f"APOP secret of {name}: {await caller.set_apop_secret(name)}")
        case "OFF":
            ended = await caller.remove_apop_secret(name)
            return Ok(f"{name} has no APOP secret, {ended} sessions ended")
    raise ManagementError(Reason.INVALID_ARGUMENT, "use APOP SET or APOP OFF")
