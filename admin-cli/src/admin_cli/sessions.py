"""sessions: who is connected over POP3 now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from admin_cli.commands import TEXT, Noun
from admin_cli.connection import call
from admin_cli.output import (
    Column,
    Record,
    as_json,
    local_time,
    note,
    show_done,
    show_line,
    show_list,
    size,
    text_or_dash,
    timestamp,
)
from pop3mgmt.durations import show_duration

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.sessions_pb2 import Session, SessionEvent

COLUMNS = (
    Column("id", "ID"),
    Column("peer", "PEER"),
    Column("account_name", "ACCOUNT", text_or_dash),
    Column("connect_time", "CONNECTED", local_time),
    Column("idle_seconds", "IDLE", show_duration, right=True),
    Column("sent_message_count", "MESSAGES", right=True),
    Column("sent_bytes", "SENT", size, right=True),
)

EVENT_COLUMNS = (
    Column("event_time", "TIME", local_time, width=19),
    Column("kind", "EVENT", lambda kind: kind.replace("_", " "), width=9),
    Column("session", "ID", lambda session: str(session["id"]), width=12),
    Column("session", "PEER", lambda session: str(session["peer"]), width=21),
    Column("session", "ACCOUNT", lambda session: text_or_dash(session["account_name"]), width=12),
    Column("session", "MESSAGES", lambda session: str(session["sent_message_count"]), right=True),
    Column("session", "SENT", lambda session: size(session["sent_bytes"]), right=True, width=10),
)

TEXT_COLUMNS = (
    Column("event_time", "TIME", local_time, width=19),
    Column("kind", "EVENT", lambda kind: kind.replace("_", " "), width=9),
    Column("text", "WHAT"),
)
"""For events that are about no session."""

BEGUN: Record = {
    "kind": "watching",
    "event_time": None,
    "skipped_count": 0,
    "session": None,
    "text": "",
}
"""The first line of a watch for scripts: from here on no event is missed."""


@click.group(cls=Noun)
def sessions() -> None:
    """Show and end POP3 sessions. A user sees its own, an admin all."""


@sessions.command(
    "list",
    calls=("SessionsService/ListSessions",),
    examples=("pop3ctl sessions list", "pop3ctl sessions list --account alice --json"),
)
@click.option("--account", type=TEXT, default=None, metavar="NAME", help="Only of this account.")
def list_sessions(account: str | None) -> None:
    """List the sessions of now, oldest first."""
    found = call(lambda caller: caller.list_sessions(account or ""))
    show_list(map(session_record, found), COLUMNS)


@sessions.command(
    "watch",
    calls=("SessionsService/WatchSessions",),
    examples=(
        "pop3ctl sessions watch",
        "pop3ctl sessions watch --json | jq -c 'select(.kind == \"logged_in\")'",
    ),
)
@click.option("--account", type=TEXT, default=None, metavar="NAME", help="Only of this account.")
def watch_sessions(account: str | None) -> None:
    """Print each event as it happens, until Ctrl-C.

    With --json, one object a line; the first has the kind "watching".
    """

    async def watch(caller: Caller) -> None:
        header = True
        async for event in caller.watch_sessions(account or ""):
            if event is not None:
                _show_event(event, header=header)
                header = header and not event.HasField("session")
            elif as_json():
                show_line(BEGUN, (), header=False)
            else:
                note("watching sessions; Ctrl-C ends it")

    call(watch)


@sessions.command(
    "disconnect",
    calls=("SessionsService/DisconnectSession",),
    examples=(
        "pop3ctl sessions disconnect 42",
        "pop3ctl sessions disconnect --account alice",
    ),
)
@click.argument("session_id", type=TEXT, required=False)
@click.option("--account", type=TEXT, default=None, metavar="NAME", help="All of this account.")
def disconnect_sessions(session_id: str | None, account: str | None) -> None:
    """End one session, or all of an account. No mail is deleted."""
    if (session_id is None) == (account is None):
        raise click.UsageError("give either SESSION_ID or --account NAME")
    ended = call(
        lambda caller: caller.disconnect(session_id=session_id or "", account_name=account or "")
    )
    record: Record = {
        "session_id": session_id,
        "account_name": account,
        "ended_session_count": ended,
    }
    show_done(record, f"sessions ended: {ended}")


def session_record(session: Session) -> Record:
    """Give a session's values under their names in the contract."""
    return {
        "id": session.id,
        "peer": session.peer,
        "account_name": session.account_name,
        "connect_time": timestamp(session.connect_time),
        "sent_bytes": session.sent_bytes,
        "sent_message_count": session.sent_message_count,
        "idle_seconds": session.idle_seconds,
    }


def event_record(event: SessionEvent) -> Record:
    """Give an event's values under their names in the contract."""
    kind = event.Kind.Name(event.kind).removeprefix("KIND_").lower()
    return {
        "kind": kind,
        "event_time": timestamp(event.event_time),
        "skipped_count": event.skipped_count,
        "session": session_record(event.session) if event.HasField("session") else None,
        "text": event.text,
    }


def _show_event(event: SessionEvent, *, header: bool) -> None:
    if event.skipped_count:
        note(f"events left out: {event.skipped_count}")
    if event.HasField("session"):
        show_line(event_record(event), EVENT_COLUMNS, header=header)
    else:
        show_line(event_record(event), TEXT_COLUMNS, header=False)
