"""``banner``: a text at the top or the end of what a reader is shown, once."""

from __future__ import annotations

import argparse

from valija_transform.edits import Edits, is_text_of, text_part
from valija_transform.failures import WrongUsage
from valija_transform.files import read_text_file
from valija_transform.protection import Signed, is_kept
from valija_transform.structure import Part
from valija_transform.text import Text, is_html, read_text, write_text

ABOUT = "put a text at the top or the end of the mail"
_STYLE = (
    "display:block !important;visibility:visible !important;font:14px sans-serif;color:#000;"
    "background:#ffd;border:1px solid #000;padding:4px;margin:4px 0"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    text = parser.add_mutually_exclusive_group(required=True)
    text.add_argument("--text", help="the text; \\n in it begins a line")
    text.add_argument("--file", metavar="PATH", help="a file that holds it (UTF-8, 64 KiB)")
    parser.add_argument("--position", choices=("top", "end"), default="top", help="default: top")


def make(options: argparse.Namespace) -> Banner:
    """Make the command."""
    if options.file is not None:
        text = read_text_file(options.file)
    else:
        text = options.text.replace("\\n", "\n")
    text = "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))
    if not text.strip():
        raise WrongUsage("the banner is empty")
    if any(ord(c) < 0x20 and c not in "\n\t" for c in text):
        raise WrongUsage("the banner holds control characters")
    return Banner(text, at_top=options.position == "top")


class Banner:
    """Puts it into the mail's own text, each of its alternatives; else into a part of its own.

    What tells that it is there already is that it is there: a mark in the header could be forged.
    """

    def __init__(self, text: str, *, at_top: bool) -> None:
        self._text = text
        self._at_top = at_top
        lines = _escaped(text).replace("\n", "<br>")
        self._html = f'<div class="valija-banner" style="{_STYLE}">{lines}</div>'

    def edit(self, message: Part, edits: Edits, signed: Signed) -> None:
        """Add it."""
        found = [(part, read_text(part)) for part in self._texts(message, signed)]
        if not found or any(text is None for _, text in found):
            self._add_part(message, edits)
            return
        for part, text in found:
            if text is not None and (told := self._added(part, text)) != text.text:
                write_text(part, edits, text, told)

    def _texts(self, part: Part, signed: Signed) -> list[Part]:
        """Give the text to put it into, one an alternative; nothing if one has none."""
        if part.unclear or is_kept(part, signed) or part.is_message:
            return []
        if part.content_type == "multipart/alternative":
            each = [self._texts(it, signed) for it in part.children if _is_shown(it)]
            return [it for texts in each for it in texts] if all(each) else []
        if part.content_type == "multipart/related":
            return self._texts(part.children[0], signed) if part.children else []
        if part.content_type == "multipart/mixed" or part.content_type == "multipart/report":
            # The first thing that is shown, or the last one, or it would not be at that place.
            shown = [it for it in part.children if not _is_attached(it)]
            return self._texts(shown[0 if self._at_top else -1], signed) if shown else []
        return [part] if is_text_of(part.content_type) and not _is_attached(part) else []

    def _added(self, part: Part, old: Text) -> str:
        text = old.text
        if not is_html(part):
            banner = self._as_shown_in(old)
            if self._at_top:
                there = f"{text}\n".startswith(f"{banner}\n")
                return text if there else f"{banner}\n\n{text}"
            body = text.rstrip("\n")
            there = f"\n{body}".endswith(f"\n{banner}")
            return text if there else f"{body}\n\n{banner}\n"
        from valija_transform.html_places import places

        top, end = places(text)
        banner = self._html.encode("ascii", "xmlcharrefreplace").decode()
        if text.startswith(banner, top) if self._at_top else text.endswith(banner, 0, end):
            return text
        at = top if self._at_top else end
        return text[:at] + banner + text[at:]

    def _as_shown_in(self, old: Text) -> str:
        """Octets of an unknown charset are told as latin-1 characters: so must the banner be."""
        if not old.transparent or self._text.isascii():
            return self._text
        return self._text.encode("utf-8").decode("latin-1")

    def _add_part(self, message: Part, edits: Edits) -> None:
        eol = message.eol
        lines, body = text_part(self._text, eol)
        whole = lines + eol + body
        if message.content_type == "multipart/mixed" and message.children:
            self._add_to_mixed(message, edits, whole)
        else:
            _wrap(message, edits, whole, at_top=self._at_top)

    def _add_to_mixed(self, message: Part, edits: Edits, whole: bytes) -> None:
        eol = message.eol
        siblings = message.children
        beside = siblings[0 if self._at_top else -1]
        if message.octets[beside.start : beside.end] == whole.removesuffix(eol):
            return
        first = siblings[0]
        delimiter = message.octets[first.outer : first.start]
        if self._at_top:
            edits.replace(first.outer, first.outer, delimiter + whole)
            return
        at = siblings[-1].outer_end
        lead = b"" if message.octets[at - 1 : at] == b"\n" else eol
        edits.replace(at, at, lead + delimiter + whole)


def _wrap(message: Part, edits: Edits, whole: bytes, *, at_top: bool) -> None:
    """Make the mail's content one part of two; its octets stay together as they are."""
    eol = message.eol
    boundary = _boundary(message.octets)
    mark = b"--" + boundary
    fields = message.content_fields()
    own = b"".join(message.octets[it.start : it.end] for it in fields)
    if own and not own.endswith(b"\n"):
        own += eol
    content = own + eol + message.body_octets + eol
    parts = [whole, content] if at_top else [content, whole]
    body = b"".join(mark + eol + it for it in parts) + mark + b"--" + eol
    lines = b'Content-Type: multipart/mixed;%s boundary="%s"%s' % (eol, boundary, eol)
    edits.set_content(message, lines, body)


def _is_attached(part: Part) -> bool:
    return part.disposition.value == "attachment" or bool(part.names)


def _is_shown(part: Part) -> bool:
    """Whether a reader is shown an alternative: an invitation is for programs."""
    return part.is_multipart or is_text_of(part.content_type)


def _boundary(octets: bytes) -> bytes:
    """Make a boundary that is not in the message; the same message gives the same one."""
    import hashlib

    for number in range(1000):
        digest = hashlib.blake2b(octets, digest_size=12, salt=b"%d" % number).hexdigest().encode()
        boundary = b"=_valija_" + digest
        if boundary not in octets:
            return boundary
    raise AssertionError("no boundary")


def _escaped(text: str) -> str:
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )
