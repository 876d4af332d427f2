"""The sockets that the service listens on: each port once, then once more for each worker."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from lineproto.listener import BACKLOG, bind
from pop3_service.config import Config
from pop3_service.domain.errors import InvalidArgument, ServiceUnavailable
from pop3_service.supervisor.remote_worker import ListeningSocket, Slot

ATTEMPTS = 5
"""How often ports that the system chooses are chosen anew: one may be free at one address alone."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the service listens, once it does; 0 where it does not."""

    pop3: int = 0
    pop3_ipv6: int = 0
    pop3_tls: int = 0
    pop3_proxy: int = 0
    pop3_proxy_tls: int = 0
    grpc: int = 0

    def told(self) -> dict[str, int]:
        """Give the POP3 ports for the log; those for proxies only where they are."""
        ports = {name: port for name, port in asdict(self).items() if name != "grpc"}
        return {name: port for name, port in ports.items() if port or "proxy" not in name}


@dataclass(frozen=True, slots=True)
class Place:
    """What to listen on, and how it is spoken to; see ``ListeningSocket``."""

    host: str
    port: int
    dual_stack: bool = False
    implicit_tls: bool = False
    proxied: bool = False


def listen(config: Config, count: int, *, shared: bool, with_tls: bool) -> tuple[list[Slot], Ports]:
    """Bind all ports for so many slots; those of ``shared`` ones are bound once for each.

    Raises:
        InvalidArgument: ports for proxies lack what they need, by the options.
        ServiceUnavailable: a port is taken or not ours to use.
    """
    for_clients = config.port, config.port_ipv6, config.port_tls
    chosen = 0 in (*for_clients, config.port_proxy, config.port_proxy_tls)
    attempts_left = ATTEMPTS if chosen else 1
    while True:
        attempts_left -= 1
        slots: list[list[ListeningSocket]] = [[] for _ in range(count)]
        try:
            return _listen(config, slots, shared=shared, with_tls=with_tls)
        except ServiceUnavailable:
            for listening in itertools.chain.from_iterable(slots):
                listening.sock.close()
            if not attempts_left:
                raise


def _listen(
    config: Config, slots: list[list[ListeningSocket]], *, shared: bool, with_tls: bool
) -> tuple[list[Slot], Ports]:
    def bound(place: Place) -> int:
        return _bind(slots, place, shared=shared)

    def on_both(port: int, *, tls: bool, proxied: bool = False) -> int:
        found = bound(Place(config.bind_ipv4, port, implicit_tls=tls, proxied=proxied))
        bound(Place(config.bind_ipv6, found, implicit_tls=tls, proxied=proxied))
        return found

    dual_stack = config.port != config.port_ipv6 or config.port_ipv6 == 0
    pop3 = bound(Place(config.bind_ipv4, config.port))
    pop3_ipv6 = bound(Place(config.bind_ipv6, config.port_ipv6, dual_stack))
    pop3_tls = pop3_proxy = pop3_proxy_tls = 0
    if with_tls:
        pop3_tls = on_both(config.port_tls, tls=True)
    _check_proxies(config, with_tls=with_tls)
    if config.port_proxy is not None:
        pop3_proxy = on_both(config.port_proxy, tls=False, proxied=True)
    if config.port_proxy_tls is not None:
        pop3_proxy_tls = on_both(config.port_proxy_tls, tls=True, proxied=True)
    made = [Slot(index, tuple(sockets)) for index, sockets in enumerate(slots)]
    return made, Ports(pop3, pop3_ipv6, pop3_tls, pop3_proxy, pop3_proxy_tls)


def _check_proxies(config: Config, *, with_tls: bool) -> None:
    if config.port_proxy is None and config.port_proxy_tls is None:
        return
    if not config.proxy_from:
        raise InvalidArgument("a port for proxies needs --proxy-from: where they connect from")
    if config.port_proxy_tls is not None and not with_tls:
        raise InvalidArgument("--port-proxy-tls needs a certificate: --tls-cert or --tls-dir")


def _bind(slots: list[list[ListeningSocket]], place: Place, *, shared: bool) -> int:
    """Bind a port once to find a second server, then once more for each worker; give the port.

    It is 0 on a machine without IPv6, where that is not to be had.

    Raises:
        ServiceUnavailable: the port is taken or not ours to use.
    """
    try:
        first = bind(place.host, place.port, dual_stack=place.dual_stack)
        port: int = first.getsockname()[1]
        if not shared:
            slots[0].append(ListeningSocket(first, place.implicit_tls, place.proxied))
            return port
        first.close()
        for sockets in slots:
            sock = bind(place.host, port, reuse_port=True, dual_stack=place.dual_stack)
            sock.listen(BACKLOG)
            sockets.append(ListeningSocket(sock, place.implicit_tls, place.proxied))
    except OSError as error:
        if ":" in place.host and not _has_ipv6():
            log.warning("no IPv6 on this machine", host=place.host, port=place.port)
            return 0
        raise ServiceUnavailable(
            f"cannot listen on {place.host} port {place.port}: {error.strerror}"
        ) from error
    return port


def _has_ipv6() -> bool:
    """Whether any interface has an IPv6 address; in a container the list is there, but empty."""
    try:
        return bool(Path("/proc/net/if_inet6").read_text())
    except OSError:
        return False
