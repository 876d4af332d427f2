"""TLS contexts for POP3, built from certificates held in memory."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from lineproto import tls
from pop3_service.control.plane import CertificatePair
from pop3_service.domain.errors import CertificateInvalid

ALPN = ("pop3",)


def server_context(pairs: Sequence[CertificatePair]) -> ssl.SSLContext:
    """Give the context to begin handshakes with. The first pair is the default.

    Raises:
        CertificateInvalid: a chain or a key cannot be used, or the two do not belong together.
    """
    try:
        return tls.server_context(pairs, ALPN)
    except tls.BadCertificate as error:
        raise CertificateInvalid(str(error)) from None
