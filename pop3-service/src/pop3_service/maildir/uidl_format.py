"""Formats of Dovecot's unique ids: its setting ``pop3_uidl_format``, as far as a Maildir has it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from pop3_service.domain.errors import InvalidArgument

NAMED: dict[str, str] = {
    "dovecot": "%08Xu%08Xv",
    "cyrus": "%v.%u",
    "cyrus-old": "%u",
    "courier-2": "UID%u-%v",
    "courier-1": "UID%u",
    "uw": "%08Xv%08Xu",
    "tpop3d": "%Mf",
}
"""Names for what Dovecot and other servers give; Dovecot takes over the others' as formats."""

LONGEST = 200
"""Characters of a format."""
WIDEST = 70
"""Characters that a value may be padded to."""
_PART = re.compile(
    r"%(?:(?P<percent>%)"
    r"|(?P<zero>0)?(?P<width>\d{1,3})?(?P<modifiers>[LUXM]*)(?:(?P<key>[a-z])|\{(?P<name>[^{}]*)\}))"
)
_KEYS = {"uid": "u", "uidvalidity": "v", "filename": "f", "guid": "g"}
_FILTER = re.compile(r"(lower|upper|hex)(?:\((\d{1,3})\))?")

Value = Callable[["OldMessage"], str]


@dataclass(frozen=True, slots=True)
class OldMessage:
    """What a format is filled with: numbers as decimal digits, and the file's base name."""

    uid: int
    uidvalidity: int
    filename: str
    guid: str


class UidlFormat:
    """A format, ready to be filled."""

    def __init__(self, text: str) -> None:
        """Read a format, or the name of one.

        Raises:
            InvalidArgument: it cannot be read, or gives all messages one id.
        """
        text = NAMED.get(text, text)
        if len(text) > LONGEST:
            raise InvalidArgument(f"a format has at most {LONGEST} characters")
        self._values: list[Value] = []
        self._keys: set[str] = set()
        at = 0
        for part in _PART.finditer(text):
            self._take_literal(text[at : part.start()])
            self._take(part)
            at = part.end()
        self._take_literal(text[at:])
        if not self._keys & {"u", "f", "g"}:
            raise InvalidArgument(f"format {text!r} gives all messages one id")

    def fill(self, message: OldMessage) -> str:
        """Give a message's id, whether it is a good one or not."""
        return "".join(value(message) for value in self._values)

    def _take_literal(self, text: str) -> None:
        if "%" in text:
            raise InvalidArgument(f"cannot read {text!r} in a format of unique ids")
        if text:
            self._values.append(lambda _: text)

    def _take(self, part: re.Match[str]) -> None:
        if part["percent"]:
            self._values.append(lambda _: "%")
            return
        name, *filters = (part["key"] or part["name"]).replace(" ", "").split("|")
        key = _KEYS.get(name, name)
        if key == "m" or name == "md5":
            raise InvalidArgument("Dovecot has %m for mbox only, not for a Maildir")
        if key not in _KEYS.values():
            raise InvalidArgument(f"a format knows %u, %v, %f and %g, not {part.group()!r}")
        value = _read(key)
        steps = [*part["modifiers"], *filters]
        if any(step[:1] in ("X", "h") for step in steps[1:]):
            raise InvalidArgument(f"{part.group()!r}: only a number can be hexadecimal")
        for step in steps:
            change = _modified if step in ("L", "U", "X", "M") else _filtered
            value = change(value, step, key)
        if part["width"]:
            value = _wide(value, int(part["width"]), padded=bool(part["zero"]))
        self._keys.add(key)
        self._values.append(value)


def _read(key: str) -> Value:
    return {
        "u": lambda message: str(message.uid),
        "v": lambda message: str(message.uidvalidity),
        "f": lambda message: message.filename,
        "g": lambda message: message.guid,
    }[key]


def _modified(value: Value, modifier: str, key: str) -> Value:
    if modifier == "X" and key not in "uv":
        raise InvalidArgument(f"%X{key}: only numbers can be hexadecimal")
    return {
        "L": lambda message: value(message).lower(),
        "U": lambda message: value(message).upper(),
        "X": lambda message: f"{int(value(message)):x}",
        # Dovecot's own choice; it is no secret that is hashed here.
        "M": lambda message: _md5(value(message)),
    }[modifier]


def _filtered(value: Value, text: str, key: str) -> Value:
    """Apply a filter as Dovecot 2.4 writes it, such as ``hex(8)``."""
    found = _FILTER.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"a format knows the filters hex, lower and upper, not {text!r}")
    made = _modified(value, {"lower": "L", "upper": "U", "hex": "X"}[found[1]], key)
    return _wide(made, int(found[2]), padded=True) if found[2] else made


def _wide(value: Value, width: int, *, padded: bool) -> Value:
    """With zeros, to so many characters at least; without, to so many at most."""
    if width > WIDEST:
        raise InvalidArgument(f"a format pads to {WIDEST} characters at most")
    if padded:
        return lambda message: value(message).rjust(width, "0")
    return lambda message: value(message)[:width]


def _md5(text: str) -> str:
    octets = text.encode("utf-8", "surrogateescape")
    return hashlib.md5(octets, usedforsecurity=False).hexdigest()
