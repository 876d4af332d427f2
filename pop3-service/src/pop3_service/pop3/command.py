"""Commands, one frozen dataclass each, and how a line becomes one (RFC 1939, 2449, 6856).

What a client may send is decided here alone: ``parse`` refuses a line or gives a command that is
well-formed. Whether it is allowed now is the session's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from pop3_service.pop3.catalogue import Text

LINE_LIMIT = 2048
"""Octets of a command line with CRLF: RFC 2449 section 4 asks for 255; long passwords need more."""
NUMBER_DIGITS = 10
"""Digits of a number; more could not be a message number."""
LANGUAGE_RANGE_OCTETS = 35
"""The longest language tag that need be taken (RFC 5646 section 4.4.1)."""

_MECHANISM = re.compile(rb"[A-Za-z0-9_-]{1,20}")
"""A mechanism's name (RFC 4422 section 3.1)."""
KEPT_LINES = 4096
KEPT_OCTETS = 16
"""Short lines that all clients send alike are parsed once, up to so many of them."""


_language_range = re.compile(rb"\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*").fullmatch


class BadCommand(Exception):
    """The line is not a command, or its arguments are not of the command's form: what to say."""

    def __init__(self, text: Text, **arguments: object) -> None:
        super().__init__(text.en.format_map(arguments))
        self.text = text
        self.arguments = arguments


@dataclass(frozen=True, slots=True)
class User:
    """Name the account (RFC 1939 section 7)."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Pass:
    """Give the password: everything after the first blank, blanks too (RFC 1939 section 7)."""

    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stat:
    """Ask for the number and the octets of the messages (RFC 1939 section 5)."""


@dataclass(frozen=True, slots=True)
class List:
    """Ask for the sizes of all messages or of one (RFC 1939 section 5)."""

    number: int | None = None


@dataclass(frozen=True, slots=True)
class Uidl:
    """Ask for the unique ids of all messages or of one (RFC 1939 section 7)."""

    number: int | None = None


@dataclass(frozen=True, slots=True)
class Retr:
    """Ask for a message (RFC 1939 section 5)."""

    number: int


@dataclass(frozen=True, slots=True)
class Dele:
    """Mark a message as deleted (RFC 1939 section 5)."""

    number: int


@dataclass(frozen=True, slots=True)
class Top:
    """Ask for a message's header and some lines of its body (RFC 1939 section 7)."""

    number: int
    lines: int


@dataclass(frozen=True, slots=True)
class Noop:
    """Do nothing (RFC 1939 section 5)."""


@dataclass(frozen=True, slots=True)
class Rset:
    """Unmark all messages (RFC 1939 section 5)."""


@dataclass(frozen=True, slots=True)
class Capa:
    """Ask for the capabilities (RFC 2449 section 5)."""


@dataclass(frozen=True, slots=True)
class Quit:
    """End the session (RFC 1939 sections 4 and 6)."""


@dataclass(frozen=True, slots=True)
class Stls:
    """Begin TLS (RFC 2595 section 4)."""


@dataclass(frozen=True, slots=True)
class Auth:
    """Begin an exchange of a SASL mechanism, or ask which there are (RFC 5034 section 4).

    ``response`` is the initial response as it was sent: base64, or ``=`` for an empty one.
    """

    mechanism: str | None = None
    response: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Utf8:
    """Ask for UTF-8 in replies and in messages' headers (RFC 6856 section 2.1)."""


@dataclass(frozen=True, slots=True)
class Lang:
    """Choose the replies' language, or ask for the languages there are (RFC 6856 section 3).

    ``range`` is a basic language range (RFC 4647 section 2.1); ``*`` is any.
    """

    range: str | None = None


@dataclass(frozen=True, slots=True)
class Apop:
    """Log in with a digest of the greeting's timestamp and a secret (RFC 1939 section 7)."""

    name: bytes
    digest: bytes = field(repr=False)


Command = (
    Apop
    | User
    | Pass
    | Stat
    | List
    | Uidl
    | Retr
    | Dele
    | Top
    | Noop
    | Rset
    | Capa
    | Stls
    | Utf8
    | Lang
    | Quit
    | Auth
)


