"""OAUTHBEARER (RFC 7628) and XOAUTH2, its forerunner, which Google and Microsoft have: messages.

The supervisor reads them, as it has to check the token.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from pop3_service.domain.errors import InvalidArgument

SEPARATOR = b"\x01"
_GS2_HEADER = re.compile(rb"[ny],(?:a=([^,]+))?,")
"""RFC 5801 section 4, without channel binding, which a bearer token has none of."""
_PAIR = re.compile(rb"([A-Za-z]+)=([\t\r\n\x20-\x7e]*)")
_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
"""RFC 6750 section 2.1; the scheme is indifferent to case (RFC 7628 section 3.1)."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token, empty if the client only asks what it needs; ``name`` is empty if none is given."""

    name: bytes
    token: bytes = field(repr=False)


def read_oauthbearer(message: bytes) -> Bearer:
    """Read a client's first message (RFC 7628 section 3.1).

    Raises:
        InvalidArgument: it is none.
    """
    header, _, rest = message.partition(SEPARATOR)
    found = _GS2_HEADER.fullmatch(header)
    if found is None:
        raise InvalidArgument("not a message of OAUTHBEARER")
    return Bearer(_unescaped(found[1] or b""), _token(_pairs(rest)))


def read_xoauth2(message: bytes) -> Bearer:
    """Read a client's first message: ``user=…^Aauth=Bearer …^A^A``.

    Raises:
        InvalidArgument: it is none.
    """
    user, _, rest = message.partition(SEPARATOR)
    key, _, name = user.partition(b"=")
    if key != b"user" or not name:
        raise InvalidArgument("not a message of XOAUTH2")
    return Bearer(name, _token(_pairs(rest)))


def oauthbearer_failure(scope: str, openid_configuration: str) -> bytes:
    """Give the challenge that tells of a failure (RFC 7628 section 3.2.2)."""
    told = {
        "status": "invalid_token",
        "scope": scope,
        "openid-configuration": openid_configuration,
    }
    return json.dumps({name: text for name, text in told.items() if text}).encode()


def xoauth2_failure(scope: str) -> bytes:
    """Give the challenge that tells of a failure, as Google's and Microsoft's servers do."""
    return json.dumps({"status": "401", "schemes": "bearer", "scope": scope}).encode()


def _pairs(octets: bytes) -> dict[bytes, bytes]:
    """Read ``key=value^A`` any number of times, and the ``^A`` that ends them."""
    parts = octets.split(SEPARATOR)
    if parts[-2:] != [b"", b""]:
        raise InvalidArgument("not a message of key and value pairs")
    read: dict[bytes, bytes] = {}
    for pair in parts[:-2]:
        found = _PAIR.fullmatch(pair)
        if found is None or found[1] in read:
            raise InvalidArgument("not a message of key and value pairs")
        read[found[1]] = found[2]
    return read


def _token(pairs: dict[bytes, bytes]) -> bytes:
    value = pairs.get(b"auth", b"")
    if not value:
        return b""
    found = _BEARER.fullmatch(value)
    if found is None:
        raise InvalidArgument("not a bearer token")
    return found[1]


def _unescaped(saslname: bytes) -> bytes:
    """Read a name in which ``,`` and ``=`` are written as ``=2C`` and ``=3D`` (RFC 5801)."""
    name = saslname.replace(b"=2C", b",").replace(b"=3D", b"=")
    if saslname.count(b"=") != saslname.count(b"=2C") + saslname.count(b"=3D"):
        raise InvalidArgument("not a name")
    return name
