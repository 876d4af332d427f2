"""The clients of ``tests/system/clients``: what each shows, and what it makes of a message."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Form = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Way:
    """How a client comes in; ``port`` is the one inside the container."""

    name: str
    port: int
    tls: bool


CLEAR, STLS, TLS = Way("clear", 1110, False), Way("stls", 1110, True), Way("tls", 1995, True)
WAYS = (CLEAR, STLS, TLS)


def with_crlf(wire: bytes) -> bytes:
    """What was sent, after unstuffing."""
    return wire


def with_lf(wire: bytes) -> bytes:
    return wire.replace(b"\r\n", b"\n")


def still_stuffed(wire: bytes) -> bytes:
    """Dots as they were sent, the last line without its end."""
    return re.sub(rb"^\.", b"..", wire, flags=re.MULTILINE).removesuffix(b"\r\n")


def of_mbox(wire: bytes) -> bytes:
    """As an mbox would hold it: a blank line at the end, and From quoted behind a blank line."""
    text = re.sub(rb"(?<=\n\n)From ", b">From ", with_lf(wire))
    return text if text.endswith(b"\n\n") or text == b"\n" else text + b"\n"


def after_return_path(wire: bytes) -> bytes:
    return b"Return-Path: <unknown>\n" + with_lf(wire)


@dataclass(frozen=True)
class MailClient:
    """One client.

    Attributes:
        shows: what of the listing it lets see: messages, octets, size (of each message).
        form: what it makes of every message, as it documents.
        differs: what it makes of the messages of one trait beyond that; None is not fetched.
        note: the same in words, for the table.
        says_quit: whether it ends a session that only reads with QUIT.
    """

    name: str
    script: str
    shows: frozenset[str]
    form: Form
    ways: tuple[Way, ...] = WAYS
    differs: Mapping[str, Form | None] = field(default_factory=dict)
    note: str = ""
    says_quit: bool = True

    def makes_of(self, trait: str, wire: bytes, account: str) -> bytes | None:
        """What must be found of a message, None when the client cannot fetch it."""
        if trait in self.differs:
            own = self.differs[trait]
            return own(wire).replace(b"ACCOUNT", account.encode()) if own else None
        return self.form(wire)


def _up_to_nul(wire: bytes) -> bytes:
    return re.sub(rb"\0[^\n]*", b"", with_lf(wire))


def _lone_cr_as_line_end(wire: bytes) -> bytes:
    return after_return_path(wire).replace(b"\r", b"\n")


def _body_begins(wire: bytes) -> bytes:
    return after_return_path(b"\n" + wire)


def _folded_anew(wire: bytes) -> bytes:
    """A space behind an empty header's colon; a long one in lines of at most 78 octets."""
    text = after_return_path(wire).replace(b"X-Empty:\n", b"X-Empty: \n")
    return re.sub(rb"^X-Long: .*$", _fold, text, flags=re.MULTILINE)


def _fold(found: re.Match[bytes]) -> bytes:
    line, *words = found[0].split(b" ")
    lines = []
    for word in words:
        if len(line) + 1 + len(word) > 78:
            lines.append(line)
            line = b""
        line += b" " + word
    return b"\n".join([*lines, line])


def _cut_at_8191(wire: bytes) -> bytes:
    return re.sub(rb"x{8191}(?=x)", b"\\g<0>\0\3\r\n", wire)


def _notice(_: bytes) -> bytes:
    return (
        b"From: FETCHMAIL-DAEMON\r\nTo: reader@desk\r\n"
        b"Subject: Headerless mail from ACCOUNT's mailbox on pop3-service\r\n\r\n"
    )


def _and(end: bytes, form: Form) -> Form:
    return lambda wire: form(wire) + end


COUNT, ALL = frozenset({"messages"}), frozenset({"messages", "octets", "size"})

CLIENTS = (
    MailClient("curl", "curl.sh", ALL - {"octets"}, with_crlf),
    MailClient(
        "fetchmail",
        "fetchmail.sh",
        ALL - {"size"},
        with_crlf,
        differs={
            "empty": _notice,
            "one line end": _notice,
            "headers alone": _and(b"\r\n", with_crlf),
            "header cut off": _and(b"\r\n", with_crlf),
            "70000 octets": _cut_at_8191,
        },
        note="mail without a header is replaced by a notice, one without a blank line gets it; "
        "cuts lines at 8 KiB and adds two octets there",
    ),
    MailClient(
        "getmail6",
        "getmail.sh",
        ALL,
        after_return_path,
        (CLEAR, TLS),
        differs={
            "headers alone": _and(b"\n", after_return_path),
            "header cut off": _and(b"\n", after_return_path),
            "dot first": _body_begins,
            "folded headers": _folded_anew,
            "lone CR": _lone_cr_as_line_end,
        },
        note="no STLS; writes the header anew: folds it, ends it with a blank line; "
        "a lone CR becomes a line end",
    ),
    MailClient("mpop", "mpop.sh", COUNT, with_lf),
    MailClient(
        "mutt",
        "mutt.sh",
        COUNT,
        with_lf,
        differs={"NUL": _up_to_nul},
        note="loses the rest of a line after NUL",
    ),
    MailClient(
        "s-nail",
        "s-nail.sh",
        COUNT,
        of_mbox,
        differs={"dot first": lambda wire: of_mbox(b"\r\n" + wire)},
        note="stores mail as an mbox holds it; leaves without QUIT when it only reads",
        says_quit=False,
    ),
    MailClient("Net::POP3", "net-pop3.pl", ALL - {"octets"}, with_lf),
    MailClient(
        "poplib",
        "poplib_client.py",
        ALL,
        with_crlf,
        differs={"3000 octets": None, "70000 octets": None},
        note="refuses lines of more than 2048 octets",
    ),
    MailClient(
        "yapople",
        "yapople.mjs",
        ALL,
        still_stuffed,
        (CLEAR, TLS),
        note="no STLS; leaves it to the caller to undo the stuffing",
    ),
    MailClient(
        "claws-mail",
        "claws-mail.sh",
        ALL - {"size"},
        with_lf,
        differs={"dot first": lambda wire: b"." + with_lf(wire)},
        note="does not undo the stuffing of a message's first line",
    ),
)
