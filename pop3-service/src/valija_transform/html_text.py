"""HTML as plain text: what a reader would see, links with their targets behind them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from selectolax.lexbor import LexborNode

from valija_transform.html_tree import TEXT, parse, tag_of

_UNSEEN = frozenset(
    "head script style template noembed noframes iframe object applet svg math select textarea "
    "audio video title -comment".split()
)
_BLOCK = frozenset(
    "address article aside blockquote center dd div dl dt fieldset figure footer form header li "
    "main nav ol p pre section table tr ul h1 h2 h3 h4 h5 h6 hr".split()
)
_SPACED = frozenset("p h1 h2 h3 h4 h5 h6 blockquote ul ol dl table pre hr".split())
_SPACE = re.compile(r"[ \t\n\r\f]+")
_EMPTY_LINE = re.compile(r"(?:> )*>?")
_LINKS = ("http:", "https:", "ftp:", "mailto:")
_DEEPEST = 10
"""Quotes and lists that are told apart."""


def html_to_text(html: str) -> str:
    """Give the text; it ends with a line end unless it is empty."""
    root = parse(html).root
    if root is None:
        return ""
    page = _Page()
    _visit(root, page.enter, page.leave)
    return page.text()


def _visit(
    root: LexborNode,
    enter: Callable[[LexborNode, str], bool],
    leave: Callable[[LexborNode, str], None],
) -> None:
    """Enter and leave each node in order; what is not entered is not left either."""
    opened: list[tuple[LexborNode, str]] = []
    node: LexborNode | None = root
    while node is not None:
        tag = tag_of(node)
        if enter(node, tag):
            opened.append((node, tag))
            if node.child is not None:
                node = node.child
                continue
            leave(*opened.pop())
        while opened and node is not None and node.next is None:
            node, tag = opened.pop()
            leave(node, tag)
        node = node.next if opened and node is not None else None


class _Page:
    """Lines as they come."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._line = ""
        self._quotes = 0
        self._preformatted = 0
        self._lists: list[int | None] = []
        self._anchors: list[int] = []

    def text(self) -> str:
        """Give all lines, and never two empty ones in a row."""
        self._break()
        text = "\n".join(_without_gaps(self._lines)).strip("\n")
        return text + "\n" if text else ""

    def enter(self, node: LexborNode, tag: str) -> bool:
        """Begin a node; False if nothing in it is seen."""
        if tag == TEXT:
            self._add(node.text_content or "")
            return False
        if tag in _UNSEEN or "hidden" in node.attributes:
            return False
        if tag in _BLOCK:
            self._break()
        self._space(tag)
        match tag:
            case "br":
                self._end_line()
            case "hr":
                self._line = "-" * 40
            case "img":
                if alt := (node.attributes.get("alt") or "").strip():
                    self._add(f"[{alt}]")
            case "blockquote":
                self._quotes += 1
            case "pre":
                self._preformatted += 1
            case "ul" | "ol":
                self._lists.append(1 if tag == "ol" else None)
            case "li":
                self._line = self._bullet()
            case "a":
                self._anchors.append(len(self._line))
        return True

    def leave(self, node: LexborNode, tag: str) -> None:
        """End a node."""
        match tag:
            case "td" | "th":
                self._add(" ")
            case "a":
                self._target(node)
            case "blockquote":
                self._break()
                while self._lines and not self._lines[-1].strip("> "):
                    self._lines.pop()
                self._quotes -= 1
            case "pre":
                self._break()
                self._preformatted -= 1
            case "ul" | "ol":
                self._lists.pop()
        if tag in _BLOCK:
            self._break()
        self._space(tag)

    def _bullet(self) -> str:
        indent = "  " * min(max(len(self._lists) - 1, 0), _DEEPEST)
        number = self._lists[-1] if self._lists else None
        if number is None:
            return indent + "* "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def _target(self, node: LexborNode) -> None:
        start = self._anchors.pop()
        target = (node.attributes.get("href") or "").strip()
        shown = self._line[start:].strip()
        bare = target.removeprefix("mailto:")
        if target.lower().startswith(_LINKS) and bare.rstrip("/") != shown.rstrip("/"):
            self._add(f" <{bare}>")

    def _add(self, text: str) -> None:
        if self._preformatted:
            first, *others = text.split("\n")
            self._line += first
            for line in others:
                self._end_line()
                self._line = line
            return
        text = _SPACE.sub(" ", text).replace("\xa0", " ")
        self._line += text.lstrip(" ") if not self._line or self._line.endswith(" ") else text

    def _break(self) -> None:
        if self._line.strip():
            self._end_line()
        self._line = ""

    def _end_line(self) -> None:
        self._lines.append(self._quoted() + self._line)
        self._line = ""

    def _space(self, tag: str) -> None:
        """Put an empty line around some elements; lists in lists have none."""
        wanted = tag in _SPACED and not self._lists
        if wanted and self._lines and self._lines[-1].strip("> "):
            self._lines.append(self._quoted())

    def _quoted(self) -> str:
        return "> " * min(self._quotes, _DEEPEST)


def _without_gaps(lines: list[str]) -> Iterator[str]:
    """Give lines without blanks at their ends, and the first one alone of several empty ones."""
    was_empty = False
    for at, line in enumerate(lines, 1):
        line = line.rstrip(" \t")
        is_empty = _EMPTY_LINE.fullmatch(line) is not None
        if not (is_empty and was_empty and at < len(lines)):
            yield line
        was_empty = is_empty
