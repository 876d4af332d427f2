"""Header fields as they are written: folded (RFC 5322 section 2.2.3), encoded (RFC 2047)."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable

WIDTH = 78
_LONGEST_WORD = 900
_WORD_OCTETS = 42
"""UTF-8 octets to an encoded word, so that the word has no more than 75 characters."""
ADDRESSES = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-sender", "resent-to"}
)


def fold(name: str, value: str, eol: bytes) -> bytes:
    """Write a field, line end included. The value has no control characters."""
    if name.lower() in ADDRESSES and not value.isascii():
        value = _encode_addresses(value)
    words = _encoded(value)
    lines = [name + ":"]
    for word in words:
        full = len(lines[-1]) + 1 + len(word) > WIDTH
        # A line of blanks alone would end the header for some, so a name has a word beside it.
        if word and full and lines[-1].strip() and lines[-1] != name + ":":
            lines.append(" " + word)
        else:
            lines[-1] += " " + word
    return eol.join(line.encode() for line in lines) + eol


def _encoded(value: str) -> list[str]:
    """Give a value's words; from the first that needs it to the last they are encoded as one.

    White space between encoded words is not part of the text, so it is encoded with them. A word
    longer than a line may be needs it too.
    """
    words = value.split(" ")
    needy = [at for at, it in enumerate(words) if not it.isascii() or len(it) > _LONGEST_WORD]
    if not needy:
        return words
    run = _encode_run(" ".join(words[needy[0] : needy[-1] + 1]))
    return [*words[: needy[0]], *run, *words[needy[-1] + 1 :]]


def _encode_run(text: str) -> list[str]:
    pieces, piece = [], ""
    for character in text:
        if len((piece + character).encode()) > _WORD_OCTETS:
            pieces.append(piece)
            piece = ""
        piece += character
    pieces.append(piece)
    return [f"=?utf-8?b?{b2a_base64(it.encode(), newline=False).decode()}?=" for it in pieces]


def _encode_addresses(value: str) -> str:
    """Encode the names of addresses; an address itself cannot be encoded."""
    from email.utils import getaddresses

    return write_addresses(getaddresses([value]))


def write_addresses(addresses: Iterable[tuple[str, str]]) -> str:
    """Write names and addresses as a field's value; names are encoded or quoted as they need it."""
    written = []
    for shown, address in addresses:
        if not shown.isascii():
            words = " ".join(_encode_run(shown))
        else:
            words = '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"' if shown else ""
        written.append(f"{words} <{address}>" if words else address)
    return ", ".join(written)
