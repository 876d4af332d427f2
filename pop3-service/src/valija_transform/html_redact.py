"""Redacting HTML: what a reader sees as one text, whatever markup is in it, and attributes."""

from __future__ import annotations

from selectolax.lexbor import LexborNode

from valija_transform.finders import Finder, redact, redact_pieces
from valija_transform.html_tree import COMMENT, RAW, TEXT, parse, serialise, sweep, tag_of, top_of

_INLINE = frozenset(
    "a abbr b bdi bdo big cite code em font i ins kbd mark q s samp small span strike strong sub "
    "sup tt u var wbr".split()
)


def redact_html(html: str, finders: list[Finder]) -> str:
    """Give HTML with what is found replaced; the very same text if nothing is."""
    tree = parse(html)
    top = top_of(tree)
    if top is None:
        return html
    redactor = _Redactor(finders)
    sweep(top, redactor.collect)
    redactor.replace_texts()
    return serialise(tree, html) if redactor.changed else html


class _Redactor:
    def __init__(self, finders: list[Finder]) -> None:
        self.changed = False
        self._finders = finders
        self._nodes: list[LexborNode | None] = []
        self._pieces: list[str] = []
        self._block = 0
        self._blocks: dict[int, int] = {}

    def collect(self, node: LexborNode) -> bool:
        """Take a text for later, and redact attributes; False if the node is to go as a whole."""
        tag = tag_of(node)
        if tag == COMMENT or (tag == TEXT and self._is_raw(node)):
            text = (node.comment_content if tag == COMMENT else node.text_content) or ""
            hit = redact(text, self._finders) != text
            self.changed |= hit
            return not hit
        if tag == TEXT:
            block = self._block_of(node)
            if block != self._block:
                self._block = block
                self._nodes.append(None)
                self._pieces.append("\n")
            self._nodes.append(node)
            self._pieces.append(node.text_content or "")
            return True
        for name, value in node.attributes.items():
            if value and (told := redact(value, self._finders)) != value:
                self.changed = True
                node.attrs[name] = told
        return True

    def replace_texts(self) -> None:
        """Replace in the texts, read as one."""
        told = redact_pieces(self._pieces, self._finders)
        for node, old, new in zip(self._nodes, self._pieces, told, strict=True):
            if node is not None and new != old:
                self.changed = True
                if new:
                    node.replace_with(new)
                else:
                    node.decompose()

    def _is_raw(self, node: LexborNode) -> bool:
        return node.parent is not None and tag_of(node.parent) in RAW

    def _block_of(self, node: LexborNode) -> int:
        """Say in which block a text stands: what is in one, is read without a break."""
        passed = []
        at = node.parent
        while at is not None and at.mem_id not in self._blocks:
            passed.append(at.mem_id)
            if at.parent is None or tag_of(at) not in _INLINE:
                break
            at = at.parent
        found = self._blocks.get(at.mem_id, at.mem_id) if at is not None else 0
        self._blocks.update(dict.fromkeys(passed, found))
        return found
