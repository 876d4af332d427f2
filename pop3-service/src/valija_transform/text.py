"""The text of a part: decoded for a command to change, and encoded again as it was."""

from __future__ import annotations

import codecs
import re
from binascii import Error as Base64Error
from typing import NamedTuple

from valija_transform.edits import LONGEST_LINE, Edits, encode, with_charset
from valija_transform.structure import Part

LARGEST = 4 * 1024 * 1024
LARGEST_HTML = 2 * 1024 * 1024
"""Octets of a text part; nobody reads more. The tree of HTML takes up to 100 times as much memory,
and the worst HTML (one element of 200,000 attributes) time that grows with the square."""
_CHARSETS = (
    r"ascii|utf-(?:7|8|16|16-le|16-be|32|32-le|32-be)|iso8859-\d+|cp\d+|koi8-[rtu]|mac-\w+|"
    r"iso2022_\w+|euc_\w+|shift_jis\w*|big5\w*|gb\w+|hz|tis-620|ptcp154|kz1048|johab|hp-roman8"
)
"""Python has codecs for other things than charsets: none of those.

These are compiled where they are needed: a program starts for each message."""
_COMMON = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})
_TRANSPARENT = r"ascii|utf-8|iso8859-\d+|cp125\d|cp874|koi8-[rtu]|tis-620|kz1048"
"""Charsets in which an octet below 128 is always that ASCII character."""
_META = rb"""(?i)<meta[^>]{0,200}?charset\s*=\s*["']?\s*([a-zA-Z0-9_.:-]{1,40})"""
_REPLACED = frozenset({"utf-7", "utf-16", "utf-32"})
"""Charsets in which the same text has many forms: what is changed goes out as UTF-8."""
_LARGER = {
    "iso2022_jp": ("iso2022_jp", "iso2022_jp_2004", "iso2022_jp_ext"),
    "shift_jis": ("shift_jis", "cp932"),
    "gb2312": ("gb2312", "gb18030"),
    "euc_kr": ("euc_kr", "cp949"),
    "big5": ("big5", "cp950", "big5hkscs"),
}
"""Mail is sent under the name of a charset with characters that only a larger one has."""
_EXTENDED = frozenset(it for larger in _LARGER.values() for it in larger[1:])
_BOM = "\ufeff"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n"


class Text(NamedTuple):
    """A part's text. Line ends are LF here, and ``eol`` is what they were.

    ``charset`` is a Python codec. With ``transparent`` the text holds octets as latin-1
    characters, because the charset is unknown or the octets are not of it.
    """

    text: str
    charset: str
    eol: str
    encoding: str
    declared: str
    transparent: bool = False
    bom: bool = False


def is_html(part: Part) -> bool:
    """Whether it is HTML."""
    return part.content_type in ("text/html", "application/xhtml+xml")


def decode_transfer(part: Part) -> bytes | None:
    """Undo the transfer encoding; None where it is unknown or broken."""
    from binascii import a2b_base64, a2b_qp

    body = part.body_octets
    match part.encoding:
        case "" | "7bit" | "8bit" | "binary":
            return body
        case "quoted-printable":
            return a2b_qp(body)
        case "base64":
            # Some decode what stands behind the padding, and skip what is no base64; others do not.
            if body.translate(None, _BASE64) or body.partition(b"=")[2].strip(b"= \t\r\n"):
                return None
            try:
                return a2b_base64(body.rstrip(b"= \t\r\n") + b"==")
            except Base64Error:
                return None
    return None


def decoded_size(part: Part) -> int:
    """Octets of a part's content, decoded where that is possible."""
    octets = decode_transfer(part)
    return part.end - part.body if octets is None else len(octets)


def find_charset(name: str) -> str | None:
    """Give the Python codec of a charset; None for one that is not known."""
    try:
        codec = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        return None
    return codec if codec in _COMMON or re.fullmatch(_CHARSETS, codec) else None


def read_text(part: Part) -> Text | None:
    """Decode a text part; None if that cannot be undone, or it is too large."""
    largest = LARGEST_HTML if is_html(part) else LARGEST
    if part.end - part.body > 2 * largest:
        return None
    octets = decode_transfer(part)
    if octets is None or len(octets) > largest:
        return None
    declared = part.type.parameters.get("charset", "").strip()
    if not declared and is_html(part) and (meta := re.search(_META, octets[:1024])):
        declared = meta[1].decode()
    return _decoded(part, octets, declared)


