"""Parts are found where the email package finds them, and what is not clear is not touched."""

from __future__ import annotations

import email

import pytest

import scale
from support.mailbuilder import for_clients, varied
from support.programs import ALL, HTML, PDF, PLAIN, mail, multipart, part, passed
from valija_transform.failures import Unclear
from valija_transform.fields import Field, read_content_type, read_parameters
from valija_transform.structure import MAX_DEPTH, MAX_PARTS, Part, read_structure


def shape(part: Part) -> tuple[str, list]:
    return part.content_type, [shape(it) for it in part.children]


def shape_of(message: email.message.Message) -> tuple[str, list]:
    inner = message.get_payload() if message.is_multipart() else []
    return message.get_content_type(), [shape_of(it) for it in inner]


NESTED = multipart(
    "mixed",
    [
        multipart("alternative", [PLAIN, HTML], boundary="B2"),
        PDF,
        b"Content-Type: message/rfc822\n\n" + multipart("digest", [PLAIN], boundary="inner"),
    ],
)
UNCLEAR = {
    "no field": b"Subject: x\nno field\nContent-Type: text/html\n\n<a href=http://x>y</a>",
    "a space before the colon": b"Subject : x\n\nhttp://a.example",
    "CR alone": b"Subject: x\rContent-Type: text/html\n\nhttp://a.example",
    "NUL": b"Subject: \0\n\nhttp://a.example",
    "no boundary": b"Content-Type: multipart/mixed\n\n--x\n\nhttp://a.example\n--x--\n",
    "an empty boundary": b'Content-Type: multipart/mixed; boundary=""\n\n--\n\nhttp://a.example',
    "another boundary": b"Content-Type: multipart/mixed; boundary=a\n\n--x\n\nhttp://a.example\n",
    "two types": b"Content-Type: text/plain\nContent-Type: text/html\n\nhttp://a.example",
    "two encodings": b"Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 8bit\n\naHR0",
    "an encoded multipart": multipart("mixed", [PLAIN]).replace(
        b"MIME-Version", b"Content-Transfer-Encoding: base64\nMIME-Version"
    ),
    "an encoded message": b"Content-Type: message/rfc822\n"
    b"Content-Transfer-Encoding: base64\n\naHR0cDovL2E=",
    "a long type": b"Content-Type: text/plain;" + b' ;"' * 9000 + b"\n\nhttp://a.example",
    "a long header": (b"A: " + b"b" * 96 + b"\n") * 11_000 + b"\nhttp://a.example",
}


@pytest.mark.parametrize("octets", [NESTED, NESTED.replace(b"\n", b"\r\n")])
def test_parts_are_those_of_the_email_package(octets: bytes) -> None:
    assert shape(read_structure(octets)) == shape_of(email.message_from_bytes(octets))


def test_spans_are_those_of_the_octets() -> None:
    whole = read_structure(multipart("mixed", [PLAIN, PDF]))
    first, second = whole.children
    assert whole.octets[first.start : first.end] == PLAIN
    assert whole.octets[second.start : second.end] == PDF
    assert whole.octets[first.outer : first.outer_end] == b"--B\n" + PLAIN + b"\n"
    assert second.names == ["a.pdf", "a.pdf"]


def test_a_boundary_that_begins_as_another_is_another() -> None:
    inner = multipart("mixed", [PLAIN], boundary="B-inner")
    whole = read_structure(multipart("mixed", [inner, PLAIN]))
    assert [len(it.children) for it in whole.children] == [1, 0]


@pytest.mark.parametrize("name", UNCLEAR)
@pytest.mark.parametrize("options", ALL)
def test_broken_mail_keeps_its_octets(name: str, options: tuple[str, ...]) -> None:
    octets = UNCLEAR[name]
    assert passed(octets, *options) == octets
    with pytest.raises(Unclear):
        passed(octets, *options, strict=True)


