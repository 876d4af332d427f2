"""POP3 connections."""

from __future__ import annotations

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.v1.sessions_pb2 import Session
from scmp_gateway.command import Line
from scmp_gateway.times import show_time


async def all_connec(caller: Caller, line: Line) -> Reply:
    """All connections: now and since the start, then one line each."""
    status = await caller.get_status()
    sessions = await caller.list_sessions()
    head = f"{len(sessions)} connections now, {status.total_connection_count} since start"
    return Listing(head, [session_line(session) for session in sessions])


async def bytes_trans(caller: Caller, line: Line) -> Reply:
    """Octets sent since the start."""
    return Ok(f"{(await caller.get_status()).sent_bytes} octets transmitted since start")


async def sessions(caller: Caller, line: Line) -> Reply:
    """The connections that the caller may see, or those of one account, with all that is known."""
    found = await caller.list_sessions("".join(line.words))
    return Listing(
        f"{len(found)} connections",
        [
            f"{session_line(it)} messages={it.sent_message_count} idle={it.idle_seconds}"
            for it in found
        ],
    )


async def kick(caller: Caller, line: Line) -> Reply:
    """End a connection by its id."""
    return Ok(f"{await caller.disconnect(session_id=line.words[0])} connections ended")


async def kick_user(caller: Caller, line: Line) -> Reply:
    """End all connections of an account."""
    return Ok(f"{await caller.disconnect(account_name=line.words[0])} connections ended")


def session_line(session: Session) -> str:
    """Tell of a connection in one line."""
    since = show_time(session.connect_time)
    account = session.account_name or "-"
    return f"{session.id} {session.peer} {account} since={since} sent={session.sent_bytes}"
