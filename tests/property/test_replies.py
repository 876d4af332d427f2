"""Replies: what is sent fast is what is sent slowly."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from lineproto.reply import Listing

PRINTABLE = string.ascii_letters + string.digits + string.punctuation + " "
PLAIN = st.text(PRINTABLE, max_size=80).filter(lambda line: not line.startswith("."))


@given(lines=st.lists(PLAIN, max_size=30), size=st.integers(1, 40))
def test_plain_lines_are_sent_as_all_lines_are(lines: list[str], size: int) -> None:
    slow = b"".join(map(bytes, Listing("head", lines).chunks(size)))
    assert b"".join(Listing("head", iter(lines), plain=True).chunks(size)) == slow
    assert Listing("head", lines, plain=True).encode() == slow


@given(lines=st.lists(st.text(max_size=20), max_size=30), size=st.integers(1, 40))
def test_a_listing_is_the_same_however_it_is_cut(lines: list[str], size: int) -> None:
    pieces = list(Listing("head", lines).chunks(size))
    assert b"".join(pieces) == Listing("head", lines).encode()
    assert len(pieces) == len(lines) // size + 1
