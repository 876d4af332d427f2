"""The throttle: wrong logins from a network are answered with growing delay.

Nobody is locked out, and a right password is never delayed.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from lineproto.clock import Clock
from pop3_service.domain.settings import Settings

MAX_NETWORKS = 10_000
FORGET_S = 900.0
"""Seconds without a wrong login after which a network is forgotten."""


def network_of(peer: str) -> str:
    """Give the network of an address with its port: /24 of IPv4, /64 of IPv6.

    An address that cannot be read is a network of its own.
    """
    host = peer.rpartition(":")[0].strip("[]") or peer
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    prefix = 24 if address.version == 4 else 64
    return str(ipaddress.ip_network((address, prefix), strict=False))


class Throttle:
    """Counts wrong logins by network; it remembers so many networks and no more."""

    def __init__(self, settings: Callable[[], Settings], clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def now_s(self) -> float:
        """Give the time by which ``failed`` reckons."""
        return self._clock.monotonic()

    def failed(self, peer: str, asked_s: float | None = None) -> float:
        """Count a wrong login; give the seconds by which its answer is to be delayed.

        They count from ``asked_s``, when the login began: then the answer does not tell how long
        the check took, and so not what kind of hash there is, if any.
        """
        network, now_s = network_of(peer), self._clock.monotonic()
        count, last_s = self._failures.pop(network, (0, now_s))
        if now_s - last_s > FORGET_S:
            count = 0
        self._failures[network] = (count + 1, now_s)
        if len(self._failures) > MAX_NETWORKS:
            self._failures.popitem(last=False)
        settings = self._settings()
        delay_s = min(
            settings.min_login_delay_s * 2.0 ** min(count, 16), settings.max_login_delay_s
        )
        return max(delay_s - (now_s - (now_s if asked_s is None else asked_s)), 0.0)
