"""Where text can be put into HTML without writing the rest anew: behind <body>, before </body>."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"<!--|<!(doctype)\b|<(/?)(body|head|html|script|style|title|textarea|xmp)\b", re.IGNORECASE
)
_REST_OF_TAG = re.compile(r"""(?:"[^"]*"|'[^']*'|[^>"'])*>""")
_LOWER = {ord(c): c.lower() for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_HOLD_TEXT = frozenset({"script", "style", "title", "textarea", "xmp"})


def places(html: str) -> tuple[int, int]:
    """Give the first place in the body and the last.

    Where no body is begun, the first place is behind the head, or the document's type.
    """
    # Of characters beyond ASCII some have another length in lower case.
    lowered = html.translate(_LOWER)
    top, end = 0, len(html)
    at = 0
    begun = closed = False
    while found := _TOKEN.search(html, at):
        at = found.end()
        name = (found[1] or found[3] or "").lower()
        if not name:
            stop = html.find("-->", at)
            at = stop + 3 if stop >= 0 else len(html)
            continue
        if found[2] and name in ("body", "html") and not closed:
            end, closed = found.start(), name == "body"
        rest = _REST_OF_TAG.match(html, at)
        if not rest:
            break
        at = rest.end()
        if name in _HOLD_TEXT and not found[2]:
            close = lowered.find(f"</{name}", at)
            at = close if close >= 0 else len(html)
        elif not begun and (not found[2] or name == "head") and not closed:
            top, begun = at, name == "body"
    return top, max(end, top)
