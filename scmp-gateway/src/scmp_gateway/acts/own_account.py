"""What a user does with its own account; who may manage accounts names another's."""

from __future__ import annotations

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.own_account_pb2 import AppPassword, LoginRecord, Preferences
from scmp_gateway.command import Line, number
from scmp_gateway.times import show_time

EVERY = "ALL"
DEFAULT = "DEFAULT"
SWITCH = {"ON": True, "OFF": False}


async def end_session(caller: Caller, line: Line) -> Reply:
    """End one connection, or all of the caller's own."""
    [which] = line.words
    if which.upper() == EVERY:
        ended = await caller.disconnect(account_name=caller.account.name)
    else:
        ended = await caller.disconnect(session_id=which)
    return Ok(f"{ended} sessions ended")


async def app_passwords(caller: Caller, line: Line) -> Reply:
    """List app passwords."""
    found = await caller.list_app_passwords("".join(line.words))
    return Listing(f"{len(found)} app passwords", map(_app_password_line, found))


async def add_app_password(caller: Caller, line: Line) -> Reply:
    """Make an app password and show it once."""
    made = await caller.create_app_password(line.words[0])
    return Ok(f"app password {made.app_password.name}: {made.password}")


async def revoke_app_password(caller: Caller, line: Line) -> Reply:
    """Revoke one app password, or all."""
    name, *account = line.words
    if name.upper() == EVERY:
        done = await caller.revoke_all_app_passwords("".join(account))
    else:
        done = await caller.revoke_app_password(name, "".join(account))
    return Ok(
        f"{done.revoked_count} app passwords revoked, {done.ended_session_count} sessions ended"
    )


async def preferences(caller: Caller, line: Line) -> Reply:
    """Show preferences."""
    found = await caller.get_preferences("".join(line.words))
    return Listing("preferences follow", _preference_lines(found))


async def set_preference(caller: Caller, line: Line) -> Reply:
    """Change one preference."""
    name, value, *account = line.words
    wanted, path = _wanted(name.upper(), value)
    found = await caller.update_preferences(wanted, [path], "".join(account))
    return Listing("preferences follow", _preference_lines(found))


async def logins(caller: Caller, line: Line) -> Reply:
    """List recent logins."""
    limit, account = 0, ""
    if line.words:
        first, *rest = line.words
        limit, account = _count(first), "".join(rest)
    found = await caller.get_recent_logins(limit, account)
    return Listing(f"{len(found)} logins, newest first", map(_login_line, found))


def _wanted(name: str, value: str) -> tuple[Preferences, str]:
    """Read a preference's name and value."""
    match name:
        case "LANGUAGE":
            language = "" if value.upper() == DEFAULT else value.lower()
            return Preferences(language=language), "language"
        case "RETENTION":
            days = 0 if value.upper() == DEFAULT else _count(value)
            return Preferences(retention_days=days), "retention_days"
        case "TRANSFORM" if value.upper() in SWITCH:
            return Preferences(transform=SWITCH[value.upper()]), "transform"
        case "TRANSFORM":
            raise ManagementError(Reason.INVALID_ARGUMENT, "TRANSFORM is ON or OFF")
    raise ManagementError(
        Reason.INVALID_ARGUMENT, "a preference is LANGUAGE, RETENTION or TRANSFORM"
    )


def _count(word: str) -> int:
    found = number(word)
    if found is None or found >= 2**31:
        raise ManagementError(Reason.INVALID_ARGUMENT, f"{word} is not a count")
    return found


def _preference_lines(found: Preferences) -> list[str]:
    return [
        f"language: {found.language or 'default'}",
        f"retention-days: {found.retention_days or 'default'}",
        f"transform: {'on' if found.transform else 'off'}",
    ]


def _app_password_line(found: AppPassword) -> str:
    used = "never"
    if found.HasField("last_use_time"):
        used = f"{show_time(found.last_use_time)} from={found.last_use_peer}"
    return f"{found.name} since={show_time(found.create_time)} used={used}"


def _login_line(login: LoginRecord) -> str:
    return (
        f"{show_time(login.login_time)} {login.address or '-'} {login.via} {login.mechanism or '-'}"
        f" tls={login.tls_version or '-'} outcome={login.refusal_reason or 'ok'}"
        f" attempts={login.attempt_count} app-password={login.app_password_name or '-'}"
    )