def text_to_change(part: Part, edits: Edits) -> Text | None:
    """Decode a text part that is to be changed; None if it has to be left, which is noted."""
    text = read_text(part)
    if text is None:
        edits.left = "a text cannot be decoded, or is too large"
    return text


def _decoded(part: Part, octets: bytes, declared: str) -> Text | None:
    known = find_charset(declared) if declared else "utf-8"
    known = _larger(octets, known) if known in _LARGER else known
    try:
        text, codec, transparent = octets.decode(known or "ascii"), known or "ascii", False
    except UnicodeError:
        if known and not re.fullmatch(_TRANSPARENT, known) and not _is_utf8(octets):
            return None
        text, codec, transparent = octets.decode("latin-1"), "latin-1", True
    bom = codec == "utf-8" and text.startswith(_BOM)
    if codec in _REPLACED or codec in _EXTENDED or not (transparent or _exact(text, codec, octets)):
        codec = "utf-8"
    text = text.removeprefix(_BOM) if bom else text
    eol = "\r\n" if "\r\n" in text or ("\n" not in text and part.eol == b"\r\n") else "\n"
    return Text(text.replace("\r\n", "\n"), codec, eol, part.encoding, declared, transparent, bom)


def _larger(octets: bytes, codec: str) -> str:
    """Give the first charset that holds the octets of those that go by one name."""
    for larger in _LARGER[codec]:
        try:
            octets.decode(larger)
        except UnicodeError:
            continue
        return larger
    return codec


def _is_utf8(octets: bytes) -> bool:
    """Whether octets that are not of their charset are UTF-8, and nothing in them shifts."""
    try:
        octets.decode()
    except UnicodeError:
        return False
    return b"\x1b" not in octets


def _exact(text: str, codec: str, octets: bytes) -> bool:
    try:
        return text.encode(codec) == octets
    except UnicodeError:
        return False


def write_text(part: Part, edits: Edits, old: Text, new: str) -> None:
    """Put a changed text into its part, in its charset and transfer encoding if they hold it.

    What they do not hold goes out as UTF-8, as quoted-printable or base64, and the part's header
    says so.
    """
    text = new.replace("\n", old.eol)
    charset = old.charset
    try:
        octets = text.encode(charset, "xmlcharrefreplace" if is_html(part) else "strict")
    except UnicodeError:
        if old.transparent:
            text = text.encode("latin-1", "replace").decode("latin-1")
        else:
            charset = "utf-8"
        octets = text.encode(charset)
    if old.bom:
        octets = _BOM.encode() + octets
    _write_octets(part, edits, octets)
    if old.transparent:
        return
    was = find_charset(old.declared) if old.declared else None
    if was != charset if was else old.text.isascii() and not octets.isascii():
        edits.set_field(part, "Content-Type", with_charset(part, _common_name(charset)))


def _write_octets(part: Part, edits: Edits, octets: bytes) -> None:
    before = part.body_octets
    body = encode(octets, part.encoding, part.eol)
    if body is None and part.encoding != "quoted-printable" and _no_worse(octets, before):
        body = octets
    for encoding in ("quoted-printable", "base64"):
        if body is None and (body := encode(octets, encoding, part.eol)) is not None:
            edits.set_field(part, "Content-Transfer-Encoding", encoding)
    if body is None:
        raise AssertionError("base64 holds everything")
    if part.encoding == "base64" and not before.endswith(b"\n"):
        body = body.removesuffix(b"\n").removesuffix(b"\r")
    edits.set_body(part, body)


def _no_worse(octets: bytes, before: bytes) -> bool:
    """Whether a body breaks no rule (long lines, octets above 127, NUL) that it kept before."""
    longest = max(LONGEST_LINE, *map(len, before.split(b"\n")), 0)
    return (
        max(map(len, octets.split(b"\n"))) <= longest
        and (octets.isascii() or not before.isascii())
        and (b"\0" not in octets or b"\0" in before)
    )


def _common_name(codec: str) -> str:
    if codec.startswith("iso8859-"):
        return codec.replace("iso8859", "iso-8859")
    return {"ascii": "us-ascii"}.get(codec, codec.replace("_", "-"))
