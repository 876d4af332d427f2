"""Reads a JWK set from where the setting says: a file, or an https address.

By the standard library's client, which follows no redirect and knows no proxy: what the admin named
is what is asked. The certificate is always verified.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

from pop3_service.supervisor.authentication.token_keys import Keys, NotRead

MAX_OCTETS = 256 * 1024
"""The longest key set that is read."""
STEP_S = 5.0
"""Seconds that connecting, or any one answer, may take."""
LIMIT_S = 10.0
"""Seconds from the connection to the last octet."""


class TokenKeySource:
    """Reads key sets; ``authorities`` is a file in PEM, or None for those of the system."""

    def __init__(self, authorities: Path | None) -> None:
        self._authorities = authorities

    def load(self, source: str) -> Keys:
        """Read and parse the keys. It waits for disk and network, so it is called in a thread.

        Raises:
            NotRead
        """
        # Imported here: it takes 0.1 s and 10 MB, which who uses no tokens does not pay.
        from pop3_service.supervisor.authentication import jose

        octets = self._fetch(source) if source.startswith("https:") else _read(source)
        try:
            return jose.read_keys(octets)
        except jose.UnusableKeys as error:
            raise NotRead(str(error)) from None

    def _fetch(self, address: str) -> bytes:
        parts = urlsplit(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            context = ssl.create_default_context(cafile=self._authorities)
            connection = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=STEP_S, context=context
            )
            try:
                return _get(connection, path)
            finally:
                connection.close()
        except ssl.SSLCertVerificationError as error:
            raise NotRead(f"the certificate is not trusted: {error.verify_message}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotRead(getattr(error, "strerror", None) or str(error) or repr(error)) from None


def _get(connection: http.client.HTTPSConnection, path: str) -> bytes:
    connection.connect()
    # A server that sends an octet now and then would hold the thread for as long as it likes.
    watch = threading.Timer(LIMIT_S, _cut, (connection.sock,))
    watch.daemon = True
    watch.start()
    try:
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise NotRead(f"the answer's status is {response.status}")
        octets = _short(response.read(MAX_OCTETS + 1))
        if response.length:
            raise NotRead("the answer was cut off")
    finally:
        watch.cancel()
    return octets


def _cut(sock: socket.socket) -> None:
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:  # it is closed already
        pass


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return _short(file.read(MAX_OCTETS + 1))
    except OSError as error:
        raise NotRead(error.strerror or str(error)) from None
    except ValueError as error:  # no path at all: it holds NUL
        raise NotRead(str(error)) from None


def _short(octets: bytes) -> bytes:
    if len(octets) > MAX_OCTETS:
        raise NotRead(f"it is longer than {MAX_OCTETS} octets")
    return octets
