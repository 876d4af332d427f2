"""redact: patterns, and numbers whose check digits are right, in texts and header fields."""

from __future__ import annotations

import pytest

from support.programs import PDF, mail, multipart, part, passed, read, text_of
from valija_transform.failures import Unclear, WrongUsage
from valija_transform.finders import BUILT_IN, pattern, redact, redact_pieces

ALL = ("--find", "card", "--find", "iban", "--find", "email")


def found(name: str, text: str) -> str:
    return redact(text, [BUILT_IN[name]("#")])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("4111111111111111", "#"),
        ("pay 4111 1111 1111 1111 12/27 now", "pay # 12/27 now"),
        ("4111-1111-1111-1111.", "#."),
        ("378282246310005 and 5555 5555 5555 4444", "# and #"),
        ("4111\u00a01111\u00a01111\u00a01111", "#"),
        ("4111111111111112", "4111111111111112"),
        ("x04111111111111111", "x04111111111111111"),
        ("0000000000000000", "0000000000000000"),
        ("+49 30 123456", "+49 30 123456"),
        ("no 12 4111111111111111 35", "no 12 # 35"),
    ],
)
def test_cards(text: str, told: str) -> None:
    assert found("card", text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("DE89 3704 0044 0532 0130 00", "#"),
        ("(GB82WEST12345698765432)", "(#)"),
        ("to gb82 west 1234 5698 7654 32 please", "to # please"),
        ("DE89 3704 0044 0532 0130 01", "DE89 3704 0044 0532 0130 01"),
        ("DE89 3704 0044 0532 0130 00x", "DE89 3704 0044 0532 0130 00x"),
        ("XX89 3704 0044 0532 0130 00", "XX89 3704 0044 0532 0130 00"),
        ("DE89  3704 0044 0532 0130 00", "DE89  3704 0044 0532 0130 00"),
    ],
)
def test_ibans(text: str, told: str) -> None:
    assert found("iban", text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("write to Jo.E+x@mail.example.org.", "write to #."),
        ("<jörg@bücher.example>", "<#>"),
        ("a@b, @home, x@y.", "a@b, @home, x@y."),
    ],
)
def test_addresses(text: str, told: str) -> None:
    assert found("email", text) == told


def test_a_pattern_replaces_by_its_groups() -> None:
    find = pattern(r"(?i)case (?P<year>\d{4})-(\d+)", r"[case \g<year>\\ \2]")
    assert redact("Case 2026-17, case 1-2", [find]) == r"[case 2026\ 17], case 1-2"


@pytest.mark.parametrize(
    ("expression", "by"),
    [("(", "x"), (r"(a)\1", "x"), ("(?=a)", "x"), ("a", r"\1"), ("(a)", r"\g<b>")],
)
def test_what_re2_does_not_take_is_refused(expression: str, by: str) -> None:
    with pytest.raises(WrongUsage):
        pattern(expression, by)


@pytest.mark.parametrize("expression", ["(a+)+$", "(a|aa)+$", "(.*a){20}"])
def test_no_pattern_hangs(expression: str) -> None:
    """Each takes a backtracking engine ages on this text."""
    assert redact("a" * 50_000 + "!", [pattern(expression, "")]) is not None


def test_empty_matches_replace_nothing() -> None:
    assert redact("abc", [pattern("x*", "-")]) == "abc"


def test_html_is_read_as_its_reader_does() -> None:
    html = (
        "<p>4111 <b>1111</b>&nbsp;11<!-- -->11 1111</p><div>4111 1111</div>1111 1111 "
        '<a href="mailto:me@example.org" title="x">me@<i>example</i>.org</a>'
        "<!-- you@example.org --><style>/* z@example.org */</style>"
    )
    after = passed(mail("Content-Type: text/html", "", html), "redact", *ALL)
    told = text_of(after, "html")
    assert "example" not in told
    assert "<p>[card]<b></b><!-- --></p>" in told
    assert 'href="mailto:[email]"' in told
    assert "<div>4111 1111</div>1111 1111" in told


def test_html_that_holds_nothing_keeps_its_octets() -> None:
    before = mail("Content-Type: text/html", "", "<P>odd <b>markup &nbsp")
    assert passed(before, "redact", *ALL) == before


def test_pieces_are_read_as_one() -> None:
    assert redact_pieces(["a", "bc", "", "d", "abcd"], [pattern("bcd|cda", "-")]) == [
        "a", "-", "", "", "a-",
    ]  # fmt: skip
    assert redact_pieces(["xa", "b", "cy"], [pattern("abc", "-")]) == ["x-", "", "y"]


def test_header_fields_that_are_named_are_redacted_in_messages_in_it_too() -> None:
    inner = mail("Subject: about 4111111111111111", "", "4111111111111111")
    before = multipart("mixed", [b"Content-Type: message/rfc822\n\n" + inner.rstrip(b"\n"), PDF])
    after = passed(before, "redact", "--find", "card", "--header", "Subject")
    assert after == before.replace(b"4111111111111111", b"[card]")


def test_encoded_words_are_decoded_and_cannot_end_the_field() -> None:
    before = mail("Subject: =?utf-8?q?J=C3=B6rg_me=40example=2Eorg=0D=0AX-Evil:_1?=", "", "x")
    after = passed(before, "redact", "--find", "email", "--header", "subject")
    assert read(after)["Subject"] == "Jörg [email]  X-Evil: 1"
    assert read(after)["X-Evil"] is None


def test_addresses_in_fields_stay_addresses() -> None:
    before = mail(
        'From: "Doe, Jo" <jo@example.org>, =?utf-8?q?J=C3=B6rg?= <j@example.org>', "", "x"
    )
    after = passed(before, "redact", "--find", "email", "--header", "From")
    people = read(after)["From"].addresses
    assert [(it.display_name, it.addr_spec) for it in people] == [
        ("Doe, Jo", "redacted@redacted.invalid"),
        ("Jörg", "redacted@redacted.invalid"),
    ]


def test_attached_texts_are_redacted_and_other_parts_keep_their_octets() -> None:
    table = part("text/csv", "me@example.org;1", "Content-Disposition: attachment")
    after = passed(multipart("mixed", [table, PDF]), "redact", *ALL)
    assert after == multipart("mixed", [table.replace(b"me@example.org", b"[email]"), PDF])


def test_a_mask_of_ones_own() -> None:
    before = mail("", "me@example.org")
    after = passed(before, "redact", "--find", "email", "--mask", "ü")
    assert text_of(after) == "ü\n"


def test_a_field_that_is_too_long_is_left() -> None:
    before = mail(f"Subject: me@example.org {'x ' * 9000}", "", "x")
    options = ("redact", "--find", "email", "--header", "Subject")
    assert passed(before, *options) == before
    with pytest.raises(Unclear):
        passed(before, *options, strict=True)


def test_addresses_in_too_many_brackets_are_left() -> None:
    before = mail(f"To: {'(' * 15_000}", "", "x")
    options = ("redact", "--find", "email", "--header", "To")
    assert passed(before, *options) == before
    with pytest.raises(Unclear, match="brackets"):
        passed(before, *options, strict=True)


def test_something_is_to_be_found() -> None:
    with pytest.raises(WrongUsage):
        passed(b"", "redact")
