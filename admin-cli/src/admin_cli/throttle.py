"""throttle: networks and accounts with wrong logins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from admin_cli.commands import TEXT, Noun
from admin_cli.connection import call
from admin_cli.output import (
    Column,
    Record,
    local_time,
    show_done,
    show_list,
    text_or_dash,
    timestamp,
)
from pop3mgmt.durations import show_duration

if TYPE_CHECKING:
    from pop3mgmt.v1.throttle_pb2 import Throttled

COLUMNS = (
    Column("network", "NETWORK", text_or_dash),
    Column("account_name", "ACCOUNT", text_or_dash),
    Column("failure_count", "FAILURES", right=True),
    Column("last_failure_time", "LAST", local_time),
    Column("delay", "DELAY", show_duration, right=True),
)


@click.group(cls=Noun)
def throttle() -> None:
    """Show and end what wrong logins have brought about."""


@throttle.command(
    "list",
    calls=("ThrottleService/ListThrottled",),
    examples=(
        "pop3ctl throttle list",
        "pop3ctl throttle list --json | jq '.[] | select(.failure_count > 10)'",
    ),
)
def list_throttled() -> None:
    """List the networks and accounts of the last 15 minutes, the most wrong logins first."""
    show_list(map(throttled_record, call(lambda caller: caller.list_throttled())), COLUMNS)


@throttle.command(
    "clear",
    calls=("ThrottleService/ClearThrottle",),
    examples=(
        "pop3ctl throttle clear 192.0.2.7",
        "pop3ctl throttle clear 2001:db8::/48",
        "pop3ctl throttle clear --account alice",
    ),
)
@click.argument("address", type=TEXT, required=False)
@click.option("--account", type=TEXT, default=None, metavar="NAME", help="Those of this account.")
def clear_throttle(address: str | None, account: str | None) -> None:
    """Forget the wrong logins of an address's networks, or of an account."""
    if (address is None) == (account is None):
        raise click.UsageError("give either ADDRESS or --account NAME")
    cleared = call(
        lambda caller: caller.clear_throttle(address=address or "", account_name=account or "")
    )
    record: Record = {"address": address, "account_name": account, "cleared_count": cleared}
    show_done(record, f"cleared: {cleared}")


def throttled_record(throttled: Throttled) -> Record:
    """Give its values under their names in the contract."""
    return {
        "network": throttled.network,
        "account_name": throttled.account_name,
        "failure_count": throttled.failure_count,
        "last_failure_time": timestamp(throttled.last_failure_time),
        "delay": throttled.delay.ToTimedelta().total_seconds(),
    }
