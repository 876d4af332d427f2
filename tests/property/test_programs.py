"""Whatever octets come in: the same ones go out, or mail whose other parts have kept theirs."""

from __future__ import annotations

import email

from hypothesis import given, settings
from hypothesis import strategies as st

from scale import EXAMPLES
from support.programs import ALL, HTML, PDF, PLAIN, multipart, passed
from valija_transform.edits import encode
from valija_transform.fields import read_parameters
from valija_transform.finders import BUILT_IN, redact, redact_pieces
from valija_transform.html_defang import defang_html
from valija_transform.html_text import html_to_text
from valija_transform.links import harmless_text
from valija_transform.structure import read_structure
from valija_transform.writing import fold

OPTIONS = st.sampled_from(ALL)
PIECES = [
    b"Content-Type: ", b"multipart/mixed", b"multipart/alternative", b"message/rfc822",
    b"text/html", b"text/plain", b"application/pdf", b"; boundary=B", b"; boundary=C", b"\n", b"\n",
    b"\r\n", b"\n\n", b"\n--B\n", b"\n--B--\n", b"\n--C\n", b"\n--C--", b"--B", b" ", b"\t", b":",
    b"Subject: x", b"X-A: b\n c", b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable",
    b"; charset=utf-16", b"; charset=utf-7", b"; charset=x", b"Content-Disposition: attachment",
    b"; filename=a.exe", b"; filename*0*=utf-8''%41", b"http://a.example/", b"<a href=http://a>x",
    b"<style>", b"<img src=x>", b"</", b"QUFB", b"=41=", b"4111111111111111", b"me@a.example",
    b"\xff", b"\0", b"\r", b"From x", b"\xc3\xa4", b"<!--", b"<body>", b"=?utf-8?q?=0A?=",
]  # fmt: skip
MAIL = st.one_of(
    st.binary(max_size=400),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)), max_size=40).map(b"".join),
)
TEXT = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("<>/\"'=:. \n@&;#")), max_size=200
)


@settings(max_examples=5 * EXAMPLES)
@given(MAIL, OPTIONS)
def test_any_octets_give_the_same_ones_or_mail(octets: bytes, options: tuple[str, ...]) -> None:
    after = passed(octets, *options)
    if after != octets:
        had = {type(it) for it in _defects(octets)}
        assert {type(it) for it in _defects(after)} <= had
        read_structure(after)


def _defects(octets: bytes) -> list[object]:
    return list(email.message_from_bytes(octets).defects)


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=300).filter(lambda it: b"--B" not in it and b"\0" not in it), OPTIONS)
def test_parts_that_are_not_changed_keep_their_octets(
    octets: bytes, options: tuple[str, ...]
) -> None:
    untouched = b"Content-Type: image/x-raw\nContent-ID: <a>\n\n" + octets
    before = multipart("related", [HTML, untouched, PDF, PLAIN])
    after = passed(before, *options)
    if options[0] not in ("text-only", "strip-attachments"):
        assert b"\n--B\n" + untouched + b"\n--B\n" + PDF + b"\n--B\n" in after
        assert after.endswith(b"\n--B--\nepilogue\n")


@settings(max_examples=EXAMPLES)
@given(MAIL.filter(lambda it: it.isascii() and b"\r" not in it.replace(b"\r\n", b"")))
def test_parts_are_those_of_the_email_package(octets: bytes) -> None:
    octets = multipart("mixed", [octets.replace(b"--", b"-"), PLAIN], boundary="outer")
    ours = read_structure(octets)
    theirs = email.message_from_bytes(octets)
    assert [it.content_type for it in ours.children if not it.unclear] == [
        it.get_content_type()
        for it, part in zip(theirs.get_payload(), ours.children, strict=True)
        if not part.unclear
    ]


@settings(max_examples=EXAMPLES)
@given(TEXT)
def test_defanged_once_is_defanged(text: str) -> None:
    told = harmless_text(text)
    assert harmless_text(told) == told
    assert "http:" not in told.lower()
    html = defang_html(text)
    assert defang_html(html) == html
    assert "\0" in html or html_to_text(html) is not None


@settings(max_examples=EXAMPLES)
@given(st.lists(st.text("4111 -.ab\n", max_size=30), max_size=8))
def test_pieces_are_redacted_as_the_text_they_make(pieces: list[str]) -> None:
    finders = [BUILT_IN["card"]("#"), BUILT_IN["iban"]("#")]
    told = redact_pieces(pieces, finders)
    assert "".join(told) == redact("".join(pieces), finders)
    assert len(told) == len(pieces)


@settings(max_examples=EXAMPLES)
@given(st.binary(max_size=300), st.sampled_from(["base64", "quoted-printable", "8bit", "7bit"]))
def test_a_transfer_encoding_comes_undone(octets: bytes, encoding: str) -> None:
    from binascii import a2b_base64, a2b_qp

    coded = encode(octets, encoding, b"\n")
    if coded is not None:
        undo = {"base64": a2b_base64, "quoted-printable": a2b_qp}.get(encoding, bytes)
        assert undo(coded) == octets.replace(b"\r\n", b"\n") or undo(coded) == octets


@settings(max_examples=EXAMPLES)
@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=300))
def test_a_field_is_read_as_it_was_written(value: str) -> None:
    line = fold("X-Field", value.strip(), b"\r\n")
    assert line.isascii()
    assert all(len(it) <= 998 for it in line.split(b"\r\n"))
    assert len(read_structure(line + b"\r\n").header.fields) == 1


@given(st.text(st.sampled_from(list("ab/;= \"'*%()\\?\t")), max_size=40))
def test_a_value_that_is_read_here_is_what_the_email_package_reads(value: str) -> None:
    told = read_parameters(value)
    if told is not None and told.value.count("/") == 1:
        message = email.message.Message()
        message["Content-Type"] = value
        assert message.get_content_type() == told.value
        for name, known in told.parameters.items():
            assert message.get_param(name) == known
