"""Maildrops."""

from __future__ import annotations

from lineproto.reply import Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.maildrop_pb2 import ID_SOURCE_COURIER, ID_SOURCE_DOVECOT
from scmp_gateway.command import Line

ID_SOURCES = {"DOVECOT": ID_SOURCE_DOVECOT, "COURIER": ID_SOURCE_COURIER}


async def import_uidl(caller: Caller, line: Line) -> Reply:
    """Keep the unique ids that an account's messages had at another server."""
    name, server, *rest = line.words
    source = ID_SOURCES.get(server.upper())
    if source is None:
        raise ManagementError(Reason.INVALID_ARGUMENT, "the server is DOVECOT or COURIER")
    result = await caller.import_unique_ids(name, source, "".join(rest))
    if not result.source_found:
        raise ManagementError(
            Reason.MESSAGE_NOT_FOUND, f"the Maildir of {name} has no file of {server.upper()}"
        )
    return Ok(
        f"{result.kept.message_count} messages keep their old id,"
        f" {result.changed.message_count} of them had another,"
        f" {result.refused.message_count} refused, {result.missing.message_count} not in the file"
    )
