"""A listing: what is done for all at once or in haste, against one by one and octet by octet."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lineproto.stuffing import OctetCounter, header_form
from pop3_service.maildir import listing
from pop3_service.maildir.listing import list_messages
from pop3_service.maildir.message import are_unique_ids, base_name, is_unique_id, order, unique_id

SECONDS = st.sampled_from(
    ["1700000000", "1700000001", "999999999", "17000000000", "٠١٢٣٤٥٦٧٨٩", "1700.00000", "x"]
)
MICROSECONDS = st.sampled_from(["", ".M1P1", ".M10P1", ".M2P1", ".P1M3", "M4", "..M5"])
REST = st.sampled_from(["", ".host", ".host two", ".hôst", ".host\n", ".\udcff", "." + "h" * 70])
FLAGS = st.sampled_from(["", ":2,", ":2,S", ":2,RS"])
NAMES = st.builds("{}{}{}{}".format, SECONDS, MICROSECONDS, REST, FLAGS)
TEXTS = st.text(st.characters(min_codepoint=0x1F, max_codepoint=0x80), max_size=71)


def one_by_one(names: list[str], folder: Path) -> list[tuple[str, str]]:
    """Names in order, and the id of each."""
    seen: dict[str, int] = {}
    listed = []
    for name in sorted(names, key=lambda name: order(name, (folder / name).stat().st_mtime_ns)):
        base = base_name(name)
        seen[base] = seen.get(base, 0) + 1
        listed.append((name, unique_id(name, seen[base])))
    return listed


@settings(deadline=None)
@given(st.lists(NAMES, unique=True, max_size=12))
@example([f"17000000{n:02}.M{n}P1.host:2,S" for n in range(20, 0, -1)])
@example(["1700000000.M10P1.host", "1700000000.M9P1.host"])
@example(["1700000000.M10P1.host", "1700000000.M10P1.host:2,S"])
@example(["1700000001.a", "1700000000.b\n1700000000.c"])
def test_messages_come_in_their_order_and_with_their_ids(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as maildir:
        for folder in ("new", "cur"):
            (Path(maildir) / folder).mkdir()
        for name in names:
            (Path(maildir) / "cur" / name).write_bytes(b"mail\n")
        fd = os.open(maildir, os.O_RDONLY)
        try:
            snapshot, _ = list_messages(fd)
        finally:
            os.close(fd)
        found = [(message.name, message.uidl) for message in snapshot.messages]
        assert found == one_by_one(names, Path(maildir) / "cur")


PIECES = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b".", b"\n.", b"Subject: x", "año".encode(), b"\xff", b"\0", b"a" * 70]
)
MAIL = st.lists(PIECES, max_size=12).map(b"".join)


@settings(deadline=None)
@given(st.lists(MAIL, min_size=1, max_size=8), st.sampled_from([6, 40, listing.CHUNK]))
@example([b"", b"\n", b"a", b"a\n", b"a\r\n", "ñ\n".encode(), b"\r\n.\n"], listing.CHUNK)
def test_sizes_and_forms_are_those_that_are_counted_octet_by_octet(
    mail: list[bytes], chunk: int
) -> None:
    with tempfile.TemporaryDirectory() as maildir, pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "CHUNK", chunk)
        patch.setattr(listing, "OPEN_AT_ONCE", 3)
        for folder in ("new", "cur"):
            (Path(maildir) / folder).mkdir()
        for number, message in enumerate(mail):
            (Path(maildir) / "new" / f"{1000 + number}.a").write_bytes(message)
        fd = os.open(maildir, os.O_RDONLY)
        try:
            snapshot, _ = list_messages(fd)
        finally:
            os.close(fd)
        found = [(message.octets, message.form) for message in snapshot.messages]
        assert found == [octet_by_octet(message, chunk) for message in mail]


def octet_by_octet(message: bytes, chunk: int) -> tuple[int, int]:
    """Octets and form; the header is judged by the first chunk."""
    counter = OctetCounter()
    for at in range(len(message)):
        counter.feed(message[at : at + 1])
    begun = message if len(message) < chunk else message[:chunk]
    return counter.finish(), counter.form | header_form(begun)


@given(st.lists(TEXTS, max_size=5))
@example(["a", "a"])
@example([])
@example(["x" * 70, "~!"])
def test_ids_are_looked_at_together_as_one_by_one(texts: list[str]) -> None:
    apart = all(map(is_unique_id, texts)) and len(set(texts)) == len(texts)
    assert are_unique_ids(texts) is apart


@pytest.mark.parametrize("text", ["", "x" * 71, "a b", "é", "a\n", "\x7f", "a\0b", "\t"])
def test_what_is_no_id_is_found_among_others(text: str) -> None:
    assert not are_unique_ids(["a", text, "b"])
    assert not is_unique_id(text)
