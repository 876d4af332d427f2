"""``redact``: replace what patterns find in texts and chosen header fields."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from valija_transform.edits import Edits, is_top
from valija_transform.failures import WrongUsage
from valija_transform.fields import Field, decode_words
from valija_transform.finders import BUILT_IN, Finder, pattern, redact
from valija_transform.protection import Signed, open_parts
from valija_transform.structure import MAX_FIELD, Part
from valija_transform.text import is_html, text_to_change, write_text
from valija_transform.writing import ADDRESSES, fold, write_addresses

ABOUT = "replace patterns, card numbers, IBANs, addresses in texts"
_NOBODY = "redacted@redacted.invalid"
"""Stands for an address that was replaced by what is none (RFC 2606)."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--pattern",
        nargs=2,
        action="append",
        default=[],
        metavar=("REGEX", "TEXT"),
        help="put TEXT in the place of what REGEX (RE2 syntax) matches; \\1 in it is a group",
    )
    parser.add_argument(
        "--find",
        action="append",
        choices=list(BUILT_IN),
        default=[],
        help="card and iban: numbers with right check digits; email: addresses",
    )
    parser.add_argument(
        "--mask", metavar="TEXT", help="what stands for what --find finds (default: [card] ...)"
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME",
        help="in this header field too, of the mail and of messages in it",
    )


def make(options: argparse.Namespace) -> Redact:
    """Make the command; patterns are compiled."""
    finders = [BUILT_IN[it](_mask(options.mask, it)) for it in options.find]
    finders += [pattern(*it) for it in options.pattern]
    if not finders:
        raise WrongUsage("say at least one of --pattern, --find")
    return Redact(finders, options.header)


def _mask(mask: str | None, name: str) -> str:
    return f"[{name}]" if mask is None else mask


class Redact:
    """Works on each text part, attached ones too, and on the fields that were named."""

    def __init__(self, finders: list[Finder], names: Sequence[str]) -> None:
        self._finders = finders
        self._names = {it.lower().encode() for it in names}

    def edit(self, message: Part, edits: Edits, signed: Signed) -> None:
        """Replace what is found."""
        for part in open_parts(message, signed):
            if is_top(part):
                for found in part.header.fields:
                    if found.name.lower() in self._names:
                        self._field(part, found, edits)
            if not (part.content_type.startswith("text/") or is_html(part)):
                continue
            text = text_to_change(part, edits)
            if text is None:
                continue
            if is_html(part):
                from valija_transform.html_redact import redact_html

                told = redact_html(text.text, self._finders)
            else:
                told = redact(text.text, self._finders)
            if told != text.text:
                write_text(part, edits, text, told)

    def _field(self, part: Part, found: Field, edits: Edits) -> None:
        if len(found.raw) > MAX_FIELD:
            edits.left = f"a field of more than {MAX_FIELD} octets"
            return
        name = found.name.decode()
        if name.lower() in ADDRESSES:
            try:
                told = self._addresses(found.value)
            except RecursionError:  # of the email package, for one comment in another
                edits.left = "addresses in which too many brackets are nested"
                return
        else:
            value = decode_words(found.value)
            told = redact(value, self._finders)
            told = None if told == value else told
        if told is not None:
            # Encoded words can hold anything, and what they hold must not end the field.
            clean = "".join(c if c.isprintable() else " " for c in told)
            edits.replace(found.start, found.end, fold(name, clean, part.eol))

    def _addresses(self, value: str) -> str | None:
        from email.utils import getaddresses

        before = [(decode_words(shown), it) for shown, it in getaddresses([value])]
        after = [(redact(shown, self._finders), redact(it, self._finders)) for shown, it in before]
        if after == before:
            return None
        return write_addresses([(shown, it if "@" in it else _NOBODY) for shown, it in after])
