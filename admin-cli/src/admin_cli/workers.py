"""workers: the processes that serve POP3."""

from __future__ import annotations

import click

from admin_cli.commands import Noun
from admin_cli.connection import call
from admin_cli.output import show_done


@click.group(cls=Noun)
def workers() -> None:
    """Replace the worker processes."""


@workers.command(
    "restart",
    calls=("ServerService/RestartWorkers",),
    examples=(
        "pop3ctl workers restart",
        "pop3ctl workers restart --json | jq .worker_count",
    ),
)
def restart_workers() -> None:
    """Replace every worker process by a new one; no session is ended.

    The new ones take the connections from then on, the old ones end with their last session. Until
    then "pop3ctl status" shows them as draining, and another restart is refused.
    """
    count = call(lambda caller: caller.restart_workers())
    show_done({"worker_count": count}, f"replaced {count} workers")