def parse(line: bytes) -> Command:
    """Make a command of a line without its line ending. Keywords are indifferent to case.

    Raises:
        BadCommand: with what to say of it.
    """
    known = _parsed.get(line)
    if known is not None:
        return known
    keyword, _, rest = line.partition(b" ")
    maker = MAKERS.get(keyword.upper())
    if maker is None:
        raise BadCommand(Text.UNKNOWN_COMMAND)
    command = maker(rest)
    if len(line) <= KEPT_OCTETS and type(command) in _ALIKE and len(_parsed) < KEPT_LINES:
        _parsed[line] = command
    return command


def _user(rest: bytes) -> Command:
    name = rest.strip(b" ")
    if not name:
        raise BadCommand(Text.USAGE_USER)
    return User(name)


def _pass(rest: bytes) -> Command:
    if not rest:
        raise BadCommand(Text.USAGE_PASS)
    return Pass(rest)


def _bare(command: Command) -> Callable[[bytes], Command]:
    """A command without arguments."""
    keyword = type(command).__name__.upper()

    def make(rest: bytes) -> Command:
        if rest.strip(b" "):
            raise BadCommand(Text.TAKES_NO_ARGUMENT, keyword=keyword)
        return command

    return make


def _optional(kind: type[List] | type[Uidl]) -> Callable[[bytes], Command]:
    """A command with a message number or none."""
    usage = partial(BadCommand, Text.USAGE_OPTIONAL_MESSAGE, keyword=kind.__name__.upper())
    every = kind()

    def make(rest: bytes) -> Command:
        words = rest.split()
        if not words:
            return every
        if len(words) > 1:
            raise usage()
        return kind(_number(words[0], usage))

    return make


def _numbered(kind: type[Retr] | type[Dele]) -> Callable[[bytes], Command]:
    """A command with a message number."""
    usage = partial(BadCommand, Text.USAGE_MESSAGE, keyword=kind.__name__.upper())

    def make(rest: bytes) -> Command:
        words = rest.split()
        if len(words) != 1:
            raise usage()
        return kind(_number(words[0], usage))

    return make


def _top(rest: bytes) -> Command:
    usage = partial(BadCommand, Text.USAGE_TOP)
    words = rest.split()
    if len(words) != 2:
        raise usage()
    return Top(_number(words[0], usage), _number(words[1], usage))


def _auth(rest: bytes) -> Command:
    words = rest.split()
    if not words:
        return Auth()
    if len(words) > 2 or not _MECHANISM.fullmatch(words[0]):
        raise BadCommand(Text.USAGE_AUTH)
    return Auth(words[0].decode().upper(), words[1] if len(words) == 2 else None)


def _lang(rest: bytes) -> Command:
    text = rest.strip(b" ")
    if not text:
        return Lang()
    if len(text) > LANGUAGE_RANGE_OCTETS or not _language_range(text):
        raise BadCommand(Text.USAGE_LANG)
    return Lang(text.decode("ascii").lower())


def _apop(rest: bytes) -> Command:
    words = rest.split()
    if len(words) != 2:
        raise BadCommand(Text.USAGE_APOP)
    return Apop(words[0], words[1])


def _number(word: bytes, usage: Callable[[], BadCommand]) -> int:
    """Read ASCII digits; nothing else is a number (RFC 1939 section 3)."""
    if not word.isdigit() or len(word) > NUMBER_DIGITS:  # bytes.isdigit knows ASCII only
        raise usage()
    return int(word)


MAKERS: dict[bytes, Callable[[bytes], Command]] = {
    b"USER": _user,
    b"PASS": _pass,
    b"STAT": _bare(Stat()),
    b"LIST": _optional(List),
    b"UIDL": _optional(Uidl),
    b"RETR": _numbered(Retr),
    b"DELE": _numbered(Dele),
    b"TOP": _top,
    b"NOOP": _bare(Noop()),
    b"RSET": _bare(Rset()),
    b"CAPA": _bare(Capa()),
    b"STLS": _bare(Stls()),
    b"UTF8": _bare(Utf8()),
    b"LANG": _lang,
    b"QUIT": _bare(Quit()),
    b"AUTH": _auth,
    b"APOP": _apop,
}

BEFORE_LOGIN: frozenset[type[Command]] = frozenset(
    {User, Pass, Apop, Auth, Stls, Capa, Utf8, Lang, Quit}
)
"""Commands of AUTHORIZATION state."""

_ALIKE = frozenset({Stat, List, Uidl, Retr, Dele, Top, Noop, Rset, Capa, Utf8, Lang, Quit})
"""Commands that say nothing of who sends them. A password is never kept."""
_parsed: dict[bytes, Command] = {}
