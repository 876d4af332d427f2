"""What the exchange of a mechanism is: the client's messages in, what to do next out."""

from __future__ import annotations

import binascii
from dataclasses import dataclass, field
from typing import Protocol

from pop3_service.domain.account import is_too_long
from pop3_service.domain.saslprep import prepare
from pop3_service.pop3.catalogue import Text

LINE_LIMIT = 64 * 1024
"""Octets of a line in an exchange, and of AUTH with its initial response, with CRLF."""
CANCEL = b"*"
"""The line by which the client gives an exchange up (RFC 5034 section 4)."""


class BadExchange(Exception):
    """The client's message is not one of the mechanism, or not base64: what to say."""

    def __init__(self, text: Text = Text.BAD_MESSAGE) -> None:
        super().__init__(text.en)
        self.text = text


class Denied(Exception):
    """The message is well-formed, and what it asks for is not granted: what to say."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


@dataclass(frozen=True, slots=True)
class Challenge:
    """Send these octets and wait for the client's next message."""

    octets: bytes

    def encode(self) -> bytes:
        """Give the wire form (RFC 5034 section 4)."""
        return b"+ " + binascii.b2a_base64(self.octets, newline=False) + b"\r\n"


@dataclass(frozen=True, slots=True)
class Password:
    """The client gave name and password: they are checked as those of USER and PASS are."""

    name: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Proof:
    """The supervisor has to look at this message; then it admits, refuses or challenges.

    ``state`` is what came with the last challenge; empty before the first.
    """

    mechanism: str
    response: bytes = field(repr=False)
    state: bytes = field(repr=False)


NOTHING = Challenge(b"")
"""What is sent for the client's first message where the client speaks first."""

Step = Challenge | Password | Proof


class Exchange(Protocol):
    """One exchange of a mechanism."""

    def respond(self, response: bytes) -> Step:
        """Take the client's next message, without its base64.

        Raises:
            BadExchange: it is not a message of this mechanism.
            Denied: what it asks for is not granted.
        """

    def challenged(self, state: bytes) -> None:
        """Keep what the supervisor gave with its challenge; the next ``Proof`` takes it back."""


class Relayed:
    """An exchange that the supervisor leads: each message is passed on with its last state."""

    __slots__ = ("_mechanism", "_state")

    def __init__(self, mechanism: str) -> None:
        self._mechanism = mechanism
        self._state = b""

    def respond(self, response: bytes) -> Step:
        """Pass a message on."""
        return Proof(self._mechanism, response, self._state)

    def challenged(self, state: bytes) -> None:
        """Keep the state."""
        self._state = state


def decode(line: bytes) -> bytes:
    """Read base64 (RFC 4648 section 4), strictly.

    Raises:
        BadExchange: it is not base64.
    """
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise BadExchange(Text.NOT_BASE64) from None


def check_authorization(authorization: bytes, name: bytes) -> None:
    """Check that nobody asks for the mail of somebody else; an empty identity means one's own.

    Raises:
        Denied: the two are not one name.
    """
    if authorization and _prepared(authorization) != _prepared(name):
        raise Denied(Text.ONLY_AS_YOURSELF)


def _prepared(name: bytes) -> bytes:
    try:
        text = name.decode()
        return name if is_too_long(text) else prepare(text).encode()
    except ValueError:
        return name
