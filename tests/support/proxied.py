"""PROXY headers as a proxy writes them (HAProxy's proxy-protocol.txt)."""

import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def v1(source: str, port: int = 4242, to: str = "", to_port: int = 110) -> bytes:
    """A header of version 1 for a client's address."""
    is_v6 = ":" in source
    to = to or ("2001:db8::1" if is_v6 else "192.0.2.1")
    return f"PROXY TCP{6 if is_v6 else 4} {source} {to} {port} {to_port}\r\n".encode()


def v2(source: str, port: int = 4242, *tlvs: bytes, command: int = 1) -> bytes:
    """A header of version 2."""
    address = ipaddress.ip_address(source)
    to = ipaddress.ip_address("192.0.2.1" if address.version == 4 else "2001:db8::1")
    body = address.packed + to.packed + struct.pack("!HH", port, 110)
    return v2_of(0x11 if address.version == 4 else 0x21, body + b"".join(tlvs), command)


def v2_of(family: int, body: bytes, command: int = 1) -> bytes:
    """A header of version 2 with a body as it is."""
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(body)) + body


def local(body: bytes = b"") -> bytes:
    """What a proxy says that checks whether the server is alive."""
    return v2_of(0, body, command=0)


def tlv(kind: int, value: bytes) -> bytes:
    """One part behind the addresses."""
    return struct.pack("!BH", kind, len(value)) + value


def ssl(version: bytes = b"TLSv1.3", cipher: bytes = b"TLS_AES_128_GCM_SHA256") -> bytes:
    """What a proxy says that speaks TLS with the client; who gave no certificate."""
    return tlv(0x20, struct.pack("!BI", 1, 1) + tlv(0x21, version) + tlv(0x23, cipher))
