"""Binding the service's ports: what the system is asked to choose may be chosen again."""

from __future__ import annotations

import errno
import socket
from contextlib import closing
from typing import Any

import pytest

from pop3_service.config import Config, parser, read_config
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.supervisor import listening


class Taken:
    """Lets ports that were chosen at one address be taken at the other, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.made: list[socket.socket] = []
        self._bind = listening.bind

    def bind(self, host: str, port: int, **how: Any) -> socket.socket:
        if port and self.times:
            self.times -= 1
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.made.append(self._bind(host, port, **how))
        return self.made[-1]


def config(port_tls: int) -> Config:
    words = ["--port", "0", "--port-ipv6", "0", "--port-tls", str(port_tls)]
    words += ["--bind-ipv4", "127.0.0.1", "--bind-ipv6", "127.0.0.2"]
    return read_config(parser().parse_args(words), {})


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_that_is_free_at_one_address_alone_is_chosen_anew(
    monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    taken = Taken(2)
    monkeypatch.setattr(listening, "bind", taken.bind)
    slots, ports = listening.listen(config(0), 1, shared=shared, with_tls=True)
    kept = [it.sock for slot in slots for it in slot.sockets]
    assert ports.pop3_tls in {sock.getsockname()[1] for sock in kept}
    assert len(kept) == 4
    assert [sock for sock in taken.made if sock.fileno() >= 0] == kept
    for sock in kept:
        sock.close()


def test_after_some_attempts_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Taken(1000)
    monkeypatch.setattr(listening, "bind", taken.bind)
    with pytest.raises(ServiceUnavailable, match=r"cannot listen on 127\.0\.0\.2 port"):
        listening.listen(config(0), 1, shared=False, with_tls=True)
    assert taken.times == 1000 - listening.ATTEMPTS


def test_a_port_that_is_wanted_and_taken_is_told() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServiceUnavailable, match=f"port {port}: Address already in use"):
            listening.listen(config(port), 1, shared=False, with_tls=True)
