"""banner: in every text that may be shown, once, and in a part of its own where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.programs import HTML, PDF, PLAIN, mail, multipart, part, passed, read, text_of
from valija_transform.failures import NoInput, WrongUsage
from valija_transform.html_places import places
from valija_transform.protection import Signed

TOP = ("--text", "From outside")
END = (*TOP, "--position", "end")


def test_plain_text_has_it_at_the_top_or_the_end() -> None:
    before = mail("Subject: x", "", "text")
    assert passed(before, "banner", *TOP) == mail("Subject: x", "", "From outside", "", "text")
    assert passed(before, "banner", *END) == mail("Subject: x", "", "text", "", "From outside")


def test_each_alternative_has_it_and_attachments_keep_their_octets() -> None:
    alternative = multipart("alternative", [PLAIN, HTML], boundary="inner")
    inner = alternative[alternative.index(b"Content-Type") :]
    before = multipart("mixed", [inner, PDF])
    after = passed(before, "banner", *TOP)
    assert text_of(after).startswith("From outside\n\nsee")
    assert ">From outside</div><p>" in text_of(after, "html")
    assert after.endswith(before[before.index(PDF) :])


@pytest.mark.parametrize("options", [TOP, END])
@pytest.mark.parametrize(
    "before",
    [
        mail("Subject: x", "", "text"),
        mail("Subject: x", "", "text", eol="\r\n"),
        b"Subject: no body",
        b"Subject: no end\n\ntext",
        mail("Content-Type: text/html", "", "<html><body>x</body></html>"),
        mail("Content-Type: text/html", "", "x"),
        multipart("mixed", [PDF]),
        multipart("mixed", [PLAIN, PDF]),
        multipart("mixed", [PDF, PLAIN]),
        multipart("related", [HTML, PDF]),
        multipart("alternative", [PLAIN, HTML, part("text/calendar", "x")]),
        mail("Content-Type: image/png", "Content-Transfer-Encoding: base64", "", "iVBORw0K"),
        mail("Content-Type: text/plain; charset=utf-16", "", "odd"),
        mail("Content-Transfer-Encoding: x-unknown", "", "odd"),
    ],
)
def test_it_is_there_once(before: bytes, options: tuple[str, ...]) -> None:
    once = passed(before, "banner", *options)
    assert once.count(b"From outside") == before.count(b"text/html") + (
        not before.count(b"text/html") or before.count(b"alternative")
    )
    assert passed(once, "banner", *options) == once


def test_a_text_of_one_line_has_the_mails_line_ends() -> None:
    before = multipart("mixed", [it.replace(b"\n", b"\r\n") for it in (PLAIN, PDF)], eol="\r\n")
    after = passed(before, "banner", *TOP)
    assert after.count(b"\n") == after.count(b"\r\n") == before.count(b"\n") + 2


def test_a_quoted_banner_does_not_count() -> None:
    before = mail("", "my answer", "> From outside", "> text")
    assert passed(before, "banner", *TOP).startswith(b"\nFrom outside\n\nmy answer")


@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_mail_without_text_gets_a_part_and_keeps_its_content(eol: str) -> None:
    before = mail(
        "From: a@example.org",
        "Content-Type: image/png;",
        ' name="x.png"',
        "X-Between: 1",
        "Content-Transfer-Encoding: base64",
        "",
        "iVBORw0K",
        eol=eol,
    )
    after = passed(before, "banner", *TOP)
    whole = read(after)
    assert [it.get_content_type() for it in whole.walk()] == [
        "multipart/mixed", "text/plain", "image/png",
    ]  # fmt: skip
    picture = list(whole.walk())[2]
    assert picture.get_filename() == "x.png"
    assert picture.get_content() == b"\x89PNG\r\n"
    assert whole["X-Between"] == "1"
    assert b"\n" not in after.replace(eol.encode(), b"")
    assert not [it.defects for it in whole.walk() if it.defects]


def test_what_the_charset_does_not_hold_goes_out_as_utf_8() -> None:
    before = mail("Content-Type: text/plain; charset=us-ascii; format=flowed", "", "text")
    after = passed(before, "banner", "--text", "Von außen")
    assert read(after)["Content-Type"] == 'text/plain; charset="utf-8"; format="flowed"'
    assert read(after)["Content-Transfer-Encoding"] == "quoted-printable"
    assert text_of(after) == "Von außen\n\ntext\n"


def test_html_tells_it_in_any_charset() -> None:
    before = mail("Content-Type: text/html; charset=us-ascii", "", "<body>x")
    after = passed(before, "banner", "--text", "Von <außen>\\n2")
    assert after.isascii()
    assert "Von &lt;au&#223;en&gt;<br>2" in text_of(after, "html")


def test_signed_mail_gets_a_part_around_it_if_it_is_to_be_changed() -> None:
    signed = multipart("signed", [PLAIN, part("application/pgp-signature", "sig")])
    assert passed(signed, "banner", *TOP) == signed
    after = passed(signed, "banner", *TOP, signed=Signed.CHANGE)
    content = signed[signed.index(b"This is a multipart") :]
    assert content in after
    assert list(read(after).walk())[2].get_content_type() == "multipart/signed"


def test_the_text_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "banner.txt"
    file.write_text("One\ntwo\n")
    before = mail("", "text")
    assert passed(before, "banner", "--file", str(file)) == mail("", "One", "two", "", "text")


def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "banner.txt"
    with pytest.raises(NoInput):
        passed(b"", "banner", "--file", str(file))
    for content in (b"", b"\xff", b"x" * 70_000, b"\x1b[0m"):
        file.write_bytes(content)
        with pytest.raises(WrongUsage):
            passed(b"", "banner", "--file", str(file))


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("x", "|x|"),
        ("<html><body class='>'>x</body></html>", "<html><body class='>'>|x|</body></html>"),
        ("<!-- <body> --><BODY>x", "<!-- <body> --><BODY>|x|"),
        ("<html><head><style><body></style></head>x</html>",
         "<html><head><style><body></style></head>|x|</html>"),
        ("<!doctype html><p>x", "<!doctype html>|<p>x|"),
        ("<html>x</html>y", "<html>|x|</html>y"),
        ("<body>x<body>y", "<body>|x<body>y|"),
        ("<!-- x", "|<!-- x|"),
        ("<body x", "|<body x|"),
        ("İ<STYLE></STYLE><body>x", "İ<STYLE></STYLE><body>|x|"),
    ],
)  # fmt: skip
def test_places_in_html(html: str, found: str) -> None:
    top, end = places(html)
    assert f"{html[:top]}|{html[top:end]}|{html[end:]}" == found
