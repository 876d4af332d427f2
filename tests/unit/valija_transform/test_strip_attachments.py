"""strip-attachments: what is taken out, what stays, and what stands in its place."""

from __future__ import annotations

import pytest

from support.programs import HTML, PDF, PLAIN, mail, multipart, part, passed, read
from valija_transform.cli import size
from valija_transform.failures import WrongUsage

EXE = part("application/octet-stream", "MZ", 'Content-Disposition: attachment; filename="Run.EXE"')
LOGO = part("image/png", "iVBORw0K", "Content-Transfer-Encoding: base64", "Content-ID: <logo>")


def kinds(octets: bytes) -> list[str]:
    return [it.get_content_type() for it in read(octets).walk()]


@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_an_attachment_goes_and_all_else_keeps_its_octets(eol: str) -> None:
    parts = [it.replace(b"\n", eol.encode()) for it in (PLAIN, PDF, HTML)]
    before = multipart("mixed", parts, eol=eol)
    after = passed(before, "strip-attachments")
    assert after == multipart("mixed", [parts[0], parts[2]], eol=eol)


def test_a_text_tells_what_was_removed() -> None:
    after = passed(multipart("mixed", [PLAIN, PDF]), "strip-attachments", "--replace")
    assert kinds(after) == ["multipart/mixed", "text/plain", "text/plain"]
    told = list(read(after).walk())[2].get_content()
    assert told.strip() == "[a.pdf (application/pdf, 9 octets) was removed]"


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--type", "application/pdf"), ["text/plain", "application/octet-stream"]),
        (("--type", "APPLICATION/*"), ["text/plain"]),
        (("--name", "*.exe"), ["text/plain", "application/pdf"]),
        (("--name", "*.exe", "--type", "application/pdf"), ["text/plain"]),
        (("--min-size", "3"), ["text/plain", "application/octet-stream"]),
        (("--min-size", "1K"), ["text/plain", "application/pdf", "application/octet-stream"]),
        (("--type", "text/*"), ["text/plain", "application/pdf", "application/octet-stream"]),
    ],
)
def test_types_names_and_sizes_say_which(options: tuple[str, ...], left: list[str]) -> None:
    after = passed(multipart("mixed", [PLAIN, PDF, EXE]), "strip-attachments", *options)
    assert kinds(after)[1:] == left


@pytest.mark.parametrize(
    "named",
    [
        "Content-Disposition: attachment; filename*=UTF-8''%65vil.exe",
        "Content-Disposition: attachment; filename*0=ev; filename*1=il.exe",
        'Content-Disposition: attachment; filename="=?utf-8?b?ZXZpbC5leGU=?="',
        'Content-Disposition: attachment;\n filename="evil.exe"',
        "content-disposition: attachment; FILENAME = evil.exe",
    ],
)
def test_a_name_is_read_however_it_is_written(named: str) -> None:
    hidden = part("application/octet-stream", "x", named)
    before = multipart("mixed", [PLAIN, hidden])
    assert passed(before, "strip-attachments", "--name", "*.exe") == multipart("mixed", [PLAIN])


def test_the_name_of_the_type_counts_as_well_as_the_dispositions() -> None:
    two = part('image/png; name="x.exe"', "x", 'Content-Disposition: attachment; filename="x.png"')
    before = multipart("mixed", [PLAIN, two])
    assert passed(before, "strip-attachments", "--name", "*.exe") == multipart("mixed", [PLAIN])


def test_pictures_in_a_text_stay_unless_their_type_is_asked_for() -> None:
    before = multipart("related", [HTML, LOGO])
    assert passed(before, "strip-attachments") == before
    after = passed(before, "strip-attachments", "--type", "image/*")
    assert after == multipart("related", [HTML])


def test_an_alternative_is_never_replaced_by_a_text() -> None:
    invitation = part("text/calendar", "BEGIN:VCALENDAR", "Content-Disposition: attachment")
    before = multipart("alternative", [PLAIN, invitation])
    after = passed(before, "strip-attachments", "--replace")
    assert after == multipart("alternative", [PLAIN])


def test_a_multipart_is_never_left_without_parts() -> None:
    after = passed(multipart("mixed", [PDF, EXE]), "strip-attachments")
    assert kinds(after) == ["multipart/mixed", "text/plain"]
    assert not read(after).defects


def test_mail_that_is_nothing_but_an_attachment_becomes_a_text() -> None:
    before = mail(
        "Subject: scan",
        "Content-Type: application/pdf;",
        ' name="scan.pdf"',
        "X-Other: kept",
        "Content-Transfer-Encoding: base64",
        "",
        "JVBERi0xLjQK",
    )
    assert passed(before, "strip-attachments") == mail(
        "Subject: scan",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "Content-Transfer-Encoding: 7bit",
        "X-Other: kept",
        "",
        "[scan.pdf (application/pdf, 9 octets) was removed]",
    )


def test_attachments_of_a_message_in_it_go_as_well() -> None:
    inner = multipart("mixed", [PLAIN, PDF], boundary="inner")
    whole = multipart("mixed", [PLAIN, b"Content-Type: message/rfc822\n\n" + inner])
    less = multipart("mixed", [PLAIN], boundary="inner")
    assert passed(whole, "strip-attachments") == multipart(
        "mixed", [PLAIN, b"Content-Type: message/rfc822\n\n" + less]
    )


def test_an_attached_message_goes_as_a_whole() -> None:
    inner = multipart("mixed", [PLAIN, PDF], boundary="inner")
    attached = b"Content-Type: message/rfc822; name=a.eml\n\n" + inner
    before = multipart("mixed", [PLAIN, attached])
    assert passed(before, "strip-attachments") == multipart("mixed", [PLAIN])


def test_what_a_name_holds_stays_in_its_line() -> None:
    evil = "filename*=UTF-8''a%0D%0A%0D%0Aevil%E2%80%AEexe." + "x" * 300
    odd = part("application/x", "x", f"Content-Disposition: attachment; {evil}")
    after = passed(multipart("mixed", [PLAIN, odd]), "strip-attachments", "--replace")
    told = list(read(after).walk())[2].get_content()
    assert told.startswith("[a????evil?exe.xxx")
    assert len(told) < 300


def test_a_reports_data_and_a_body_of_another_text_stay() -> None:
    status = part("message/delivery-status", "Reporting-MTA: dns; a")
    before = multipart("report", [PLAIN, status, part("text/enriched", "x")])
    assert passed(before, "strip-attachments") == before


def test_sizes_are_read_in_powers_of_1024() -> None:
    assert [size(it) for it in ("0", "1500", "64K", "20m", "1GiB")] == [
        0, 1500, 65536, 20 * 1024**2, 1024**3,
    ]  # fmt: skip


def test_a_size_is_a_number() -> None:
    import argparse

    for wrong in ("", "K", "-1", "1T", "²", "9" * 13):
        with pytest.raises(argparse.ArgumentTypeError):
            size(wrong)
    assert WrongUsage.code == 64
