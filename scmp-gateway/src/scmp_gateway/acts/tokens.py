"""Automation tokens."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.tokens_pb2 import AutomationToken
from scmp_gateway.command import Line, number
from scmp_gateway.times import show_time


async def tokens(caller: Caller, line: Line) -> Reply:
    """All automation tokens."""
    found = await caller.list_tokens()
    return Listing(f"{len(found)} tokens", [_told(token) for token in found])


async def create_token(caller: Caller, line: Line) -> Reply:
    """Make a token and show it once."""
    name, role, *rest = line.words
    days = number(rest[0]) if rest else 0
    if days is None or days > 3650:
        raise ManagementError(Reason.INVALID_ARGUMENT, "the days are a whole number up to 3650")
    networks = [network for word in rest[1:] for network in word.split(",") if network]
    made = await caller.create_token(name, role, networks=networks, lifetime=timedelta(days=days))
    return Ok(f"token {made.token.name}: {made.secret}")


async def revoke_token(caller: Caller, line: Line) -> Reply:
    """End a token."""
    await caller.revoke_token(line.words[0])
    return Ok(f"token {line.words[0]} revoked")


def _told(token: AutomationToken) -> str:
    return (
        f"{token.name} {token.role_name} networks={','.join(token.networks) or 'any'}"
        f" expires={_moment(token, 'expire_time', 'never')}"
        f" last-used={_moment(token, 'last_use_time', 'never')}"
        f" from={token.last_use_address or '-'} by={token.created_by}"
    )


def _moment(token: AutomationToken, field: str, without: str) -> str:
    if not token.HasField(field):  # type: ignore[arg-type]
        return without
    moment: Timestamp = getattr(token, field)
    return show_time(moment)
