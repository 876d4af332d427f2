"""TLS as clients speak it."""

from __future__ import annotations

import ssl

from support.certificates import authority, pem


def client_context(version: ssl.TLSVersion | None = None, *alpn: str) -> ssl.SSLContext:
    """A client that trusts the tests' authority, whatever name the certificate has."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(cadata=pem(authority().root.certificate).decode())
    if version is not None:
        made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


class TlsEnd:
    """A client's end of TLS in memory: octets in clear on one side, records on the other."""

    def __init__(self, context: ssl.SSLContext, name: str | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self.established = False

    def handshake(self, records: bytes = b"") -> bytes:
        """Go on with what the server said; give what is to be sent."""
        self._incoming.write(records)
        try:
            self.tls.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def encrypt(self, octets: bytes) -> bytes:
        """Records of these octets."""
        at = 0
        while at < len(octets):
            at += self.tls.write(octets[at : at + 16384])
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """A close_notify."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:  # the server's is not there yet
            pass
        return self._outgoing.read()

    def decrypt(self, records: bytes) -> bytes | None:
        """Octets of these records, as many as there are; None at the server's close_notify."""
        self._incoming.write(records)
        octets = b""
        try:
            while piece := self.tls.read(1 << 16):
                octets += piece
        except ssl.SSLWantReadError:
            return octets
        except ssl.SSLZeroReturnError:  # both have said goodbye
            pass
        return octets or None
