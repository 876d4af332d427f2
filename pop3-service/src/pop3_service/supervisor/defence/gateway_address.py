"""Addresses that many clients have in common: a container's gateway, and those that are named.

Docker's port proxy passes connections on from the bridge's own address, so in a container the
default gateway is nobody's: who throttles or bans it shuts everybody out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from lineproto.networks import Address, Networks

IPV4_ROUTES = Path("/proc/net/route")
IPV6_ROUTES = Path("/proc/net/ipv6_route")
CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Docker makes the first, Podman the second."""
GATEWAY = 0x2
"""Flag of a route that leads to a gateway (RTF_GATEWAY of route(8))."""


def default_gateways(ipv4_routes: str, ipv6_routes: str) -> frozenset[Address]:
    """Read the default routes' gateways out of ``/proc/net/route`` and ``/proc/net/ipv6_route``.

    A line that cannot be read is passed over.
    """
    found: set[Address | None] = {
        _ipv4_gateway(line.split()) for line in ipv4_routes.splitlines()[1:]
    }
    found |= {_ipv6_gateway(line.split()) for line in ipv6_routes.splitlines()}
    return frozenset(address for address in found if address is not None)


def in_container(
    environment: Mapping[str, str] = os.environ, files: Iterable[Path] = CONTAINER_FILES
) -> bool:
    """Whether this process runs in a container: its engine says so by a file or a variable."""
    return "container" in environment or any(file.exists() for file in files)


class SharedAddresses:
    """Which clients' addresses are no client's own. ``host in shared`` tells of an address.

    ``gateways`` are those found, ``named`` networks those that an admin named.
    """

    def __init__(self, gateways: Iterable[Address] = (), named: Iterable[str] = ()) -> None:
        self.gateways = tuple(sorted(map(str, gateways)))
        self._gateways = Networks(self.gateways)
        self._named = Networks(named)

    def __contains__(self, host: str) -> bool:
        """Whether an address, without its port, may stand for many clients."""
        return host in self._gateways or host in self._named

    def is_gateway(self, host: str) -> bool:
        """Whether an address is that of the container's own gateway."""
        return host in self._gateways

    def why_not(self, network: str) -> str:
        """Say why a network should not be shut out: whom it holds. Empty where it may be."""
        for gateway in self.gateways:
            if gateway in Networks([network]):
                return (
                    f"{gateway} is this container's own gateway, which every client that Docker's"
                    " port proxy passes on comes from"
                )
        if self._named.overlap(network):
            return f"{network} holds addresses that many clients have in common"
        return ""


def find_shared_addresses(
    named: Iterable[str],
    *,
    contained: Callable[[], bool] = in_container,
    ipv4_routes: Path = IPV4_ROUTES,
    ipv6_routes: Path = IPV6_ROUTES,
) -> SharedAddresses:
    """Find the addresses that stand for many clients here; outside a container only ``named``."""
    if not contained():
        return SharedAddresses(named=named)
    return SharedAddresses(default_gateways(_text(ipv4_routes), _text(ipv6_routes)), named)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:  # there is no such family here
        return ""


def _ipv4_gateway(words: list[str]) -> IPv4Address | None:
    """Read a line: interface, destination, gateway, flags, ..., mask (the eighth)."""
    try:
        destination, gateway, flags = (int(word, 16) for word in words[1:4])
        mask = int(words[7], 16)
        if destination or mask or not flags & GATEWAY:
            return None
        # The kernel prints the address as a number in the machine's own order of octets.
        return IPv4Address(gateway.to_bytes(4, sys.byteorder))
    except (ValueError, IndexError, OverflowError):
        return None


def _ipv6_gateway(words: list[str]) -> IPv6Address | None:
    """Read a line: destination, its prefix, source, its prefix, next hop, metric, 2 more, flags."""
    try:
        destination, prefix, hop = (int(words[index], 16) for index in (0, 1, 4))
        if destination or prefix or not hop or not int(words[8], 16) & GATEWAY:
            return None
        return IPv6Address(hop)
    except (ValueError, IndexError):
        return None
