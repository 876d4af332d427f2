"""Where calls come from: the peer of the connection, or whom the gateway passes on.

The gateway proves itself with a secret. It has no rights for that: what a call may do goes by its
token alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import unquote

from lineproto.networks import plain_peer
from pop3_service.domain.errors import PermissionDenied
from pop3mgmt.passing import CLIENT_KEY, SECRET_KEY


class NotTheGateway(PermissionDenied):
    """A call that names its client's address without being the gateway's."""


class Origins:
    """Tells where calls come from; without a secret, nobody passes anybody on."""

    def __init__(self, secret: str = "") -> None:
        self._secret = secret.encode()

    def passed_on(self, metadata: Sequence[tuple[str, str | bytes]]) -> str:
        """Give the address that the gateway passes on; empty if the caller speaks for itself.

        Raises:
            NotTheGateway: the secret is wrong, or missing beside an address.
        """
        secrets = [value for key, value in metadata if key == SECRET_KEY]
        clients = [value for key, value in metadata if key == CLIENT_KEY]
        if not secrets and not clients:
            return ""
        if len(secrets) != 1 or not self._is_secret(secrets[0]):
            raise NotTheGateway("the gateway's secret is not the service's")
        if not clients:
            return ""
        try:
            [client] = clients
            return plain_peer(str(client))
        except ValueError:
            raise NotTheGateway("the gateway names no client address") from None

    def _is_secret(self, given: str | bytes) -> bool:
        octets = given if isinstance(given, bytes) else given.encode()
        return bool(self._secret) and hmac.compare_digest(octets, self._secret)


def peer_address(peer: str) -> str:
    """Write a peer as gRPC tells it the usual way; what is no address stays as it is."""
    kind, _, address = peer.partition(":")
    try:
        return plain_peer(unquote(address)) if kind in ("ipv4", "ipv6") else peer
    except ValueError:
        return peer
