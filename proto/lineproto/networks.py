"""Networks by address: who is one of ours. An IPv4-mapped IPv6 address is the IPv4 address."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED = IPv6Network("::ffff:0:0/96")


def plain_address(text: str) -> Address:
    """Read an address; a mapped one becomes what it stands for, however it is written.

    Raises:
        ValueError: it is none, or names a zone (``fe80::1%eth0``).
    """
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        raise ValueError(f"{text!r} names a zone")
    return address.ipv4_mapped or address


def plain_network(text: str) -> Network:
    """Read a network such as ``10.0.0.0/8``, or a single address.

    Raises:
        ValueError: it is none, names a zone, or has bits set behind its prefix.
    """
    if "%" in text:
        raise ValueError(f"{text!r} names a zone")
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        mapped = network.network_address.ipv4_mapped
        assert mapped is not None  # noqa: S101 - the network says so
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


class Networks:
    """Some networks. ``host in networks`` says whether one of them holds an address."""

    __slots__ = ("_networks",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Read each network.

        Raises:
            ValueError: one of them is none.
        """
        self._networks = tuple(map(plain_network, texts))

    def __contains__(self, host: str) -> bool:
        """Whether the address is in one of the networks; what is no address is in none."""
        try:
            # The zone of a link-local peer says which interface it is at, not who it is.
            address = plain_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def overlap(self, text: str) -> bool:
        """Whether an address is in one of the networks and in that one as well.

        Raises:
            ValueError: the text is no network.
        """
        other = plain_network(text)
        return any(it.version == other.version and it.overlaps(other) for it in self._networks)


def plain_peer(text: str) -> str:
    """Read an address with its port, ``192.0.2.1:5`` or ``[2001:db8::1]:5``, and write it plainly.

    A zone is left out, and a mapped address becomes what it stands for.

    Raises:
        ValueError: it is none.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f"{text!r} has no port")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed is not (":" in host):
        raise ValueError(f"{text!r} is no address with its port")
    address = plain_address((host[1:-1] if bracketed else host).partition("%")[0])
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"
