"""What a maildrop holds, and its listings, made once for all sessions that find it unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from lineproto.reply import Listing, Ok, Ready

READY_MESSAGES = 20_000
"""Messages up to which listings are kept; longer ones are made anew each time, line by line."""


class MessageFacts(Protocol):
    """What the protocol knows of a message."""

    @property
    def octets(self) -> int:
        """Its size in CRLF form."""

    @property
    def uidl(self) -> str:
        """Its unique id."""


class Contents:
    """The messages of a maildrop while none is marked as deleted. It does not change."""

    __slots__ = ("_scan_listing", "_unique_id_listing", "messages", "octets")

    def __init__(self, messages: Sequence[MessageFacts]) -> None:
        self.messages = messages
        self.octets = sum(message.octets for message in messages)
        self._scan_listing: Ready | None = None
        self._unique_id_listing: Ready | None = None

    def scan_listing(self) -> Ready | Listing:
        """Give the answer to LIST (RFC 1939 section 5)."""
        if self._scan_listing is None:
            lines = (f"{number} {it.octets}" for number, it in enumerate(self.messages, 1))
            head = scan_head(len(self.messages), self.octets)
            if len(self.messages) > READY_MESSAGES:
                return Listing(head, lines)
            self._scan_listing = _ready(head, lines)
        return self._scan_listing

    def unique_id_listing(self) -> Ready | Listing:
        """Give the answer to UIDL (RFC 1939 section 7)."""
        if self._unique_id_listing is None:
            lines = (f"{number} {it.uidl}" for number, it in enumerate(self.messages, 1))
            if len(self.messages) > READY_MESSAGES:
                return Listing(UNIQUE_ID_HEAD, lines)
            self._unique_id_listing = _ready(UNIQUE_ID_HEAD, lines)
        return self._unique_id_listing


UNIQUE_ID_HEAD = "unique-id listing follows"
NOTHING = Contents(())


def _ready(head: str, lines: Iterable[str]) -> Ready:
    """Make a listing of lines that begin with a number and are ASCII: nothing is to be stuffed."""
    text = "\r\n".join((*lines, ".", ""))
    return Ready(Ok(head).encode() + text.encode("ascii"))


def scan_head(count: int, octets: int) -> str:
    """Give the first line of the answer to LIST."""
    return f"{count} messages ({octets} octets)"
