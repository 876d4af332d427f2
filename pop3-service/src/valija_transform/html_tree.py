"""HTML as browsers read it (the standard's own algorithm, by Lexbor), without recursion."""

from __future__ import annotations

import re
from collections.abc import Callable

from selectolax.lexbor import LexborHTMLParser, LexborNode

from valija_transform.failures import Unclear

_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
TEXT = "-text"
COMMENT = "-comment"
RAW = frozenset({"style", "script", "xmp", "iframe", "noembed", "noframes", "plaintext"})
"""Elements whose text is written without escapes."""


MAX_TAGS = 20_000
MAX_DEPTH = 10_000
"""A tree takes time that grows with the square of its depth: a second for so many."""
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_SHALLOW = frozenset(
    "area base br col embed hr img input link meta source track wbr "
    "p li dt dd td th tr tbody option".split()
)
"""Elements that hold nothing, or that the next of their kind ends."""


def parse(html: str) -> LexborHTMLParser:
    """Parse a document or a piece of one.

    Raises:
        Unclear: it is nested so deep that this would take very long.
    """
    if html.count("<") > MAX_TAGS and _depth(html) > MAX_DEPTH:
        raise Unclear("HTML that is nested too deep")
    return LexborHTMLParser(html)


def _depth(html: str) -> int:
    """Guess the depth, and never far too low: an end tag counts only if its element was begun."""
    begun: dict[str, int] = {}
    depth = deepest = 0
    for found in _TAG.finditer(html):
        name = found[2].lower()
        if name in _SHALLOW:
            continue
        step = -1 if found[1] else 1
        if step > 0 or begun.get(name):
            begun[name] = begun.get(name, 0) + step
            depth += step
            deepest = max(deepest, depth)
    return deepest


def tag_of(node: LexborNode) -> str:
    """An element's name in lower case, ``TEXT`` or ``COMMENT``."""
    if node.is_text_node:
        return TEXT
    if node.is_comment_node:
        return COMMENT
    return (node.tag or "").lower()


def after(node: LexborNode, root: LexborNode) -> LexborNode | None:
    """Give the node that comes after a node and all in it; None behind the last one in the root."""
    at: LexborNode | None = node
    while at is not None and at.mem_id != root.mem_id:
        if at.next is not None:
            return at.next
        at = at.parent
    return None


def top_of(tree: LexborHTMLParser) -> LexborNode | None:
    """Give the document itself, which holds the comments outside ``<html>`` too."""
    root = tree.root
    return root.parent or root if root is not None else None


def sweep(root: LexborNode, keep: Callable[[LexborNode], bool]) -> None:
    """Visit every node in order; those that are not kept go, with all in them, unvisited."""
    node = root.child
    while node is not None:
        if keep(node):
            node = node.child or after(node, root)
        else:
            doomed, node = node, after(node, root)
            doomed.decompose()


def serialise(tree: LexborHTMLParser, source: str) -> str:
    """Write a tree; the document type stays as the source has it, and so does its last line end."""
    html = tree.html or ""
    if found := _DOCTYPE.match(source):
        html = found[0] + html[_end_of_doctype(html) :]
    if source.endswith("\n") and not html.endswith("\n"):
        html += "\n"
    return html


def _end_of_doctype(html: str) -> int:
    found = _DOCTYPE.match(html)
    return found.end() if found else 0
