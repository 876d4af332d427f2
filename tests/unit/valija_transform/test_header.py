"""header: fields are added, set, removed and renamed, and no option can add a second one."""

from __future__ import annotations

import pytest

from support.programs import mail, passed, read
from valija_transform.failures import WrongUsage

MAIL = mail(
    "Received: by a",
    "Subject:  odd   spacing",
    "\tand folding",
    "X-One: 1",
    "x-one: 2",
    "Content-Type: text/plain",
    "",
    "body",
)


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        (("--add", "X-New: 1"), b"plain\n", b"plain\nX-New: 1\n"),
        (("--set", "X-One: 3"), b"X-One: 1\nx-one: 2\n", b"X-One: 3\n"),
        (("--set", "X-New: 3"), b"plain\n", b"plain\nX-New: 3\n"),
        (("--remove", "x-one"), b"X-One: 1\nx-one: 2\n", b""),
        (("--remove", "x-*"), b"X-One: 1\nx-one: 2\n", b""),
        (("--rename", "SUBJECT", "X-Subject"), b"Subject:", b"X-Subject:"),
        (("--remove", "X-None"), b"", b""),
        (("--rename", "X-One", "X-Two", "--remove", "X-Two"), b"X-One: 1\nx-one: 2\n", b""),
        (("--add", "X-One: 3", "--set", "X-One: 4"), b"X-One: 1\nx-one: 2\n", b"X-One: 4\n"),
        (("--remove", "X-One", "--add", "X: 5"), b"X-One: 1\nx-one: 2\nContent-Type: text/plain\n",
         b"Content-Type: text/plain\nX: 5\n"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
def test_acts_change_what_they_name(
    options: tuple[str, ...], before: bytes, after: bytes, eol: bytes
) -> None:
    told = passed(MAIL.replace(b"\n", eol), "header", *options)
    assert told == MAIL.replace(before, after, 1).replace(b"\n", eol)


def test_how_the_body_is_read_cannot_be_changed() -> None:
    assert passed(MAIL, "header", "--remove", "*") == mail("Content-Type: text/plain", "", "body")
    for options in (
        ("--set", "Content-Type: text/html"),
        ("--remove", "mime-version"),
        ("--rename", "X-One", "Content-Transfer-Encoding"),
    ):
        with pytest.raises(WrongUsage):
            passed(MAIL, "header", *options)


@pytest.mark.parametrize(
    "options",
    [
        ("--add", "X: a\nY: b"),
        ("--add", "X: a\r\nY: b"),
        ("--set", "X: a\rY: b"),
        ("--set", "X: a\u2028b"),
        ("--add", "X\n: a"),
        ("--rename", "X-One", "Y: b\nZ"),
        ("--remove", "X\0"),
        ("--add", "no colon"),
        ("--add", "two words: x"),
        ("--add", ": x"),
        ("--add", "ü: x"),
        (),
    ],
)
def test_what_is_no_field_is_refused(options: tuple[str, ...]) -> None:
    with pytest.raises(WrongUsage):
        passed(MAIL, "header", *options)


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "Grüße aus Köln",
        "ü" * 300,
        "word " * 60 + "end",
        "日本語 " * 40 + "end",
        "two  spaces, ünï  cödé  too",
        "x" * 2000,
        "😀" * 50,
        "",
    ],
)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_values_come_back_as_they_were_whatever_they_hold(value: str, eol: str) -> None:
    after = passed(mail("A: b", "", "x", eol=eol), "header", "--set", f"Subject: {value}")
    head = after.partition(eol.encode() * 2)[0]
    assert head.isascii()
    assert all(len(line) <= 78 for line in head.decode().split(eol))
    assert all(line.strip() for line in head.decode().split(eol))
    assert read(after)["Subject"] == value.strip()


def test_names_of_addresses_are_encoded_and_addresses_not() -> None:
    after = passed(
        b"\n", "header", "--set", 'From: Jörg Doe <jo@example.org>, "A, B" <c@d.example>'
    )
    assert [(it.display_name, it.addr_spec) for it in read(after)["From"].addresses] == [
        ("Jörg Doe", "jo@example.org"),
        ("A, B", "c@d.example"),
    ]


def test_a_header_without_an_end_is_added_to() -> None:
    assert passed(b"Subject: x", "header", "--add", "A: b") == b"Subject: x\nA: b"
    assert passed(b"", "header", "--add", "A: b") == b"A: b\n"
    assert passed(b"\nbody", "header", "--add", "A: b") == b"A: b\n\nbody"
    assert passed(b"From x\n\nbody", "header", "--add", "A: b") == b"From x\nA: b\n\nbody"
