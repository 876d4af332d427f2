"""The throttle: who has wrong logins."""

from __future__ import annotations

from lineproto.networks import plain_address
from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.durations import show_duration
from pop3mgmt.v1.throttle_pb2 import Throttled
from scmp_gateway.command import Line
from scmp_gateway.times import show_time


async def throttled(caller: Caller, line: Line) -> Reply:
    """All networks and accounts with wrong logins, the most first."""
    found = await caller.list_throttled()
    return Listing(f"{len(found)} throttled", list(map(throttled_line, found)))


async def clear_throttle(caller: Caller, line: Line) -> Reply:
    """Forget the wrong logins of an address or an account."""
    target = line.words[0]
    if _is_address(target):
        cleared = await caller.clear_throttle(address=target)
    else:
        cleared = await caller.clear_throttle(account_name=target)
    return Ok(f"{target} cleared, {cleared} had wrong logins")


def throttled_line(it: Throttled) -> str:
    """Tell of a network or an account in one line."""
    what = f"network {it.network}" if it.network else f"account {it.account_name}"
    last = show_time(it.last_failure_time)
    delay = show_duration(it.delay.ToTimedelta().total_seconds())
    return f"{what} failures={it.failure_count} delay={delay} last={last}"


def _is_address(text: str) -> bool:
    try:
        plain_address(text.partition("/")[0])
    except ValueError:
        return False
    return True