@pytest.mark.parametrize("name", UNCLEAR)
def test_a_broken_part_keeps_its_octets_and_others_are_changed(name: str) -> None:
    broken = UNCLEAR[name].removesuffix(b"\n")
    before = multipart("mixed", [PLAIN, broken], boundary="outer")
    after = passed(before, "defang")
    assert after == multipart(
        "mixed", [PLAIN.replace(b"http://evil.", b"hxxp://evil[.]"), broken], boundary="outer"
    )


def test_a_multipart_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    whole = multipart("mixed", [PLAIN, PLAIN])
    end = whole.index(b"--B--")
    for cut in range(end + 4, end - 2, -1):
        before = whole[:cut]
        after = passed(before, "defang")
        assert after == before.replace(b"http://evil.", b"hxxp://evil[.]")
        with pytest.raises(Unclear):
            passed(before, "defang", strict=True)


@pytest.mark.parametrize(
    "octets",
    [
        multipart("mixed", [b"\nx"] * (MAX_PARTS + 1)),
        mail("Content-Type: multipart/mixed; boundary=B", "") + b"--B\n\n" * 1_000_000,
        b"A: b\n" * 300_000 + b"\nhttp://a.example",
        b"Content-Type: message/rfc822\n\n" * (MAX_DEPTH + 2),
        b"".join(
            b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (it, it) for it in range(2000)
        ),
    ],
)
def test_bombs_of_fields_and_of_parts_pass_as_they_are(octets: bytes) -> None:
    assert passed(octets, "strip-attachments") == octets
    with pytest.raises(Unclear):
        passed(octets, "strip-attachments", strict=True)


@pytest.mark.parametrize(
    "value",
    [
        "text/plain",
        "TEXT/Plain; Charset=UTF-8",
        'multipart/mixed; boundary="a b;c"; x=y',
        "multipart/mixed; boundary=\"=_a?b/c\"; type='text/html'",
        "text/plain;",
        "text/plain; charset = utf-8",
        'text/plain; name="a\\"b"',
        "text/plain; name*=utf-8''%e2%82%ac",
        "text/plain; name*0=a; name*1=b",
        "text/plain; a=1; a=2",
        "text/plain (comment); charset=utf-8",
        "text; charset=utf-8",
        "text/plain/x; charset=utf-8",
        "",
        ";",
        "/",
    ],
)
def test_plain_values_are_read_as_the_email_package_does(value: str) -> None:
    message = email.message.Message()
    message["Content-Type"] = value
    read = read_content_type(Field(b"Content-Type", 0, 0, value.encode()), "text/plain")
    assert read.value == message.get_content_type()
    for name in ("charset", "boundary", "name", "x", "type", "a"):
        told = message.get_param(name, "")
        known = told if isinstance(told, str) else email.utils.collapse_rfc2231_value(told)
        assert read.parameters.get(name, "") == known


def test_most_values_need_no_email_package() -> None:
    assert read_parameters('multipart/mixed; boundary="----=_Part_1.2"') is not None
    assert read_parameters("text/html; charset=UTF-8; format=flowed; delsp=yes") is not None
    assert read_parameters('attachment; filename="a b.pdf"; size=12') is not None


@pytest.mark.parametrize("options", ALL)
def test_varied_mail_stays_mail(options: tuple[str, ...]) -> None:
    for octets in (*varied(scale.PASSED_MESSAGES), *for_clients().values()):
        after = passed(octets, *options)
        had = {type(it) for it in email.message_from_bytes(octets).defects}
        has = {type(it) for it in email.message_from_bytes(after).defects}
        assert has <= had


def test_an_empty_part_and_a_part_that_is_all_header_can_be_written() -> None:
    before = multipart("mixed", [b"", part("text/plain", "")])
    after = passed(before, "banner", "--text", "Hi")
    assert after == multipart("mixed", [b"\nHi\n\n", part("text/plain", "")])
