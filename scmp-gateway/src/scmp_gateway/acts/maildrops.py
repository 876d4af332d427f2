"""Maildrops."""

from __future__ import annotations

from lineproto.reply import Listing, Ok, Ready, Reply
from lineproto.stuffing import END, WireEncoder
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.maildrop_pb2 import ID_SOURCE_COURIER, ID_SOURCE_DOVECOT
from scmp_gateway.command import Line
from scmp_gateway.times import show_time

ID_SOURCES = {"DOVECOT": ID_SOURCE_DOVECOT, "COURIER": ID_SOURCE_COURIER}
MAX_SHOWN = 1024 * 1024
"""Octets of the largest message that SHOW_MAIL shows."""


async def mail(caller: Caller, line: Line) -> Reply:
    """An account's messages; without a name, the caller's own."""
    found = await caller.list_messages("".join(line.words))
    return Listing(
        f"{len(found)} messages, {sum(it.size_bytes for it in found)} octets",
        [
            f"{it.number} {it.uidl} {it.size_bytes} delivered={show_time(it.deliver_time)}"
            for it in found
        ],
    )


async def show_mail(caller: Caller, line: Line) -> Reply:
    """A message as RETR sends it, of the caller's own maildrop unless one is named."""
    uidl, *name = line.words
    octets = bytearray()
    async for chunk in caller.get_message(uidl, "".join(name)):
        octets += chunk
        if len(octets) > MAX_SHOWN:
            raise ManagementError(
                Reason.INVALID_ARGUMENT, "the message has more than 1 MiB; pop3ctl shows it"
            )
    encoder = WireEncoder()
    body = encoder.feed(bytes(octets)) + encoder.finish()
    return Ready(b"+OK message follows\r\n" + body + END)


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
