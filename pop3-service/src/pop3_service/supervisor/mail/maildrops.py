"""What the use cases need of the mail store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from pop3_service.domain.account import AccountName
from pop3_service.maildir.importing import IdImport
from pop3_service.maildir.old_ids import IdSource


@dataclass(frozen=True, slots=True)
class MessageSummary:
    """One message: ``octets`` in CRLF form, delivery time in seconds (Unix)."""

    number: int
    uidl: str
    octets: int
    deliver_time_s: float


class Maildrops(Protocol):
    """Accounts' Maildirs."""

    def check_name(self, name: AccountName) -> None:
        """Check that a Maildir's path can be made of a name, or raise InvalidArgument."""

    async def create(self, name: AccountName) -> None:
        """Make an account's Maildir; one that is there stays."""

    async def remove(self, name: AccountName) -> None:
        """Remove an account's Maildir with all its mail."""

    async def list(self, name: AccountName) -> list[MessageSummary]:
        """List an account's messages as a session opened now would."""

    async def put(self, name: AccountName, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        """Store a message durably; give its unique id and its stored octets."""

    def read(self, name: AccountName, uidl: str) -> AsyncIterator[bytes]:
        """Give one message's stored octets, in pieces."""

    async def open(self, name: AccountName, uidl: str) -> tuple[BinaryIO, int]:
        """Open one message's file to be read; give its octets in CRLF form as well."""

    async def import_ids(
        self, name: AccountName, source: IdSource, uidl_format: str, *, dry_run: bool
    ) -> IdImport:
        """Take over another server's unique ids, or only tell what that would change."""
