"""TLS of the management port: the certificate in force, given to each new connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import grpc

from lineproto.followed import FollowedPair, FoundPair


def server_credentials(followed: FollowedPair) -> grpc.ServerCredentials:
    """Give credentials that follow the certificate.

    Where there are authorities, a client has to show a certificate that comes from them.
    """
    given = followed.pair

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        # gRPC asks at each new connection, from a thread of its own.
        nonlocal given
        now = followed.pair
        if now is given:
            return None
        given = now
        return _configuration(now)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given),
        # Its types do not say that None leaves what there is in place; its documentation does.
        cast("Callable[[], grpc.ServerCertificateConfiguration]", renewed),
        require_client_authentication=bool(given.authorities),
    )


def _configuration(pair: FoundPair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(pair.key, pair.chain)], root_certificates=pair.authorities or None
    )
