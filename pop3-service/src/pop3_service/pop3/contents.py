"""What a maildrop holds, and its listings, made once for all sessions that find it unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from lineproto.reply import Listing, Ok, Ready
from pop3_service.pop3.catalogue import Language, Text

READY_MESSAGES = 20_000
"""Messages up to which listings are kept; longer ones are made anew each time, piece by piece."""


class MessageFacts(Protocol):
    """What the protocol knows of a message."""

    @property
    def octets(self) -> int:
        """Its size in CRLF form."""

    @property
    def uidl(self) -> str:
        """Its unique id."""

    @property
    def form(self) -> int:
        """What is known of its octets (``lineproto.stuffing``)."""


class Resized(NamedTuple):
    """What the protocol knows of a message whose transformed size is told in place of its own."""

    octets: int
    uidl: str
    form: int


class Contents:
    """The messages of a maildrop while none is marked as deleted. It does not change."""

    __slots__ = ("_language", "_scan_listing", "_unique_id_listing", "messages", "octets")

    def __init__(self, messages: Sequence[MessageFacts]) -> None:
        self.messages = messages
        self.octets = sum(message.octets for message in messages)
        self._language: Language | None = None  # of the listings that are kept
        self._scan_listing: Ready | None = None
        self._unique_id_listing: Ready | None = None

    def scan_listing(self, language: Language) -> Ready | Listing:
        """Give the answer to LIST (RFC 1939 section 5)."""
        self._speak(language)
        if self._scan_listing is None:
            lines = (f"{number} {it.octets}" for number, it in enumerate(self.messages, 1))
            head = scan_head(language, len(self.messages), self.octets)
            if len(self.messages) > READY_MESSAGES:
                return Listing(head, lines, plain=True)
            self._scan_listing = _ready(head, lines)
        return self._scan_listing

    def unique_id_listing(self, language: Language) -> Ready | Listing:
        """Give the answer to UIDL (RFC 1939 section 7)."""
        self._speak(language)
        if self._unique_id_listing is None:
            lines = (f"{number} {it.uidl}" for number, it in enumerate(self.messages, 1))
            head = language.say(Text.UNIQUE_IDS)
            if len(self.messages) > READY_MESSAGES:
                return Listing(head, lines, plain=True)
            self._unique_id_listing = _ready(head, lines)
        return self._unique_id_listing

    def resized(self, octets: Iterable[int]) -> Contents:
        """Give the same messages with other sizes, one for each in order; the ids stay."""
        pairs = zip(self.messages, octets, strict=True)
        return Contents([Resized(size, it.uidl, it.form) for it, size in pairs])

    def _speak(self, language: Language) -> None:
        """Keep listings in one language; nearly all sessions of a maildrop have the same."""
        if self._language is not language:
            self._language = language
            self._scan_listing = self._unique_id_listing = None


NOTHING = Contents(())


def _ready(head: str, lines: Iterable[str]) -> Ready:
    """Make a listing of lines that begin with a number and are ASCII: nothing is to be stuffed."""
    text = "\r\n".join((*lines, ".", ""))
    return Ready(Ok(head).encode() + text.encode("ascii"))


def scan_head(language: Language, count: int, octets: int) -> str:
    """Give the first line of the answer to LIST."""
    return language.say(Text.SIZES, count=count, octets=octets)
