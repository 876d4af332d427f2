"""PROXY headers, versions 1 and 2: read, or refused with a reason (attack 56)."""

import pytest

from lineproto.proxy import BadHeader, HeaderReader, ProxyHeader, crc32c
from support.proxied import SIGNATURE, local, ssl, tlv, v1, v2, v2_of


def read(octets: bytes) -> ProxyHeader:
    """Read a whole header; nothing of what follows it is taken."""
    reader = HeaderReader()
    assert reader.feed(octets + b"CAPA\r\n") == len(octets)
    assert reader.header is not None
    return reader.header


def test_a_header_of_version_1_tells_the_clients_address() -> None:
    assert read(v1("203.0.113.7", 56324)).source == ("203.0.113.7", 56324)
    assert read(v1("2001:db8::7", 1)).source == ("2001:db8::7", 1)
    longest = b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n"
    assert len(longest) == 107
    assert read(longest) == read(b"PROXY UNKNOWN\r\n") == ProxyHeader()


def test_a_header_of_version_2_tells_the_clients_address() -> None:
    assert read(v2("203.0.113.7", 56324)).source == ("203.0.113.7", 56324)
    assert read(v2("2001:db8::7", 65535)).source == ("2001:db8::7", 65535)


@pytest.mark.parametrize(
    "octets",
    [local(), local(b"anything at all"), v2_of(0, b""), v2_of(0x31, bytes(216))],
    ids=["LOCAL", "LOCAL with a body", "no family", "Unix"],
)
def test_where_there_is_no_clients_address_the_proxy_speaks_for_itself(octets: bytes) -> None:
    assert read(octets) == ProxyHeader()


@pytest.mark.parametrize(
    "octets",
    [
        v1("::ffff:192.0.2.9"),
        v1("::ffff:c000:209"),
        v2("::ffff:192.0.2.9"),
    ],
)
def test_attack_58_an_address_mapped_into_ipv6_is_the_ipv4_address(octets: bytes) -> None:
    assert read(octets).source == ("192.0.2.9", 4242)


def test_what_a_proxy_says_of_tls_is_kept() -> None:
    assert read(v2("192.0.2.9", 1, ssl())).tls == "TLSv1.3 TLS_AES_128_GCM_SHA256"
    assert read(v2("192.0.2.9", 1, tlv(0x20, b"\x01" + bytes(4)))).tls == "TLS"
    in_clear = tlv(0x20, b"\x00" + bytes(4) + tlv(0x21, b"TLSv1.3"))
    assert read(v2("192.0.2.9", 1, in_clear)).tls == ""


def test_parts_that_nobody_knows_are_passed_over_up_to_the_largest_header() -> None:
    rest = 65535 - 12 - 3
    assert read(v2("192.0.2.9", 7, tlv(0xE0, bytes(rest)))).source == ("192.0.2.9", 7)


def test_a_checksum_is_verified() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    bare = v2("192.0.2.9", 7, tlv(3, bytes(4)), tlv(4, b"padding"))
    summed = v2("192.0.2.9", 7, tlv(3, crc32c(bare).to_bytes(4, "big")), tlv(4, b"padding"))
    assert read(summed).source == ("192.0.2.9", 7)
    for octets in (bare, v2("192.0.2.9", 7, tlv(3, b"xx")), summed[:-1] + b"G"):
        with pytest.raises(BadHeader, match="checksum"):
            read(octets)


def test_a_checksum_is_computed_once_however_many_a_header_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summed: list[int] = []

    def right(octets: bytes) -> int:
        summed.append(len(octets))
        return 0

    monkeypatch.setattr("lineproto.proxy.crc32c", right)
    with pytest.raises(BadHeader, match="more than one checksum"):
        read(v2("192.0.2.9", 7, *[tlv(3, bytes(4))] * 3))
    assert len(summed) == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"USER ana\r\n",
        b"QUIT\r\n",
        b"\r\n",
        b"\x16\x03\x01\x02\x00",  # TLS
        b"PROXY\r\n",
        b"PROXY \r\n",
        b"proxy UNKNOWN\r\n",
        b"PROXY UNKNOWN\n",
        b"PROXY UDP4 192.0.2.9 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 1\r\n",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 1 2 3\r\n",
        b"PROXY TCP4  192.0.2.9 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 1 2 \r\n",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 01 2\r\n",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 1 65536\r\n",
        b"PROXY TCP4 192.0.2.9 192.0.2.1 -1 2\r\n",
        b"PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 192.0.02.9 192.0.2.1 1 2\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.9 192.0.2.1 1 2\r\n",
        b"PROXY TCP6 2001:db8::7 192.0.2.1 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 2001:db8::1 1 2\r\n",
        b"PROXY TCP4 mail.example.org 192.0.2.1 1 2\r\n",
        "PROXY TCP4 192.0.2.９ 192.0.2.1 1 2\r\n".encode(),
        b"PROXY UNKNOWN \xff\r\n",
        b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",  # 108 octets
        b"PROXY TCP4 " + b"1" * 200,
        SIGNATURE[:11] + b"X",
        SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),  # version 1 in version 2's clothes
        SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12),  # an unknown command
        v2_of(0x11, bytes(11)),
        v2_of(0x21, bytes(35)),
        v2_of(0x31, bytes(215)),
        v2_of(0x12, bytes(12)),  # datagrams
        v2_of(0x10, bytes(12)),
        v2_of(0x13, bytes(12)),
        v2_of(0x41, bytes(12)),
        v2_of(0x01, b""),
        v2("192.0.2.9", 1, b"\x04"),
        v2("192.0.2.9", 1, b"\x04\x00\x02\x00"),
        v2("192.0.2.9", 1, tlv(0x20, b"\x01")),
        v2("192.0.2.9", 1, tlv(0x20, b"\x01" + bytes(4) + b"\x21\x00\x09")),
    ],
    ids=lambda octets: repr(octets[:40]),
)
def test_attack_56_what_is_no_header_is_refused(octets: bytes) -> None:
    with pytest.raises(BadHeader) as error:
        read(octets)
    assert str(error.value).isascii()


def test_attack_56_a_line_of_version_1_is_never_longer_than_107_octets() -> None:
    reader = HeaderReader()
    begun = b"PROXY UNKNOWN " + b"f" * 92
    assert reader.feed(begun) == 106
    with pytest.raises(BadHeader, match="longer than 107"):
        reader.feed(b"f")


def test_attack_56_what_is_no_header_is_refused_at_its_first_octet() -> None:
    with pytest.raises(BadHeader):
        HeaderReader().feed(b"U")
