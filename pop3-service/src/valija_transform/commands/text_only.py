"""``text-only``: a mail's text and nothing else."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from valija_transform.commands.strip_attachments import describe
from valija_transform.edits import Edits, is_text_of, text_part
from valija_transform.protection import Signed, is_kept
from valija_transform.structure import Part
from valija_transform.text import is_html, text_to_change

ABOUT = "keep the text alone: plain, or else HTML as text"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--list", action="store_true", help="tell at the end which attachments were left out"
    )


def make(options: argparse.Namespace) -> TextOnly:
    """Make the command."""
    return TextOnly(options.list)


class TextOnly:
    """Takes the best text of each alternative, and all texts that are shown one after another."""

    def __init__(self, tell: bool) -> None:
        self._tell = tell

    def edit(self, message: Part, edits: Edits, signed: Signed) -> None:
        """Make the message a single text; one that is none but in part signed stays as it is."""
        parts = list(message.walk())
        if message.content_type == "text/plain" or any(is_kept(it, signed) for it in parts):
            return
        texts = list(_texts(message))
        others = [it for it in parts if _is_left_out(it, texts)] if self._tell or not texts else []
        notes = [f"[{describe(it)} was left out]" for it in others]
        if len(texts) == 1 and not notes and texts[0].content_type == "text/plain":
            _take_over(texts[0], message, edits)
            return
        told = [told for it in texts if (told := _text_of(it, edits)) is not None]
        if len(told) < len(texts):
            return
        text = "\n".join(
            it if it.endswith("\n") else it + "\n" for it in (*told, *notes) if it.strip()
        )
        edits.set_content(message, *text_part(text, message.eol))


def _take_over(part: Part, message: Part, edits: Edits) -> None:
    """Make a part's own octets and its fields about them those of the message."""
    fields = [
        part.octets[it.start : it.end]
        for it in part.content_fields()
        if it.name.lower() in (b"content-type", b"content-transfer-encoding")
    ]
    body = part.body_octets
    edits.set_content(
        message,
        b"".join(fields) or b"Content-Type: text/plain" + message.eol,
        body if body.endswith(b"\n") or not body else body + message.eol,
    )


def _texts(part: Part) -> Iterator[Part]:
    """Give the texts that are a mail's own, in order; not those of messages in it."""
    waiting = [part]
    while waiting:
        at = waiting.pop()
        if at.unclear or at.is_message:
            continue
        if at.content_type == "multipart/alternative":
            waiting += _best(at)
        elif at.content_type == "multipart/related":
            waiting += at.children[:1]
        elif at.is_multipart:
            waiting += reversed(at.children)
        elif is_text_of(at.content_type) and at.disposition.value != "attachment" and not at.names:
            yield at


def _best(alternative: Part) -> list[Part]:
    """Give the child to read: one that holds plain text if there is one, else the last with any."""
    found: list[Part] = []
    for child in alternative.children:
        texts = list(_texts(child))
        if any(it.content_type == "text/plain" and it.body_octets.strip() for it in texts):
            return [child]
        if texts:
            found = [child]
    return found


def _text_of(part: Part, edits: Edits) -> str | None:
    text = text_to_change(part, edits)
    if text is None:
        return None
    told = _guessed(text.text) if text.transparent else text.text
    if is_html(part):
        from valija_transform.html_text import html_to_text

        return html_to_text(told)
    return told


def _guessed(text: str) -> str:
    """Read octets of no known charset, that stand there as latin-1 characters."""
    octets = text.encode("latin-1")
    try:
        return octets.decode()
    except UnicodeError:
        return octets.decode("cp1252", "replace")


def _is_left_out(part: Part, texts: list[Part]) -> bool:
    return not part.is_multipart and part not in texts and not is_text_of(part.content_type)
