"""status and settings: the service as a whole."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from admin_cli.activation_words import activation_record, show_trials
from admin_cli.certificates import certificate_record, show_certificates
from admin_cli.commands import TEXT, Command, Duration, Noun
from admin_cli.connection import call
from admin_cli.output import (
    Column,
    Record,
    as_json,
    local_time,
    note,
    show_done,
    show_facts,
    show_line,
    show_list,
    size,
    text_or_dash,
    timestamp,
)
from admin_cli.setting_values import check_name, parse_settings, settings_record, show_value
from pop3mgmt.durations import show_duration

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.server_pb2 import Status


def _time_or_dash(time: str | None) -> str:
    return local_time(time) if time else "-"


STATUS_COLUMNS = (
    Column("version", "Version"),
    Column("start_time", "Started", local_time),
    Column("uptime_seconds", "Up for", show_duration),
    Column("current_connection_count", "Connections now"),
    Column("logged_in_session_count", "Logged in now"),
    Column("total_connection_count", "Connections in all"),
    Column("sent_message_count", "Messages sent"),
    Column("sent_bytes", "Sent", size),
    Column("deleted_message_count", "Messages deleted"),
    Column("refused_login_count", "Logins refused"),
    Column("account_count", "Accounts"),
    Column("worker_count", "Workers"),
    Column("draining_worker_count", "Workers draining"),
    Column("worker_restart_count", "Worker restarts"),
    Column("transform", "Transform", lambda transform: transform or "off"),
    Column("transforms", "Transforms active", lambda it: str(it["activation_count"])),
    Column("transforms", "Being tried", lambda it: show_trials(it["trials"])),
    Column("transforms", "Canaries given up", lambda it: str(it["given_up_canary_count"])),
    Column("transforms", "Sandbox", lambda it: text_or_dash(it["isolation"])),
    Column("transformed_mail", "Transformed mail", lambda it: show_transformed(it)),
    Column("management_certificate_not_after_time", "gRPC TLS until", _time_or_dash),
    Column("certificates", "Certificates", show_certificates),
)

WATCH_COLUMNS = (
    Column("status_time", "TIME", local_time, width=19),
    Column("current_connection_count", "CONNECTIONS", right=True),
    Column("logged_in_session_count", "LOGGED IN", right=True),
    Column("total_connection_count", "IN ALL", right=True, width=9),
    Column("sent_message_count", "MESSAGES", right=True, width=9),
    Column("sent_bytes", "SENT", size, right=True, width=10),
    Column("deleted_message_count", "DELETED", right=True, width=9),
    Column("refused_login_count", "REFUSED", right=True),
)


# --- status ---


@click.command(
    cls=Command,
    calls=("ServerService/GetStatus",),
    also=("ServerService/WatchStatus",),
    examples=(
        "pop3ctl status",
        "pop3ctl status --json | jq .current_connection_count",
        "pop3ctl status --watch --interval 5s",
    ),
)
@click.option("--watch", is_flag=True, help="Print a line each interval, until Ctrl-C.")
@click.option(
    "--interval",
    type=Duration(0.1),
    default="1s",
    show_default=True,
    metavar="DURATION",
    help="For --watch.",
)
def status(watch: bool, interval: float) -> None:
    """Show the state of the service: connections, traffic, workers, warnings.

    With --watch and --json, one object a line.
    """
    if watch:
        _watch_status(interval)
        return
    found = call(lambda caller: caller.get_status())
    show_facts(status_record(found), STATUS_COLUMNS)
    for warning in found.warnings:
        note(f"warning: {warning}")


def status_record(status: Status) -> Record:
    """Give the state's values under their names in the contract, and the time it runs for."""
    started = status.start_time.seconds
    uptime = status.status_time.seconds - started if started else 0
    return {
        "version": status.version,
        "start_time": timestamp(status.start_time),
        "status_time": timestamp(status.status_time),
        "uptime_seconds": max(uptime, 0),
        "total_connection_count": status.total_connection_count,
        "current_connection_count": status.current_connection_count,
        "logged_in_session_count": status.logged_in_session_count,
        "sent_bytes": status.sent_bytes,
        "sent_message_count": status.sent_message_count,
        "deleted_message_count": status.deleted_message_count,
        "refused_login_count": status.refused_login_count,
        "account_count": status.account_count,
        "worker_count": status.worker_count,
        "draining_worker_count": status.draining_worker_count,
        "worker_restart_count": status.worker_restart_count,
        "transform": status.transform,
        "transforms": {
            "activation_count": status.transforms.activation_count,
            "trials": [activation_record(it) for it in status.transforms.trials],
            "given_up_canary_count": status.transforms.given_up_canary_count,
            "isolation": status.transforms.isolation,
        },
        "transformed_mail": transformed_record(status),
        "warnings": list(status.warnings),
        "certificates": [certificate_record(it) for it in status.certificates],
        "management_certificate_not_after_time": (
            timestamp(status.management_certificate_not_after_time)
            if status.HasField("management_certificate_not_after_time")
            else None
        ),
    }


def transformed_record(status: Status) -> Record | None:
    """Give what is known of transformed mail; None where none is kept and none is to be."""
    if not status.HasField("transformed_mail"):
        return None
    mail = status.transformed_mail
    return {
        "ahead": mail.ahead,
        "waiting_count": mail.waiting_count,
        "done_count": mail.done_count,
        "failed_count": mail.failed_count,
        "used_bytes": mail.used_bytes,
        "limit_bytes": mail.limit_bytes,
    }


def show_transformed(mail: Record | None) -> str:
    """Say what is known of transformed mail."""
    if mail is None:
        return "none"
    kept = f"{size(mail['used_bytes'])} of {size(mail['limit_bytes'])}"
    if not mail["ahead"]:
        return kept
    return (
        f"{kept}; as it arrives: {mail['waiting_count']} waiting, {mail['done_count']} done,"
        f" {mail['failed_count']} failed"
    )


def _watch_status(interval_s: float) -> None:
    async def watch(caller: Caller) -> None:
        header = True
        async for found in caller.watch_status(timedelta(seconds=interval_s)):
            show_line(status_record(found), WATCH_COLUMNS, header=header)
            header = False

    call(watch)


# --- settings ---

SETTING_COLUMNS = (Column("name", "NAME"), Column("value", "VALUE"))


@click.group(cls=Noun)
def settings() -> None:
    """Show and change settings; they hold at once and survive a restart."""


@settings.command(
    "get",
    calls=("ServerService/GetSettings",),
    examples=(
        "pop3ctl settings get",
        "pop3ctl settings get max_accounts",
        "pop3ctl settings get --json | jq .idle_timeout",
    ),
)
@click.argument("name", type=TEXT, required=False)
def get_settings(name: str | None) -> None:
    """Show all settings, or the value of one. In JSON, durations are seconds."""
    if name is not None:
        check_name(name)
    found = settings_record(call(lambda caller: caller.get_settings()))
    if name is not None:
        show_done({name: found[name]}, show_value(name, found[name]))
    else:
        _show_settings(found)


@settings.command(
    "set",
    calls=("ServerService/UpdateSettings",),
    examples=(
        "pop3ctl settings set max_accounts=500",
        "pop3ctl settings set idle_timeout=15m max_login_delay=1.5",
    ),
)
@click.argument("words", type=TEXT, nargs=-1, required=True, metavar="NAME=VALUE...")
def set_settings(words: tuple[str, ...]) -> None:
    """Change settings, all of them or none, and show what they are now.

    A duration is written as 60s, 10m, 1h30m or, in seconds, 1.5. With --json all settings are
    printed.
    """
    changed, names = parse_settings(words)
    found = settings_record(call(lambda caller: caller.update_settings(changed, names)))
    _show_settings(found if as_json() else {name: found[name] for name in names})


def _show_settings(found: Record) -> None:
    if as_json():
        show_facts(found, ())
        return
    rows = [{"name": name, "value": show_value(name, value)} for name, value in found.items()]
    show_list(rows, SETTING_COLUMNS)
