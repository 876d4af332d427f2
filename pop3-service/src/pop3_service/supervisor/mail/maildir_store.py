"""The mail store of the management side: Maildirs on the disk, each call in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import BinaryIO

from lineproto.clock import Clock
from lineproto.obtaining import obtain
from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidArgument
from pop3_service.maildir.delivery import (
    Delivery,
    list_maildir,
    open_counted,
    remove_maildir,
)
from pop3_service.maildir.importing import IdImport, import_ids
from pop3_service.maildir.message import order
from pop3_service.maildir.old_ids import IdSource
from pop3_service.maildir.paths import MailPaths, make_folder
from pop3_service.supervisor.mail.maildrops import MessageSummary

PIECE = 256 * 1024
"""Octets of a message read at a time."""


class MaildirStore:
    """``supervisor.maildrops.Maildrops`` over Maildirs."""

    def __init__(self, paths: MailPaths, clock: Clock) -> None:
        self._paths = paths
        self._clock = clock

    def check_name(self, name: AccountName) -> None:
        """Check that the template gives a path for a name."""
        self._paths.parts(name)

    async def create(self, name: AccountName) -> None:
        """Make an account's Maildir; one that is there stays."""
        await asyncio.to_thread(make_folder, self._paths.root, self._paths.parts(name))

    async def remove(self, name: AccountName) -> None:
        """Remove an account's Maildir with all its mail."""
        await asyncio.to_thread(remove_maildir, self._paths.root, self._paths.parts(name))

    async def list(self, name: AccountName) -> list[MessageSummary]:
        """List an account's messages as a session opened now would."""
        parts = self._paths.parts(name)
        listing = await asyncio.to_thread(list_maildir, self._paths.root, parts)
        return [
            MessageSummary(
                number,
                message.uidl,
                message.octets,
                float(order(message.name, message.mtime_ns)[0]),
            )
            for number, message in enumerate(listing.messages, 1)
        ]

    async def put(self, name: AccountName, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        """Store a message durably; give its unique id and its stored octets."""
        parts = self._paths.parts(name)
        stored = 0
        work = asyncio.to_thread(Delivery, self._paths.root, parts, self._clock)
        with await obtain(work, _give_up) as delivery:
            async for chunk in chunks:
                await asyncio.to_thread(delivery.write, chunk)
                stored += len(chunk)
            uidl, _ = await asyncio.to_thread(delivery.commit)
        return uidl, stored

    async def read(self, name: AccountName, uidl: str) -> AsyncIterator[bytes]:
        """Give one message's stored octets, in pieces."""
        file, _ = await self.open(name, uidl)
        with file:
            while piece := await asyncio.to_thread(partial(file.read, PIECE)):
                yield piece

    async def open(self, name: AccountName, uidl: str) -> tuple[BinaryIO, int]:
        """Open one message's file to be read; give its octets in CRLF form as well."""
        parts = self._paths.parts(name)
        opening = asyncio.to_thread(open_counted, self._paths.root, parts, uidl)
        return await obtain(opening, _close)

    async def import_ids(
        self, name: AccountName, source: IdSource, uidl_format: str, *, dry_run: bool
    ) -> IdImport:
        """Take over another server's unique ids, or only tell what that would change."""
        try:
            parts = self._paths.parts(name)
        except InvalidArgument:  # an admin without a maildrop
            return IdImport()
        work = partial(import_ids, self._paths.root, parts, source, uidl_format, dry_run=dry_run)
        return await asyncio.to_thread(work)


def _close(opened: tuple[BinaryIO, int]) -> None:
    opened[0].close()


def _give_up(delivery: Delivery) -> None:
    with delivery:
        pass
