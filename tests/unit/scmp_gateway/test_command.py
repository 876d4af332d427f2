"""SCMP lines: any octets parse or are refused; telnet's own commands do not disturb."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scale
from scmp_gateway.command import BadLine, Line, number, parse


@settings(max_examples=scale.EXAMPLES)
@given(st.binary(max_size=60))
def test_any_octets_parse_or_are_refused(octets: bytes) -> None:
    try:
        line = parse(octets)
    except BadLine as error:
        assert str(error).isprintable()
        return
    assert line.verb == line.verb.upper()
    assert all(word and " " not in word for word in line.words)


@pytest.mark.parametrize(
    ("octets", "line"),
    [
        (b"status", Line("STATUS", (), "")),
        (b"  Add_User  a   b ", Line("ADD_USER", ("a", "b"), " a   b ")),
        (b" PASS  two  words ", Line("PASS", ("two", "words"), " two  words ")),
        (
            b"TRANSFORM sed 's/a  b/c/'",
            Line("TRANSFORM", ("sed", "'s/a", "b/c/'"), "sed 's/a  b/c/'"),
        ),
        (b"\xff\xf4\xff\xfd\x06NOOP", Line("NOOP", (), "")),
        (b"NO\xff\xf1OP", Line("NOOP", (), "")),
        (b"\xff\xfa\x18\0xterm\xff\xf0NOOP", Line("NOOP", (), "")),
        ("ADD_USER x\u2003y z".encode(), Line("ADD_USER", ("x\u2003y", "z"), "x\u2003y z")),
        ("ADD_USER añil x".encode(), Line("ADD_USER", ("añil", "x"), "añil x")),
    ],
)
def test_a_line_becomes_verb_and_words(octets: bytes, line: Line) -> None:
    assert parse(octets) == line


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"   ",
        b"A\0B",
        "A \x85".encode(),
        "A b\u2028".encode(),
        b"\xff\xfa\x18A",
        b"A\tB",
        b"\x1b[2J",
        b"\x80",
        b"A\x7f",
    ],
)
def test_lines_that_are_no_commands_are_refused(octets: bytes) -> None:
    with pytest.raises(BadLine):
        parse(octets)


@pytest.mark.parametrize(
    ("word", "value"),
    [("0", 0), ("01", 1), ("4294967297", 4294967297), ("-1", None), ("+1", None), ("1.0", None),
     ("²", None), ("१", None), ("9" * 11, None), ("", None), ("1abc", None)],
)  # fmt: skip
def test_only_ascii_digits_are_a_number(word: str, value: int | None) -> None:
    assert number(word) == value


def test_a_line_does_not_print_its_arguments() -> None:
    assert "secret" not in repr(parse(b"CHANGE_PASSWORD secret secret2"))
