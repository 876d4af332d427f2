"""HTML without links, remote pictures and whatever runs; what a link led to is told beside it."""

from __future__ import annotations

import re

from selectolax.lexbor import LexborNode

from valija_transform.html_tree import COMMENT, RAW, TEXT, parse, serialise, sweep, tag_of, top_of
from valija_transform.links import harmless, harmless_text, is_own_picture, is_safe, runs

ROUNDS = 3
"""What is written is read again, because HTML that is written can read otherwise."""
_GONE = frozenset(
    "script iframe frame frameset object embed applet base link template svg math noembed "
    "noframes audio video source track portal bgsound xml".split()
)
_URLS = frozenset(
    "href src action formaction background poster cite longdesc data codebase classid ping lowsrc "
    "dynsrc usemap manifest profile archive icon srcset imagesrcset srcdoc".split()
)
_CSS_URL = re.compile(r"url\(", re.IGNORECASE)
_CSS_IMPORT = re.compile(r"@import\b[^;}]*;?", re.IGNORECASE)
_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)
_CSS_REMOTE = re.compile(r"url\(|image-set\(|image\(|src\(|@import|expression\(", re.IGNORECASE)
_CSS_ESCAPE = re.compile(r"\\(?:([0-9a-f]{1,6})[ \t\r\n\f]?|([^0-9a-f\r\n\f]))", re.IGNORECASE)
_ACTIVE = re.compile(
    r"//|src|href|url|script|import|style|data:|background|&#|<[a-z]*:?(?:meta|object|embed|form)"
    r"|\bon[a-z]+\s*=",
    re.IGNORECASE,
)
_NOTHING = "none"


def defang_html(html: str) -> str:
    """Give HTML without them; the very same text if it has none."""
    for _ in range(ROUNDS):
        defanged = _Defanger().run(html)
        if defanged == html:
            break
        html = defanged
    return html


class _Defanger:
    def __init__(self) -> None:
        self._changed = False

    def run(self, html: str) -> str:
        tree = parse(html)
        top = top_of(tree)
        if top is None:
            return html
        sweep(top, self._keep)
        return serialise(tree, html) if self._changed else html

    def _keep(self, node: LexborNode) -> bool:
        tag = tag_of(node)
        if tag == TEXT:
            return self._text(node)
        if tag == COMMENT:
            # Some clients read markup in a comment that begins with [if, or end it sooner.
            keep = _ACTIVE.search(node.comment_content or "") is None
        elif tag.rpartition(":")[2] in _GONE or (tag == "meta" and _acts(node)):
            keep = False
        else:
            keep = self._element(node, tag)
        self._changed |= not keep
        return keep

    def _text(self, node: LexborNode) -> bool:
        text = node.text_content or ""
        parent = tag_of(node.parent) if node.parent is not None else ""
        if parent == "style":
            told = clean_style(text)
        elif parent in RAW:
            return True
        else:
            told = harmless_text(text)
        if told != text:
            self._changed = True
            if parent == "style":
                # It is written without escapes, so it must not have become the element's end.
                told = "" if "</" in told else told
            node.insert_before(told)
            return False
        return True

    def _element(self, node: LexborNode, tag: str) -> bool:
        attributes = node.attributes
        if tag in ("a", "area", "v:shape", "v:rect"):
            self._link(node, attributes.get("href"))
        if tag in ("img", "image", "input") and not is_own_picture(attributes.get("src") or "cid:"):
            if alt := (attributes.get("alt") or "").strip():
                node.insert_before(f"[{harmless_text(alt)}]")
            return False
        for name, value in attributes.items():
            self._attribute(node, name, value or "")
        return True

    def _link(self, node: LexborNode, target: str | None) -> None:
        if target is None or is_safe(target):
            return
        self._changed = True
        del node.attrs["href"]
        told = harmless(target)
        shown = harmless_text(node.text().strip())
        if shown.rstrip("/") != told.rstrip("/"):
            node.insert_after(f" [{told}]")

    def _attribute(self, node: LexborNode, name: str, value: str) -> None:
        local = name.rpartition(":")[2]
        if (local == "href" and is_safe(value)) or (local == "src" and is_own_picture(value)):
            return
        if name == "style":
            cleaned = clean_style(value)
            if cleaned != value:
                self._changed = True
                node.attrs[name] = cleaned
        elif name.startswith("on") or (local in _URLS and not _stays(value)) or runs(value):
            self._changed = True
            if name in node.attrs:
                del node.attrs[name]


def _stays(value: str) -> bool:
    return is_safe(value) or is_own_picture(value)


def _acts(node: LexborNode) -> bool:
    """Whether a meta element does something: sends the reader elsewhere, sets a cookie."""
    acts = (node.attributes.get("http-equiv") or "").strip().lower()
    return acts in ("refresh", "set-cookie", "link", "default-style")


def clean_style(style: str) -> str:
    """Give a style without what it loads; empty if that cannot be told for sure."""
    bare = _CSS_COMMENT.sub("", style)
    if not _loads(bare):
        return style
    cleaned, checked = _without_urls(_CSS_IMPORT.sub("", bare))
    if _loads(checked):
        return ""
    return style if cleaned == bare else cleaned


def _loads(style: str) -> bool:
    """Whether a style names what it loads, be it in escapes."""
    return _CSS_REMOTE.search(_CSS_ESCAPE.sub(_unescaped, style)) is not None


def _unescaped(found: re.Match[str]) -> str:
    if found[2]:
        return found[2]
    number = int(found[1], 16)
    return chr(number) if 0 < number < 0x110000 else "\ufffd"


def _without_urls(style: str) -> tuple[str, str]:
    """Give a style without URLs but those of the mail's own parts, and without these as well."""
    cleaned: list[str] = []
    checked: list[str] = []
    at = 0
    while found := _CSS_URL.search(style, at):
        end = style.find(")", found.end())
        url = style[found.end() : end].strip("\"' \t\r\n\f")
        own = end >= 0 and (is_own_picture(url) or url.startswith("#"))
        before = style[at : found.start()]
        at = end + 1 if end >= 0 else len(style)
        cleaned += (before, style[found.start() : at] if own else _NOTHING)
        checked += (before, _NOTHING)
    return "".join([*cleaned, style[at:]]), "".join([*checked, style[at:]])
