"""The text of a part: decoded if that can be undone, left alone if not, and written as it was."""

from __future__ import annotations

import base64

import pytest

from support.programs import HTML, PDF, mail, multipart, part, passed, read, text_of
from valija_transform.failures import Unclear
from valija_transform.fields import decode_words
from valija_transform.structure import read_structure
from valija_transform.text import LARGEST, LARGEST_HTML, find_charset, read_text

LINK = "see http://evil.example\n"


def encoded(body: bytes, encoding: str = "base64", charset: str = "utf-8") -> bytes:
    head = mail(f"Content-Type: text/plain; charset={charset}",
                f"Content-Transfer-Encoding: {encoding}", "")  # fmt: skip
    return head + body


@pytest.mark.parametrize(
    "octets",
    [
        encoded(base64.encodebytes(LINK.strip().encode()) + b"andmore\n"),
        encoded(base64.encodebytes(LINK.encode()) + b"____\nlist\n"),
        encoded(b"c2VlIGh0dHA6Ly9ldmlsLmV4YW1wbGU" + b"A" * 2 + b"\n"),
        encoded(LINK.encode(), "x-uuencode"),
        encoded(b"\xff\xff http://evil.example", "8bit", "utf-16-le") + b"\x00\xd8",
        encoded(b"http://evil.example \x81", "8bit", "big5"),
    ],
)
def test_what_cannot_be_decoded_for_sure_keeps_its_octets(octets: bytes) -> None:
    assert passed(octets, "defang") == octets
    for options in (("defang",), ("redact", "--find", "card")):
        with pytest.raises(Unclear):
            passed(octets, *options, strict=True)
    assert passed(octets, "strip-attachments", strict=True) == octets


def test_base64_that_lacks_its_padding_is_read() -> None:
    after = passed(encoded(b"c2VlIGh0dHA6Ly9ldmlsLmV4YW1wbGU\n"), "defang")
    assert text_of(after) == "see hxxp://evil[.]example"


def test_a_text_that_nobody_reads_keeps_its_octets() -> None:
    for kind, limit in (("plain", LARGEST), ("html", LARGEST_HTML)):
        octets = mail(f"Content-Type: text/{kind}", "", LINK + "x" * limit)
        assert passed(octets, "defang") == octets
        assert read_text(read_structure(octets)) is None


def test_a_byte_order_mark_stays() -> None:
    body = b"\xef\xbb\xbf<a href=http://evil.example>x</a>"
    before = b"Content-Type: text/html; charset=utf-8\n\n" + body
    after = passed(before, "defang").partition(b"\n\n")[2]
    assert after.startswith(b"\xef\xbb\xbf<html>")
    assert after.count(b"\xef\xbb\xbf") == 1


def test_utf_16_goes_out_as_utf_8() -> None:
    before = encoded(base64.encodebytes(("Grüße " + LINK).encode("utf-16")), charset="utf-16")
    after = passed(before, "defang")
    assert read(after).get_content_charset() == "utf-8"
    assert text_of(after) == "Grüße see hxxp://evil[.]example\n"


def test_html_without_a_charset_is_read_by_its_meta_element() -> None:
    html = '<meta charset="windows-1251">Привет <a href=http://evil.example>x</a>'
    after = passed(b"Content-Type: text/html\n\n" + html.encode("cp1251"), "defang")
    assert "Привет".encode("cp1251") in after
    assert after.startswith(b"Content-Type: text/html\n\n")


def test_seven_bits_and_short_lines_stay_so() -> None:
    before = mail("Content-Type: text/html; charset=us-ascii", "", f"<p>{'x' * 900}")
    after = passed(before, "banner", "--text", "From outside " * 20)
    assert read(after)["Content-Transfer-Encoding"] == "quoted-printable"
    assert max(map(len, after.splitlines())) <= 78


def test_mail_that_broke_a_rule_breaks_it_no_more_than_before() -> None:
    before = b"Subject: x\n\n\xe4 http://evil.example\n" + b"y" * 2000 + b"\n"
    assert passed(before, "defang") == before.replace(b"http://evil.", b"hxxp://evil[.]", 1)


def test_base64_at_a_parts_end_gets_no_line_more() -> None:
    body = base64.b64encode(LINK.encode()).decode()
    inner = part("text/plain", body, "Content-Transfer-Encoding: base64")
    after = passed(multipart("mixed", [inner, HTML, PDF]), "defang")
    told = base64.b64encode(LINK.replace("http://evil.", "hxxp://evil[.]").encode())
    assert b"\n\n" + told + b"\n--B\n" in after


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("UTF8", "utf-8"),
        ("latin1", "iso8859-1"),
        ("ks_c_5601-1987", "euc_kr"),
        ("x-none", None),
        ("rot13", None),
        ("unicode_escape", None),
        ("idna", None),
        ("base64", None),
        ("\0", None),
        ("", None),
    ],
)
def test_charsets_are_those_of_mail_and_no_other_codecs(name: str, codec: str | None) -> None:
    assert find_charset(name) == codec


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("=?iso-8859-1?q?Gr=FC=DFe?= =?utf-8?b?4oKs?=", "Grüße€"),
        ("Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        ("Gr\xfc\xdfe", "Grüße"),
        ("=?x-none?q?a=FF?=", "a\xff"),
        ("=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("=?utf-8?q?=ff?=", "\ufffd"),
    ],
)
def test_encoded_words(value: str, text: str) -> None:
    assert decode_words(value) == text


@pytest.mark.parametrize(
    ("charset", "codec", "word"),
    [
        ("gb2312", "gb18030", "\u9555"),
        ("shift_jis", "cp932", "\u2460"),
        ("big5", "cp950", "\u20ac"),
    ],
)
def test_a_charsets_name_may_stand_for_a_larger_one(charset: str, codec: str, word: str) -> None:
    before = encoded((word + LINK).encode(codec), "8bit", charset)
    after = passed(before, "defang")
    assert read(after).get_content_charset() == "utf-8"
    assert text_of(after) == f"{word}see hxxp://evil[.]example\n"


@pytest.mark.parametrize("encoding", ["8-bit", "8BITS", "8 bit", "7bit (x)", "8bit;"])
def test_transfer_encodings_are_read_however_they_are_spelt(encoding: str) -> None:
    before = encoded(LINK.encode(), encoding)
    assert passed(before, "defang") == before.replace(b"http://evil.", b"hxxp://evil[.]")


def test_utf_8_under_the_name_of_a_shifting_charset_keeps_its_octets() -> None:
    before = encoded(("\u65e5\u672c " + LINK).encode(), "8bit", "iso-2022-jp")
    assert passed(before, "defang") == before.replace(b"http://evil.", b"hxxp://evil[.]")
    shifted = before + b"\x1b$B"
    assert passed(shifted, "defang") == shifted
