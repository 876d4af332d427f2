"""Mail that is signed or encrypted: what a change would make worthless."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from valija_transform.structure import Part
from valija_transform.text import decode_transfer

_PKCS7 = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_ARMOUR = rb"(?m)^-----BEGIN PGP (SIGNED MESSAGE|MESSAGE)-----[ \t]*\r?$"


class Signed(StrEnum):
    """What to do with signed mail: ``keep-dkim`` keeps also what only a server signed."""

    KEEP = "keep"
    KEEP_DKIM = "keep-dkim"
    CHANGE = "change"


class Seal(StrEnum):
    """Whether and how a part is protected from change."""

    NONE = ""
    SIGNED = "signed"
    ENCRYPTED = "encrypted"


def seal_of(part: Part) -> Seal:
    """Say what protects a part itself, whatever it is in."""
    if part.content_type == "multipart/encrypted":
        return Seal.ENCRYPTED
    if part.content_type == "multipart/signed":
        return Seal.SIGNED
    if part.content_type in _PKCS7:
        kind = part.type.parameters.get("smime-type", "").lower()
        names = " ".join(part.names).lower()
        opaque = kind in ("signed-data", "certs-only") or (not kind and names.endswith(".p7s"))
        return Seal.SIGNED if opaque else Seal.ENCRYPTED
    if part.content_type == "text/plain":
        return _armour(part)
    return Seal.NONE


def _armour(part: Part) -> Seal:
    """Look for PGP in a text (RFC 4880 section 7)."""
    octets = part.body_octets
    if part.encoding in ("base64", "quoted-printable"):
        octets = decode_transfer(part) or b""
    elif b"-----BEGIN PGP" not in octets:
        return Seal.NONE
    found = re.search(_ARMOUR, octets)
    if not found:
        return Seal.NONE
    return Seal.ENCRYPTED if found[1] == b"MESSAGE" else Seal.SIGNED


def is_kept(part: Part, signed: Signed) -> bool:
    """Whether a part with all in it is to stay as it is."""
    match seal_of(part):
        case Seal.ENCRYPTED:
            return True
        case Seal.SIGNED:
            return signed is not Signed.CHANGE
    return False


def reason_to_keep(message: Part, signed: Signed) -> str:
    """Say why a whole message is to stay as it is; empty if it need not."""
    if signed is Signed.KEEP_DKIM and message.header.first(b"dkim-signature"):
        return "it has a DKIM signature"
    if is_kept(message, signed):
        return f"it is {seal_of(message)}"
    return ""


def open_parts(message: Part, signed: Signed) -> Iterator[Part]:
    """Give a message's parts that may be changed, multiparts and messages in it as well."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        if part.unclear or is_kept(part, signed):
            continue
        yield part
        waiting += reversed(part.children)
