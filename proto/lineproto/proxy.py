"""The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): who is behind a proxy.

A header comes before anything else of a connection. ``HeaderReader`` takes its octets as they
come, never one that is behind it, and refuses what is none as soon as that is certain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from lineproto.networks import plain_address

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
"""What a header of version 2 begins with (section 2.2)."""
V1_LIMIT = 107
"""Octets of a header of version 1 at most, with its CRLF (section 2.1)."""
V2_FIXED = 16
"""Octets of version 2 before the addresses; the last two say how many follow, at most 65,535."""

_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_LOCAL, _PROXY = 0x20, 0x21
_STREAM = 1
_ADDRESS_OCTETS = {0: 0, 1: 12, 2: 36, 3: 216}
"""By address family: unspecified, IPv4, IPv6, Unix."""

PP2_TYPE_CRC32C = 0x03
PP2_TYPE_SSL = 0x20
PP2_CLIENT_SSL = 0x01
PP2_SUBTYPE_SSL_VERSION = 0x21
PP2_SUBTYPE_SSL_CIPHER = 0x23


class BadHeader(Exception):
    """It is no PROXY header; the text says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header says.

    ``source`` is the client's address and port; None where the proxy speaks for itself (LOCAL,
    UNKNOWN) or the client has no such address. ``tls`` is the version and cipher of the TLS that
    the client speaks with the proxy; empty if it speaks none, or the proxy does not say.
    """

    source: tuple[str, int] | None = None
    tls: str = ""


class HeaderReader:
    """Reads one header. ``header`` is there once it is whole."""

    __slots__ = ("_octets", "header")

    def __init__(self) -> None:
        self.header: ProxyHeader | None = None
        self._octets = bytearray()

    @property
    def begun(self) -> bool:
        """Whether any of it has come."""
        return bool(self._octets)

    def feed(self, octets: bytes) -> int:
        """Take what is the header's of these octets; give how many that are.

        Raises:
            BadHeader: it is none.
        """
        taken = 0
        while self.header is None and taken < len(octets):
            piece = octets[taken : taken + self._wanted()]
            end = piece.find(b"\n") + 1 if self._is_v1() else 0
            piece = piece[: end or len(piece)]
            self._octets += piece
            taken += len(piece)
            self._look()
        return taken

    def _is_v1(self) -> bool:
        return self._octets.startswith(b"P")

    def _wanted(self) -> int:
        """Octets that may be taken without taking one behind the header."""
        have = len(self._octets)
        if not have:
            return 1  # it tells the version
        if self._is_v1():
            return V1_LIMIT - have
        if have < V2_FIXED:
            return V2_FIXED - have
        return self._v2_length() - have

    def _v2_length(self) -> int:
        return V2_FIXED + int.from_bytes(self._octets[14:16], "big")

    def _look(self) -> None:
        octets = self._octets
        if self._is_v1():
            if not b"PROXY ".startswith(octets[:6]):
                raise BadHeader("there is no PROXY header")
            if octets.endswith(b"\n"):
                self.header = read_v1(bytes(octets))
            elif len(octets) >= V1_LIMIT:
                raise BadHeader(f"its line is longer than {V1_LIMIT} octets")
            return
        if not SIGNATURE.startswith(octets[: len(SIGNATURE)]):
            raise BadHeader("there is no PROXY header")
        if len(octets) > len(SIGNATURE) and octets[12] not in (_LOCAL, _PROXY):
            raise BadHeader("its version or command is unknown")
        if len(octets) >= V2_FIXED and len(octets) == self._v2_length():
            self.header = read_v2(bytes(octets))


def read_v1(line: bytes) -> ProxyHeader:
    """Read a whole header of version 1, its CRLF included.

    Raises:
        BadHeader: it is none.
    """
    if not line.endswith(b"\r\n") or not line.isascii():
        raise BadHeader("its line does not end with CRLF, or is not ASCII")
    words = line[:-2].decode("ascii").split(" ")
    if words[0] != "PROXY" or len(words) < 2:
        raise BadHeader("it is no PROXY header")
    if words[1] == "UNKNOWN":  # what follows is to be ignored
        return ProxyHeader()
    kinds = {"TCP4": IPv4Address, "TCP6": IPv6Address}
    if words[1] not in kinds or len(words) != 6:
        raise BadHeader("its protocol is unknown, or it has not two addresses and two ports")
    try:
        for text in words[2:4]:
            kinds[words[1]](text)
        host, _ = [str(plain_address(text)) for text in words[2:4]]
    except ValueError:
        raise BadHeader("one of its addresses is none") from None
    if not all(_PORT.fullmatch(text) and int(text) <= 65535 for text in words[4:]):
        raise BadHeader("one of its ports is none")
    return ProxyHeader((host, int(words[4])))


def read_v2(octets: bytes) -> ProxyHeader:
    """Read a whole header of version 2.

    Raises:
        BadHeader: it is none, or its checksum is wrong.
    """
    command, (family, protocol) = octets[12], divmod(octets[13], 16)
    if command == _LOCAL:  # whatever it holds, it is about the proxy itself
        return ProxyHeader()
    size = _ADDRESS_OCTETS.get(family)
    if size is None or protocol > 2 or (family == 0) != (protocol == 0):
        raise BadHeader("its address family or protocol is unknown")
    addresses = octets[V2_FIXED : V2_FIXED + size]
    if len(addresses) != size:
        raise BadHeader("it is too short for its addresses")
    if family and protocol != _STREAM:
        raise BadHeader("it is not about a stream")
    tls = _read_tlvs(octets, V2_FIXED + size)
    source = None
    if family == 1:
        source = str(IPv4Address(addresses[:4])), int.from_bytes(addresses[8:10], "big")
    elif family == 2:
        host = str(plain_address(str(IPv6Address(addresses[:16]))))
        source = host, int.from_bytes(addresses[32:34], "big")
    return ProxyHeader(source, tls)


def _read_tlvs(octets: bytes, start: int) -> str:
    """Go through what follows the addresses; give what is said of TLS.

    Raises:
        BadHeader: one of them goes beyond the end, or the checksum is wrong or there twice.
    """
    tls = ""
    summed = False
    for kind, at, value in _tlvs(octets, start):
        if kind == PP2_TYPE_CRC32C:
            if summed:  # 9,000 of them in the longest header would take a minute
                raise BadHeader("it has more than one checksum")
            summed = True
            whole = octets[:at] + bytes(len(value)) + octets[at + len(value) :]
            if len(value) != 4 or int.from_bytes(value, "big") != crc32c(whole):
                raise BadHeader("its checksum is wrong")
        elif kind == PP2_TYPE_SSL:
            tls = _tls_of(value)
    return tls


def _tls_of(value: bytes) -> str:
    """Give the TLS that a client speaks with the proxy; empty if it speaks none.

    The ``verify`` field is left alone: it is about a client's certificate, and few have one.
    """
    if len(value) < 5:
        raise BadHeader("one of its parts is too short")
    if not value[0] & PP2_CLIENT_SSL:
        return ""
    found = {kind: text for kind, _, text in _tlvs(value, 5)}
    names = (found.get(kind, b"") for kind in (PP2_SUBTYPE_SSL_VERSION, PP2_SUBTYPE_SSL_CIPHER))
    words = [name[:64].decode("ascii", "replace") for name in names if name]
    return " ".join(words) or "TLS"


def _tlvs(octets: bytes, start: int) -> list[tuple[int, int, bytes]]:
    """Give each type, where its value begins, and its value.

    Raises:
        BadHeader: one of them goes beyond the end.
    """
    found = []
    while start < len(octets):
        if start + 3 > len(octets):
            raise BadHeader("one of its parts goes beyond its end")
        kind, length = octets[start], int.from_bytes(octets[start + 1 : start + 3], "big")
        start += 3
        if start + length > len(octets):
            raise BadHeader("one of its parts goes beyond its end")
        found.append((kind, start, octets[start : start + length]))
        start += length
    return found


def crc32c(octets: bytes) -> int:
    """Give the CRC-32C (RFC 9260 appendix A) of octets."""
    crc = 0xFFFFFFFF
    for octet in octets:
        crc = _CRC32C[(crc ^ octet) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc32c_step(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_CRC32C = tuple(map(_crc32c_step, range(256)))
