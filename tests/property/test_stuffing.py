"""The wire form of a message is the same however it is cut, and undone by unstuffing."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scale
from lineproto.stuffing import (
    CRLF_ONLY,
    DOTLESS,
    LF_ONLY,
    UTF8_HEADER,
    OctetCounter,
    TopCutter,
    WireEncoder,
    decode,
    encode,
    header_form,
)

MESSAGES = st.lists(
    st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"a", b"..", b"\0", b"\xff", b"Subject: x"])
).map(b"".join)


def lines_of(message: bytes) -> list[bytes]:
    """The message's lines by the one rule: LF ends a line, one CR before it belongs to the end."""
    parts = message.split(b"\n")
    last = parts.pop()
    lines = [part.removesuffix(b"\r") for part in parts]
    return [*lines, last] if last or not message else lines


def wire_of(lines: list[bytes]) -> bytes:
    return b"".join((b"." if line[:1] == b"." else b"") + line + b"\r\n" for line in lines)


def form_of(message: bytes) -> int:
    """What a look at all octets says of them."""
    form = 0 if any(line.startswith(b".") for line in message.split(b"\n")) else DOTLESS
    if b"\r" not in message:
        return form | LF_ONLY
    return form | CRLF_ONLY if message.count(b"\r\n") == message.count(b"\n") else form


def in_pieces(message: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(message) + 1) for cut in cuts), len(message)]
    return [message[a:b] for a, b in itertools.pairwise(places)]


def top_of(message: bytes, count: int) -> bytes:
    """What TOP is to give: header, blank line and so many lines of the body."""
    lines = lines_of(message)
    # A last line without a line end is no blank line: the header goes on to the end.
    complete = message.count(b"\n")
    blank = next((n for n, line in enumerate(lines[:complete]) if not line), len(lines))
    return wire_of(lines[: blank + 1 + count])


def top(pieces: list[bytes], count: int) -> bytes:
    """What TOP gives."""
    cutter, encoder = TopCutter(count), WireEncoder()
    return b"".join(encoder.feed(cutter.feed(piece)) for piece in pieces) + encoder.finish()


@pytest.mark.attack(37, "dots", "bare lf", "no newline", "empty")
@pytest.mark.parametrize("length", range(scale.CUT_LENGTH + 1))
def test_every_placement_of_dots_cr_and_lf_in_every_cut(length: int) -> None:
    for octets in itertools.product(b".\r\na", repeat=length):
        message = bytes(octets)
        expected = wire_of(lines_of(message))
        for cut in range(length + 1):
            encoder = WireEncoder()
            assert (
                encoder.feed(message[:cut]) + encoder.feed(message[cut:]) + encoder.finish()
                == expected
            )
            counter = OctetCounter()
            counter.feed(message[:cut])
            counter.feed(message[cut:])
            assert counter.finish() == encoder.octets == len(decode(expected))
            assert counter.form == form_of(message) & ~DOTLESS
            assert encoder.form == form_of(message) & DOTLESS
            known = WireEncoder(form_of(message))
            assert (
                known.feed(message[:cut]) + known.feed(message[cut:]) + known.finish() == expected
            )
            assert known.octets == encoder.octets
            assert known.form == form_of(message)


@pytest.mark.attack(37, "edges", "nul")
@settings(max_examples=scale.EXAMPLES)
@given(MESSAGES, st.lists(st.integers(0, 1000)))
def test_stuffing_is_the_same_however_the_message_is_cut(message: bytes, cuts: list[int]) -> None:
    encoder = WireEncoder()
    wire = b"".join(map(encoder.feed, in_pieces(message, cuts))) + encoder.finish()
    assert wire == encode(message) == wire_of(lines_of(message))
    assert decode(wire) == b"".join(line + b"\r\n" for line in lines_of(message))


