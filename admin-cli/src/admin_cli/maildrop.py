"""maildrop: an account's mail, listed, stored and shown; its ids. Nothing here deletes mail."""

from __future__ import annotations

import re
from functools import partial
from typing import IO, TYPE_CHECKING

import click

from admin_cli.commands import TEXT, Noun
from admin_cli.connection import call
from admin_cli.errors import HINTS, Refused
from admin_cli.output import (
    Column,
    Record,
    as_json,
    local_time,
    show_done,
    show_list,
    show_octets,
    size,
    timestamp,
)
from admin_cli.uidl_import import import_uidl
from pop3mgmt.reasons import Reason

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.maildrop_pb2 import MessageInfo, PutMessageResponse

COLUMNS = (
    Column("number", "NUMBER", right=True),
    Column("uidl", "UIDL"),
    Column("size_bytes", "SIZE", size, right=True),
    Column("deliver_time", "DELIVERED", local_time),
)

_NUMBER = re.compile(r"[0-9]{1,9}")


@click.group(cls=Noun)
def maildrop() -> None:
    """List, store and show an account's messages."""


maildrop.add_command(import_uidl)


@maildrop.command(
    "list",
    calls=("MaildropService/ListMessages",),
    examples=(
        "pop3ctl maildrop list",
        "pop3ctl maildrop list alice --json | jq 'map(.size_bytes) | add'",
    ),
)
@click.argument("name", type=TEXT, required=False)
def list_messages(name: str | None) -> None:
    """List the messages of an account, without NAME of your own."""
    found = call(lambda caller: caller.list_messages(name or ""))
    show_list(map(message_record, found), COLUMNS)


@maildrop.command(
    "put",
    calls=("MaildropService/PutMessage",),
    examples=(
        "pop3ctl maildrop put alice letter.eml",
        "pop3ctl maildrop put alice < letter.eml",
        "mutt-export | pop3ctl maildrop put alice -",
    ),
)
@click.argument("name", type=TEXT)
@click.argument("file", type=click.File("rb"), default="-")
def put_message(name: str, file: IO[bytes]) -> None:
    """Store a message from FILE or stdin, as it is; when it is told, it is on disk."""
    if file.isatty():
        raise click.UsageError("stdin is a terminal; give FILE, or pipe the message in")

    async def put(caller: Caller) -> PutMessageResponse:
        from pop3mgmt.calls.base import CHUNK

        return await caller.put_message(name, iter(partial(file.read, CHUNK), b""))

    stored = call(put)
    record: Record = {"name": name, "uidl": stored.uidl, "stored_bytes": stored.stored_bytes}
    show_done(record, f'stored {size(stored.stored_bytes)} for "{name}" as {stored.uidl}')


@maildrop.command(
    "show",
    calls=("MaildropService/GetMessage",),
    also=("MaildropService/ListMessages",),
    examples=(
        "pop3ctl maildrop show alice 1",
        "pop3ctl maildrop show alice 1700000000.M1P2.mail > letter.eml",
        "pop3ctl maildrop show alice 1 --json | jq -r .content_base64 | base64 -d",
    ),
)
@click.argument("name", type=TEXT)
@click.argument("message", type=TEXT)
def show_message(name: str, message: str) -> None:
    """Write a message's stored octets to stdout. MESSAGE is its number or its uidl.

    Digits are a number if there is such a message, else a uidl. On a terminal, control
    characters are shown as escapes.
    """

    async def show(caller: Caller) -> list[bytes]:
        uidl = await _find_uidl(caller, name, message)
        return [chunk async for chunk in caller.get_message(uidl, name)]

    chunks = call(show)
    if as_json():
        import base64

        content = base64.b64encode(b"".join(chunks)).decode()
        show_done({"name": name, "message": message, "content_base64": content}, "")
    else:
        show_octets(chunks)


async def _find_uidl(caller: Caller, name: str, message: str) -> str:
    if not _NUMBER.fullmatch(message):
        return message
    found = await caller.list_messages(name)
    for info in found:
        if info.number == int(message):
            return info.uidl
    if any(info.uidl == message for info in found):
        return message
    text = f"{name!r} has {len(found)} messages, and none is {message}"
    raise Refused(Reason.MESSAGE_NOT_FOUND, text, HINTS[Reason.MESSAGE_NOT_FOUND])


def message_record(info: MessageInfo) -> Record:
    """Give a message's values under their names in the contract."""
    return {
        "number": info.number,
        "uidl": info.uidl,
        "size_bytes": info.size_bytes,
        "deliver_time": timestamp(info.deliver_time),
    }
