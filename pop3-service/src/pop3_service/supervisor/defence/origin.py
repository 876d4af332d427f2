"""Where a login comes from: the networks by which it is counted."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from pop3_service.supervisor.defence.gateway_address import SharedAddresses


class Origin(NamedTuple):
    """A client's address without its port, and its networks.

    ``network`` is the /24 of IPv4, the /64 of IPv6; ``wider`` the /48 of IPv6, else empty. A
    ``shared`` address stands for many clients: nobody is counted, or known, by it.
    """

    host: str
    network: str
    wider: str
    shared: bool


def origin_of(peer: str, shared: SharedAddresses) -> Origin:
    """Read a client's address, with or without its port; an IPv4-mapped one is the IPv4 address.

    What cannot be read is a network of its own.
    """
    host = peer.rpartition(":")[0].strip("[]") or peer
    for text in (host, peer.strip("[]")):  # without a port an IPv6 address ends otherwise
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            continue
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        is_shared = str(address) in shared
        if address.version == 4:
            return Origin(str(address), _prefix(address, 24), "", is_shared)
        return Origin(str(address), _prefix(address, 64), _prefix(address, 48), is_shared)
    return Origin(peer, peer, "", False)


def network_of(peer: str) -> str:
    """Give the network of an address, with or without its port: /24 of IPv4, /64 of IPv6."""
    return origin_of(peer, _NONE).network


def _prefix(address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int) -> str:
    return str(ipaddress.ip_network((address, length), strict=False))


_NONE = SharedAddresses()
