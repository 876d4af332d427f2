"""text-only: the best text of a mail, and nothing else of it."""

from __future__ import annotations

from support.programs import HTML, PDF, PLAIN, mail, multipart, part, passed, read, text_of
from valija_transform.html_text import html_to_text


def test_plain_text_is_taken_octet_for_octet() -> None:
    plain = part("text/plain; charset=iso-8859-1", "Gr=FC=DFe =\n\nnext", 
                 "Content-Transfer-Encoding: quoted-printable")  # fmt: skip
    before = multipart("alternative", [plain, HTML])
    assert passed(before, "text-only") == mail(
        "From: a@example.org",
        "Subject: parts",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=iso-8859-1",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "Gr=FC=DFe =",
        "",
        "next",
    )


def test_mail_that_is_plain_already_keeps_its_octets() -> None:
    before = mail("Subject: x", "", "text")
    assert passed(before, "text-only") == before


def test_html_becomes_text() -> None:
    after = passed(multipart("mixed", [HTML, PDF]), "text-only")
    assert read(after).get_content_type() == "text/plain"
    assert text_of(after) == "here <http://evil.example/x>\n"


def test_html_beats_an_empty_plain_text() -> None:
    before = multipart("alternative", [part("text/plain", ""), HTML])
    assert text_of(passed(before, "text-only")).startswith("here")


def test_texts_that_are_shown_one_after_another_all_stay() -> None:
    footer = part("text/plain; charset=iso-8859-1", "Liste f=FCr alle",
                  "Content-Transfer-Encoding: quoted-printable")  # fmt: skip
    before = multipart("mixed", [PLAIN, footer])
    after = passed(before, "text-only")
    assert text_of(after) == "see http://evil.example/x\n\nListe für alle\n"


def test_what_was_left_out_is_told_if_asked() -> None:
    after = passed(multipart("mixed", [PLAIN, PDF]), "text-only", "--list")
    assert text_of(after).endswith("\n\n[a.pdf (application/pdf, 9 octets) was left out]\n")


def test_mail_without_text_says_what_it_held() -> None:
    after = passed(multipart("mixed", [PDF]), "text-only")
    assert text_of(after) == "[a.pdf (application/pdf, 9 octets) was left out]\n"


def test_an_attached_text_is_no_text_of_the_mail() -> None:
    log = part("text/plain", "log", 'Content-Disposition: attachment; filename="a.log"')
    assert text_of(passed(multipart("mixed", [PLAIN, log]), "text-only")) == (
        "see http://evil.example/x\n"
    )


def test_html_as_text() -> None:
    html = """<title>no</title><style>no</style><h1>Top</h1><p>One&nbsp;two
      <b>three</b><br>four</p><ul><li>a<li>b<ol><li>c</ol></ul>
      <blockquote>said<p>twice</blockquote><pre>x  y
 z</pre><table><tr><td>1<td>2<tr><td>3</table><hr><img alt=Logo src=x><script>no</script>
      <a href="https://e.example/">https://e.example</a> <a href="javascript:no">go</a>
      <p hidden>no</p>end"""
    assert html_to_text(html) == (
        "Top\n\nOne two three\nfour\n\n* a\n* b\n  1. c\n\n> said\n>\n> twice\n\nx  y\n z\n\n"
        "1 2\n3\n\n" + "-" * 40 + "\n\n[Logo] https://e.example go end\n"
    )


def test_a_text_that_cannot_be_read_leaves_the_mail_as_it_is() -> None:
    odd = part("text/html", "x", "Content-Transfer-Encoding: x-unknown")
    before = multipart("mixed", [PLAIN, odd])
    assert passed(before, "text-only") == before


def test_octets_of_no_known_charset_are_guessed() -> None:
    for octets in ("Gr\u00fc\u00dfe \u20ac".encode(), "Gr\u00fc\u00dfe \u20ac".encode("cp1252")):
        before = b"Content-Type: text/html; charset=x-none\n\n<p>" + octets
        assert text_of(passed(before, "text-only")) == "Gr\u00fc\u00dfe \u20ac\n"


def test_a_related_texts_root_is_its_first_part() -> None:
    inner = multipart("related", [HTML, PLAIN], boundary="inner")
    assert text_of(passed(multipart("mixed", [inner]), "text-only")).startswith("here")


def test_a_message_in_it_is_told_and_not_mixed_in() -> None:
    forwarded = b"Content-Type: message/rfc822\n\n" + mail("Subject: in", "", "inner text")
    after = passed(multipart("mixed", [PLAIN, forwarded]), "text-only", "--list")
    assert "inner text" not in text_of(after)
    assert "(message/rfc822, " in text_of(after)
