"""What other servers' files of unique ids say, and what is not one of them."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pop3_service.domain.errors import InvalidArgument
from pop3_service.maildir.old_ids import IdSource, read_old_ids
from pop3_service.maildir.uidl_format import NAMED, OldMessage, UidlFormat

MESSAGE = OldMessage(uid=27, uidvalidity=1234567890, filename="17.M1.Host", guid="AbC")


@pytest.mark.parametrize(
    ("text", "uidl"),
    [
        ("%08Xu%08Xv", "0000001b499602d2"),
        ("%08Xv%08Xu", "499602d20000001b"),
        ("%Xu%Xv", "1b499602d2"),
        ("%u-%XUv", "27-499602D2"),
        ("%u", "27"),
        ("%v.%u", "1234567890.27"),
        ("%v-%u", "1234567890-27"),
        ("UID%u-%v", "UID27-1234567890"),
        ("%05u", "00027"),
        ("%u-%02v", "27-1234567890"),
        ("%u-%4v", "27-1234"),
        ("%f", "17.M1.Host"),
        ("%Lf", "17.m1.host"),
        ("%g", "AbC"),
        ("%Ug", "ABC"),
        ("%Mf", hashlib.md5(b"17.M1.Host").hexdigest()),
        ("%u%%", "27%"),
        ("%{uid}", "27"),
        ("%08X{uid}", "0000001b"),
        ("%{uidvalidity}.%{guid}.%{filename}", "1234567890.AbC.17.M1.Host"),
        ("%{uid | hex(8)}%{uidvalidity | hex(8)}", "0000001b499602d2"),
        ("%u-%{uidvalidity|hex|upper}", "27-499602D2"),
    ],
)
def test_a_format_of_dovecot_gives_dovecots_id(text: str, uidl: str) -> None:
    assert UidlFormat(text).fill(MESSAGE) == uidl


@pytest.mark.parametrize(
    ("name", "uidl"),
    [
        ("dovecot", "0000001b499602d2"),
        ("cyrus", "1234567890.27"),
        ("cyrus-old", "27"),
        ("courier-2", "UID27-1234567890"),
        ("courier-1", "UID27"),
        ("uw", "499602d20000001b"),
        ("tpop3d", hashlib.md5(b"17.M1.Host").hexdigest()),
    ],
)
def test_a_format_has_a_name(name: str, uidl: str) -> None:
    assert UidlFormat(name).fill(MESSAGE) == uidl
    assert name in NAMED


@pytest.mark.parametrize(
    "text",
    [
        "%", "%q", "%m", "%{md5}", "x", "%v", "%%", "%{uid", "%{}", "%{nothing}", "%Xf", "%MXu",
        "%XXu", "%UXu", "%{uid|}", "%{uid|hex|hex}", "%{uid | nothing}", "%{uid | hex(}", "%Xu%",
        "%99u", "%0999u", "%{guid | hex}", "%-5u", "%u" * 101,
    ],
)  # fmt: skip
def test_a_format_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        UidlFormat(text)


@given(st.text(st.sampled_from("%0123456789LUXMuvfgm{}()|hex lowerid-"), max_size=30))
def test_any_format_is_refused_or_can_be_filled(text: str) -> None:
    try:
        made = UidlFormat(text)
    except InvalidArgument:
        return
    assert isinstance(made.fill(MESSAGE), str)


DOVECOT_3 = b"""3 V1234567890 N30 G0a1b2c3d4e5f
1 :17.a
3 W12 S10 :17.b:2,S
5 P :17.c:2,
7 Pown-id O3 :17.d
27 Gguid-of-e W1 :17.e,S=10
"""


def test_dovecots_list_of_version_3_is_read() -> None:
    found = read_old_ids(IdSource.DOVECOT, DOVECOT_3, "%v.%u")
    assert found.ids == {
        "17.a": "1234567890.1",
        "17.b": "1234567890.3",
        "17.c": "17.c",  # an empty saved id is the name
        "17.d": "own-id",
        "17.e,S=10": "1234567890.27",
    }
    assert found.broken_lines == 0


def test_the_format_is_dovecots_own_where_none_is_given() -> None:
    assert read_old_ids(IdSource.DOVECOT, DOVECOT_3).ids["17.e,S=10"] == "0000001b499602d2"


def test_a_guid_is_the_lists_or_the_name() -> None:
    found = read_old_ids(IdSource.DOVECOT, DOVECOT_3, "%g")
    assert found.ids["17.a"] == "17.a"
    assert found.ids["17.b"] == "17.b"
    assert found.ids["17.e,S=10"] == "guid-of-e"


def test_dovecots_list_of_version_1_is_read() -> None:
    found = read_old_ids(IdSource.DOVECOT, b"1 99 4\n1 17.a\n3 17.b c:2,RS\n", "%v.%u.%f")
    assert found.ids == {"17.a": "99.1.17.a", "17.b c": "99.3.17.b c"}


@pytest.mark.parametrize(
    "line",
    [
        b"x :17.z", b":17.z", b"1", b"1 :", b"1 17.z", b" :17.z", b"-1 :17.z", b"\0",
        b"1" * 30 + b" :z",
    ],
)  # fmt: skip
def test_a_line_that_says_nothing_is_counted_and_the_others_are_read(line: bytes) -> None:
    found = read_old_ids(IdSource.DOVECOT, b"3 V1 N9\n1 :17.a\n" + line + b"\n2 :17.b\n", "%u")
    assert (found.ids, found.broken_lines) == ({"17.a": "1", "17.b": "2"}, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n\n", b"3", b"3 \n", b"3 N5\n", b"3 Vx N5\n", b"2 V1 N1\n1 :a\n", b"1\n", 
        b"1 x 3\n", b"4 V1\n", b"3 V" + b"9" * 30 + b"\n", b"\0\xff\n", b"/2 3 4\nname 12 1:4\n",
    ],
)  # fmt: skip
def test_a_file_that_is_no_list_of_dovecots_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="dovecot-uidlist"):
        read_old_ids(IdSource.DOVECOT, data)


@pytest.mark.parametrize(
    ("header", "entry", "uidl"),
    [
        (b"/3 5 99", b"17.a 12 1:99:0", "UID1-99"),
        (b"/3 5 99", b"17.a:2,S 12 4:98:1", "UID4-98"),
        (b"/2 5 99", b"17.a 12 1:99", "UID1-99"),
        (b"/2 5", b"17.a 12 1:0", "UID1"),
        (b"/1 5 99", b"17.a 12 3", "UID3"),
        (b"/3 5 99", b"17.a 12 0:0:0", "17.a"),
    ],
)
def test_couriers_list_is_read(header: bytes, entry: bytes, uidl: str) -> None:
    found = read_old_ids(IdSource.COURIER, header + b"\n" + entry + b"\n")
    assert (found.ids, found.broken_lines) == ({"17.a": uidl}, 0)


def test_couriers_oldest_list_gives_names_with_escapes() -> None:
    found = read_old_ids(IdSource.COURIER, b"17.a:2,S 12\n17.b+c'\" \xff 9\n")
    assert [*found.ids.values()] == ["17.a", "17.b+2Bc+27+22+20+FF"]


@pytest.mark.parametrize("line", [b"17.z", b"17.z 12", b"17.z x 1:2", b"17.z 12 x:2", b" 12 1:2"])
def test_a_line_of_couriers_that_says_nothing_is_counted(line: bytes) -> None:
    found = read_old_ids(IdSource.COURIER, b"/3 5 9\n17.a b 12 1:9:0\n" + line + b"\n")
    assert (found.ids, found.broken_lines) == ({"17.a b": "UID1-9"}, 1)


@pytest.mark.parametrize("data", [b"/\n", b"/4 1 2\n", b"/x\n", b"/3\n", b"/3 1 2 3\n"])
def test_a_file_that_is_no_list_of_couriers_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="courierpop3dsizelist"):
        read_old_ids(IdSource.COURIER, data)


def test_a_format_is_for_dovecot_alone() -> None:
    with pytest.raises(InvalidArgument):
        read_old_ids(IdSource.COURIER, b"", "%u")


@given(st.sampled_from(IdSource), st.binary(max_size=200))
def test_any_octets_are_read_or_refused(source: IdSource, data: bytes) -> None:
    for start in (b"", b"3 V1 N2\n", b"1 1 2\n", b"/3 1 2\n"):
        try:
            found = read_old_ids(source, start + data)
        except InvalidArgument:
            continue
        assert all(isinstance(uidl, str) for uidl in found.ids.values())
