"""Connections from proxies: each says first, in a PROXY header, whom it is about.

Only then it becomes a connection, with the client's own address. What is no header, or comes from
elsewhere than the proxies' networks, or too late, is closed without an answer.
"""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from lineproto.connection import Via, address_text
from lineproto.networks import Networks
from lineproto.proxy import BadHeader, HeaderReader, ProxyHeader

if TYPE_CHECKING:
    from lineproto.listener import Listener

HEADER_S = 5.0
"""How long a header may take to come."""
PEEK = 4096
"""Octets looked at in one go; those behind a header stay with the socket."""
WAITING = 1000
"""Connections whose header is not whole; with one more, that which waits longest is closed. They
count in no other limit, and each may hold 64 KiB."""
TOLD_A_SWEEP = 20
"""Refused connections told of one by one between two sweeps; of more only their number is told."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A connection whose header is not whole yet."""

    sock: socket.socket
    address: tuple[str, int]
    in_tls: bool
    since_s: float
    reader: HeaderReader = field(default_factory=HeaderReader)


class ProxyGate:
    """Lets in what begins with a PROXY header and comes from ``trusted``."""

    def __init__(self, listener: Listener, trusted: Networks) -> None:
        self._listener = listener
        self._trusted = trusted
        self._waiting: dict[_Waiting, None] = {}  # in the order they came
        self._refused = 0

    @property
    def waits(self) -> bool:
        """Whether a header is waited for."""
        return bool(self._waiting)

    def take(self, in_tls: bool, sock: socket.socket, address: object) -> None:
        """Take an accepted connection; with ``in_tls``, TLS begins right behind the header."""
        host, port = _host_and_port(address)
        if host not in self._trusted:
            sock.close()
            self._tell((host, port), "it is not from a trusted network")
            return
        sock.setblocking(False)
        if len(self._waiting) >= WAITING:
            self._refuse(next(iter(self._waiting)), "too many PROXY headers are waited for")
        waiting = _Waiting(sock, (host, port), in_tls, self._listener.clock.monotonic())
        self._listener.poller.add(sock.fileno(), select.EPOLLIN, partial(self._read, waiting))
        self._waiting[waiting] = None

    def sweep(self) -> None:
        """Close what has waited for too long, and tell of what was not told."""
        oldest_s = self._listener.clock.monotonic() - HEADER_S
        for waiting in [it for it in self._waiting if it.since_s < oldest_s]:
            self._refuse(waiting, "its PROXY header did not come in time")
        if self._refused > TOLD_A_SWEEP:
            self._listener.proxies_refused(self._refused - TOLD_A_SWEEP)
        self._refused = 0

    def close(self) -> None:
        """Close all that waits; nothing was promised to any of them."""
        for waiting in list(self._waiting):
            self._drop(waiting)

    def _read(self, waiting: _Waiting, _: int) -> None:
        try:
            octets = waiting.sock.recv(PEEK, socket.MSG_PEEK)
            if not octets:
                # A health check that only connects, unless something had come.
                self._drop(waiting)
                if waiting.reader.begun:
                    self._tell(waiting.address, "its PROXY header broke off")
                return
            waiting.sock.recv(waiting.reader.feed(octets))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(waiting)
        except BadHeader as error:
            self._refuse(waiting, str(error))
        else:
            if waiting.reader.header is not None:
                self._let_in(waiting, waiting.reader.header)

    def _let_in(self, waiting: _Waiting, header: ProxyHeader) -> None:
        self._waiting.pop(waiting, None)
        self._listener.poller.remove(waiting.sock.fileno())
        via = Via(address_text(waiting.address), header.source is None, header.tls)
        self._listener.take(waiting.in_tls, waiting.sock, header.source or waiting.address, via)

    def _refuse(self, waiting: _Waiting, reason: str) -> None:
        self._drop(waiting)
        self._tell(waiting.address, reason)

    def _drop(self, waiting: _Waiting) -> None:
        self._waiting.pop(waiting, None)
        self._listener.poller.remove(waiting.sock.fileno())
        waiting.sock.close()

    def _tell(self, address: tuple[str, int], reason: str) -> None:
        self._refused += 1
        if self._refused <= TOLD_A_SWEEP:
            self._listener.proxy_refused(address_text(address), reason)


def _host_and_port(address: object) -> tuple[str, int]:
    """Give a socket's address without what only IPv6 has; one that is mapped is the IPv4 one."""
    assert isinstance(address, tuple)  # noqa: S101 - of an IP socket
    host, port = str(address[0]), int(address[1])
    return (host.removeprefix("::ffff:") if "." in host else host), port