@settings(max_examples=scale.EXAMPLES)
@given(MESSAGES, st.lists(st.integers(0, 1000)), st.lists(st.integers(0, 1000)), st.integers(0, 7))
def test_what_is_known_of_a_message_spares_work_and_changes_nothing(
    message: bytes, cuts: list[int], other_cuts: list[int], wanted: int
) -> None:
    counter = OctetCounter()
    for piece in in_pieces(message, cuts):
        counter.feed(piece)
    assert counter.finish() == len(decode(encode(message)))
    known = form_of(message)
    assert counter.form == known & ~DOTLESS
    for form in (known, known & wanted):  # all that is known, or a part of it
        encoder = WireEncoder(form)
        wire = b"".join(map(encoder.feed, in_pieces(message, other_cuts))) + encoder.finish()
        assert wire == encode(message)
        assert encoder.octets == counter.finish()
        assert encoder.form == form | known & DOTLESS


@pytest.mark.attack(37, "dots")
@settings(max_examples=scale.EXAMPLES)
@given(MESSAGES)
def test_the_final_dot_never_stands_inside_a_body(message: bytes) -> None:
    assert b"\r\n.\r\n" not in b"\r\n" + encode(message)


@pytest.mark.attack(38, "no blank line")
@pytest.mark.parametrize("length", range(scale.CUT_LENGTH + 1))
def test_top_of_every_placement_of_dots_cr_and_lf_in_every_cut(length: int) -> None:
    for octets in itertools.product(b".\r\na", repeat=length):
        message = bytes(octets)
        for count in range(3):
            expected = top_of(message, count)
            for cut in range(length + 1):
                assert top(in_pieces(message, [cut]), count) == expected


@settings(max_examples=scale.EXAMPLES)
@given(MESSAGES, st.integers(0, 6), st.lists(st.integers(0, 1000)))
def test_top_gives_header_blank_line_and_body_lines_in_every_cut(
    message: bytes, count: int, cuts: list[int]
) -> None:
    assert top(in_pieces(message, cuts), count) == top_of(message, count)


HEADER_LINES = st.lists(
    st.sampled_from([b"a: ", "\u00f1".encode(), "\u20ac".encode(), b"\xf1", b"\xc3"]), min_size=1
).map(b"".join)


def is_utf8(octets: bytes) -> bool:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=scale.EXAMPLES)
@given(
    st.lists(HEADER_LINES, min_size=1),
    st.sampled_from([b"\n", b"\r\n"]),
    st.one_of(HEADER_LINES, MESSAGES),
)
def test_a_header_in_utf8_is_told_from_ascii_and_from_junk(
    lines: list[bytes], end: bytes, body: bytes
) -> None:
    header = end.join([*lines, b""])
    wanted = UTF8_HEADER if is_utf8(header) and not header.isascii() else 0
    assert header_form(header + end + body) == wanted


@pytest.mark.parametrize(
    ("message", "form"),
    [
        (b"", 0),
        (b"Subject: plain\n\nbody\n", 0),
        ("Subject: plain\n\nel ni\u00f1o\n".encode(), 0),  # 8-bit in the body alone
        ("Subject: el ni\u00f1o\n\nbody\n".encode(), UTF8_HEADER),
        ("Subject: el ni\u00f1o\r\n\r\nbody\r\n".encode(), UTF8_HEADER),
        (
            "Subject: el ni\u00f1o\n\r\nbody \udcff\n".encode("utf-8", "surrogateescape"),
            UTF8_HEADER,
        ),
        ("Subject: el ni\u00f1o\n\nbody\n".encode("latin-1"), 0),  # junk, as in spam
        ("Subject: \u00f1 and \u00f1".encode(), UTF8_HEADER),  # neither body nor line end
        ("\nSubject: el ni\u00f1o\n\n".encode(), 0),  # no header at all
        ("\r\nel ni\u00f1o\r\n\r\n".encode(), 0),
    ],
)
def test_only_the_header_says_whether_a_message_needs_utf8(message: bytes, form: int) -> None:
    assert header_form(message) == form
