"""What ``redact`` finds: patterns of the admin's own, and numbers whose check digits are right.

The admin's patterns are RE2's: their time is linear in the text, so no mail can make one hang, and
none fails because of a time limit that a slow machine passes. It has no backreferences and no
look-around; what it does not take is refused at the start. The patterns here need neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from valija_transform.failures import WrongUsage

Found = tuple[int, int, str]
"""Where it begins, where it ends, and what stands there instead."""
Finder = Callable[[str], Iterator[Found]]

_GAP = "[ .\\-\u00a0\u2007\u2009\u2011\u202f]"
_DIGITS = re.compile(f"(?<![0-9])[0-9](?:{_GAP}?[0-9]){{12,}}+")
_GROUP = re.compile("[0-9]+")
_CARD_DIGITS = range(13, 20)
_IBAN_START = re.compile("(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}")
_IBAN_GAP = re.compile(_GAP)
_EMAIL = re.compile(
    r"[\w.!#$%&'*+/=?^`{|}~\-]{1,64}@(?:[\w\-]{1,63}\.){1,10}[^\W\d_]{2,24}(?![\w\-])"
)
_REFERENCE = re.compile(r"\\(?:(\d)|g<(\w{1,40})>|(\\)|(.))")
_MAX_MEMORY = 32 * 1024 * 1024
_IBAN_LENGTHS = dict(
    it.split(":")
    for it in (
        "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 "
        "CY:28 CZ:24 DE:22 DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 "
        "GE:22 GI:23 GL:18 GR:27 GT:28 HN:28 HR:21 HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 "
        "KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 MD:24 ME:22 MK:19 MN:20 "
        "MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 RS:22 "
        "RU:33 SA:24 SC:31 SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 "
        "UA:29 VA:22 VG:24 XK:20 YE:30"
    ).split()
)
"""Characters of an IBAN by country (ISO 13616)."""


def cards(mask: str) -> Finder:
    """Find card numbers: 13 to 19 digits, grouped or not, whose Luhn digit is right."""

    def find(text: str) -> Iterator[Found]:
        for run in _DIGITS.finditer(text):
            groups = [(it.start(), it.end()) for it in _GROUP.finditer(text, *run.span())]
            yield from ((start, end, mask) for start, end in _cards_in(text, groups))

    return find


def _cards_in(text: str, groups: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Find numbers made of whole groups of digits, the longest from each place."""
    at = 0
    while at < len(groups):
        digits, best = "", 0
        for last in range(at, len(groups)):
            digits += text[slice(*groups[last])]
            if len(digits) >= _CARD_DIGITS.stop:
                break
            if len(digits) in _CARD_DIGITS and is_card(digits):
                best = last + 1
        if best:
            yield groups[at][0], groups[best - 1][1]
        at = best or at + 1


def is_card(digits: str) -> bool:
    """Check the Luhn digit (ISO/IEC 7812-1); no issuer's number begins with a zero."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0 and digits[0] != "0"


def ibans(mask: str) -> Finder:
    """Find IBANs: as long as their country has them, and with right check digits."""

    def find(text: str) -> Iterator[Found]:
        at = 0
        while found := _IBAN_START.search(text, at):
            end = _iban_end(text, found.start())
            at = end or found.end()
            if end:
                yield found.start(), end, mask

    return find


def _iban_end(text: str, start: int) -> int:
    """Give the end of the IBAN that begins there; 0 if none does."""
    wanted = int(_IBAN_LENGTHS.get(text[start : start + 2].upper(), "0"))
    number, at = "", start
    while len(number) < wanted and at < len(text):
        character = text[at]
        if character.isascii() and character.isalnum():
            number += character.upper()
        elif not _IBAN_GAP.match(character) or _IBAN_GAP.match(text[at - 1]):
            return 0
        at += 1
    following = text[at : at + 1]
    if not wanted or len(number) < wanted or (following.isascii() and following.isalnum()):
        return 0
    return at if is_iban(number) else 0


def is_iban(number: str) -> bool:
    """Check the check digits (ISO 7064 MOD 97-10) of an IBAN in capitals without spaces."""
    return int("".join(str(int(it, 36)) for it in number[4:] + number[:4])) % 97 == 1


def emails(mask: str) -> Finder:
    """Find e-mail addresses."""

    def find(text: str) -> Iterator[Found]:
        return ((*it.span(), mask) for it in _EMAIL.finditer(text))

    return find


BUILT_IN: dict[str, Callable[[str], Finder]] = {"card": cards, "iban": ibans, "email": emails}


def pattern(expression: str, replacement: str) -> Finder:
    r"""Find what an RE2 expression matches; ``\1`` and ``\g<name>`` in its replacement are groups.

    Raises:
        WrongUsage: it is no expression of RE2, or the replacement names a group it has not.
    """
    import re2

    options = re2.Options()
    options.max_mem = _MAX_MEMORY
    options.log_errors = False
    try:
        compiled = re2.compile(expression, options)
    except re2.error as error:
        text = error.args[0] if error.args else error
        told = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        raise WrongUsage(f"pattern {expression!r}: {told} (RE2 syntax)") from None
    template = _template(replacement, compiled.groups, compiled.groupindex)

    def find(text: str) -> Iterator[Found]:
        for it in compiled.finditer(text):
            start, end = it.span()
            if end > start:
                told = "".join(
                    piece if isinstance(piece, str) else it.group(piece) or "" for piece in template
                )
                yield start, end, told

    return find


def _template(replacement: str, groups: int, names: dict[str, int]) -> list[str | int]:
    pieces: list[str | int] = []
    at = 0
    for found in _REFERENCE.finditer(replacement):
        pieces.append(replacement[at : found.start()])
        at = found.end()
        digit, name, backslash, other = found.groups()
        if backslash or other:
            pieces.append("\\" + (other or ""))
            continue
        number = int(digit or name) if digit or name.isdigit() else names.get(name, groups + 1)
        if number > groups:
            raise WrongUsage(f"replacement {replacement!r} names a group that is not there")
        pieces.append(number)
    return [*pieces, replacement[at:]]


def redact(text: str, finders: list[Finder]) -> str:
    """Replace in a text what each finder finds in turn."""
    for find in finders:
        pieces: list[str] = []
        at = 0
        for start, end, by in find(text):
            pieces += (text[at:start], by)
            at = end
        if at:
            text = "".join([*pieces, text[at:]])
    return text


def redact_pieces(pieces: list[str], finders: list[Finder]) -> list[str]:
    """Replace in a text that stands in pieces, also what begins in one and ends in another."""
    for find in finders:
        found = list(find("".join(pieces)))
        if found:
            pieces = _spread(pieces, found)
    return pieces


def _spread(pieces: list[str], found: list[Found]) -> list[str]:
    told: list[str] = []
    start, at = 0, 0
    for piece in pieces:
        end = start + len(piece)
        kept, here = "", start
        while at < len(found) and found[at][0] < end:
            first, last, by = found[at]
            if first >= start:
                kept += piece[here - start : first - start] + by
            here = max(here, min(last, end))
            if last > end:
                break
            at += 1
        told.append(kept + piece[here - start :])
        start = end
    return told
