"""TLS on the client's side: whom to trust, and what to show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from lineproto.tls import BadCertificate, PlainPair, server_context
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason

MAX_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Files in PEM, read when a channel is opened.

    ``authorities`` vouch for the service. ``certificate`` and ``key`` are shown to a service that
    asks for them; both may be in one file. ``name`` is that in the service's certificate, where it
    is not the name that is connected to.
    """

    authorities: Path
    certificate: Path | None = None
    key: Path | None = None
    name: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            ManagementError: CERTIFICATE_INVALID, one of them cannot be used.
        """
        authorities = _content(self.authorities)
        if b"-----BEGIN CERTIFICATE-----" not in authorities:
            raise _unusable(self.authorities, "there is no certificate in PEM")
        if self.certificate is None:
            if self.key is not None:
                raise _unusable(self.key, "a key without a certificate")
            return grpc.ssl_channel_credentials(authorities)
        chain, key = _content(self.certificate), _content(self.key or self.certificate)
        try:
            server_context([PlainPair(chain, key)])  # only to see whether they belong together
        except BadCertificate as error:
            raise _unusable(self.certificate, error.why) from None
        return grpc.ssl_channel_credentials(authorities, key, chain)

    def options(self) -> list[tuple[str, str]]:
        """Give the channel's options."""
        return [("grpc.ssl_target_name_override", self.name)] if self.name else []


def _content(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_FILE)
    except OSError as error:
        raise _unusable(path, error.strerror or "unreadable") from None


def _unusable(path: Path, why: str) -> ManagementError:
    return ManagementError(Reason.CERTIFICATE_INVALID, f"{path}: {why}")
