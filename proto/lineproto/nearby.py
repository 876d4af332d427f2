"""Which connections stay within this host."""

from __future__ import annotations

import ipaddress


def is_nearby(peer: str, local: str) -> bool:
    """Whether a client's address is loopback, or the address that it connected to.

    Both are written with their ports, as ``lineproto.connection.address_text`` does. An address
    that cannot be read is not nearby.
    """
    host = _host(peer)
    try:
        return ipaddress.ip_address(host).is_loopback or host == _host(local)
    except ValueError:
        return False


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
