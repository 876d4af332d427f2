"""``defang``: no link can be followed, nothing is loaded, nothing runs."""

from __future__ import annotations

import argparse

from valija_transform.edits import Edits, is_text_of
from valija_transform.links import harmless_text
from valija_transform.protection import Signed, open_parts
from valija_transform.structure import Part
from valija_transform.text import is_html, text_to_change, write_text

ABOUT = "make links harmless, remove remote pictures and scripts"


def add_options(parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def make(options: argparse.Namespace) -> Defang:
    """Make the command."""
    return Defang()


class Defang:
    """Works on each text/plain and text/html part, attached ones too."""

    def edit(self, message: Part, edits: Edits, signed: Signed) -> None:
        """Change the parts that hold any."""
        for part in open_parts(message, signed):
            if not is_text_of(part.content_type):
                continue
            text = text_to_change(part, edits)
            if text is None:
                continue
            if is_html(part):
                from valija_transform.html_defang import defang_html

                told = defang_html(text.text)
            else:
                told = harmless_text(text.text)
            if told != text.text:
                write_text(part, edits, text, told)
