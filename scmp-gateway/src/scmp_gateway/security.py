"""TLS, and who may send a password outside it."""

from __future__ import annotations

import ssl

from lineproto.connection import Connection
from lineproto.followed import FollowedPair
from lineproto.nearby import is_nearby
from scmp_gateway.times import show_time


class Security:
    """What is offered to a connection by where it is. Without a certificate there is no TLS.

    ``policy`` is one of ``config.POLICIES``.
    """

    def __init__(self, policy: str = "allow", certificate: FollowedPair | None = None) -> None:
        self._policy = policy
        self._certificate = certificate

    @property
    def context(self) -> ssl.SSLContext | None:
        """What TLS handshakes that begin now are done with."""
        return self._certificate.pair.context if self._certificate else None

    def facts(self) -> list[str]:
        """Say for STATUS until when the certificate is valid."""
        if self._certificate is None:
            return []
        return [f"scmp-certificate: until={show_time(self._certificate.pair.not_after)}"]

    def takes_password(self, connection: Connection) -> bool:
        """Whether the client may send a password as it is connected now."""
        if self._policy == "allow" or _in_tls(connection):
            return True
        return self._policy == "local" and is_nearby(connection.peer, connection.local)

    def hidden(self, connection: Connection, *, logged_in: bool) -> frozenset[str]:
        """Give the verbs that the client is not offered as it is connected now."""
        hidden = set()
        if self._certificate is None or _in_tls(connection) or logged_in:
            hidden.add("STLS")
        if not logged_in and not self.takes_password(connection):
            hidden |= {"USER", "PASS", "AUTH_TOKEN"}
        return frozenset(hidden)


def _in_tls(connection: Connection) -> bool:
    # TLS that ended at a proxy of ours kept the client's words as secret; STLS within it is nothing
    # that the client could begin.
    return connection.is_tls or bool(connection.via and connection.via.tls)
