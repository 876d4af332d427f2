"""Lines come out the same however the octets were cut; a line over the limit costs no memory."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scale
from lineproto.framing import LineBuffer, LineTooLong, LongLines

OCTETS = st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b" ", b"NOOP", b"\0"])).map(
    b"".join
)


def drained(buffer: LineBuffer) -> list[bytes | None]:
    """All lines there are; None stands for one that was too long."""
    lines: list[bytes | None] = []
    while True:
        try:
            line = buffer.next_line()
        except LineTooLong:
            lines.append(None)
            continue
        if line is None:
            return lines
        lines.append(line)


@pytest.mark.attack(4, "cut")
@settings(max_examples=scale.EXAMPLES)
@given(OCTETS, st.lists(st.integers(0, 500)))
def test_lines_are_the_same_however_the_input_is_cut(octets: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    buffer = LineBuffer(limit=12)
    lines = []
    for start, end in itertools.pairwise(places):
        buffer.feed(octets[start:end])
        lines += drained(buffer)
    complete = octets.split(b"\n")
    last = complete.pop()
    expected = [None if len(line) + 1 > 12 else line.removesuffix(b"\r") for line in complete]
    assert lines == expected + [None] * (len(last) > 12)


def test_one_octet_at_a_time() -> None:
    buffer = LineBuffer(limit=100)
    lines = []
    for octet in b"USER a\r\nPASS b\n":
        buffer.feed(bytes([octet]))
        lines += drained(buffer)
    assert lines == [b"USER a", b"PASS b"]


@pytest.mark.attack(1)
def test_an_endless_line_is_told_once_and_never_kept() -> None:
    buffer = LineBuffer(limit=512)
    for _ in range(1000):
        buffer.feed(b"x" * 1024)
        with_error = drained(buffer)
        assert buffer.waiting <= 1024
        assert with_error in ([None], [])
    assert buffer.dropped == 1024 * 1000
    buffer.feed(b"\nNOOP\r\n")
    assert drained(buffer) == [b"NOOP"]


def test_a_cleared_buffer_forgets_the_partial_line() -> None:
    buffer = LineBuffer(limit=512)
    buffer.feed(b"STLS\r\nUSER x")
    assert buffer.next_line() == b"STLS"
    buffer.clear()
    buffer.feed(b"NOOP\r\n")
    assert drained(buffer) == [b"NOOP"]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_the_limit_counts_the_line_end(line_end: bytes) -> None:
    buffer = LineBuffer(limit=10)
    fitting = b"x" * (10 - len(line_end))
    buffer.feed(fitting + line_end + b"x" + fitting + line_end)
    assert drained(buffer) == [fitting, None]


LONG = LongLines(b"AUTH ", 30)
WORDS = st.lists(
    st.sampled_from([b"auth ", b"AUTH ", b"AUTH", b"x", b"x" * 9, b"\n", b"\r\n", b"x" * 25])
).map(b"".join)


def expected_of(octets: bytes) -> list[bytes | None]:
    """The lines, with a limit of 12 and one of 30 for those of AUTH."""
    lines: list[bytes | None] = []
    *complete, last = octets.split(b"\n")
    for line in complete:
        limit = 30 if line[:5].upper() == b"AUTH " else 12
        lines.append(None if len(line) + 1 > limit else line.removesuffix(b"\r"))
    too_long = len(last) > (30 if last[:5].upper() == b"AUTH " else 12)
    return lines + [None] * too_long


@settings(max_examples=scale.EXAMPLES)
@given(WORDS, st.lists(st.integers(0, 500)))
def test_long_lines_are_the_same_however_the_input_is_cut(octets: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    buffer = LineBuffer(12, LONG)
    lines = []
    for start, end in itertools.pairwise(places):
        buffer.feed(octets[start:end])
        lines += drained(buffer)
        assert buffer.waiting <= LONG.limit
    assert lines == expected_of(octets)
