"""Listening: sockets, the sweep, and how addresses are written."""

import asyncio
import errno
import socket

import pytest

from lineproto.connection import address_text
from lineproto.listener import Listener, bind
from support.daemon import IPV6_BIND, IPV6_HOST
from unit.lineproto.talks import IDLE_S, Talks
from unit.pop3_service.clock import FakeClock

# --- listening --------------------


async def test_a_listener_serves_its_sockets_and_sweeps_them(
    talks: Talks, clock: FakeClock
) -> None:
    clock.waits = True
    first, second = bind("127.0.0.1", 0), bind(IPV6_BIND, 0)
    ports = [sock.getsockname()[1] for sock in (first, second)]
    await talks.start([first, second])
    reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
    reader6, writer6 = await asyncio.open_connection(IPV6_HOST, ports[1])
    assert await reader.readline() == await reader6.readline() == b"hello\r\n"
    port = writer.get_extra_info("sockname")[1]
    assert talks.talks[0].connection.peer == f"127.0.0.1:{port}"
    assert talks.talks[0].connection.local == f"127.0.0.1:{ports[0]}"
    shown = f"[{IPV6_HOST}]" if ":" in IPV6_HOST else IPV6_HOST
    assert talks.talks[1].connection.local == f"{shown}:{ports[1]}"
    clock.move(IDLE_S + 1)  # the sweeper wakes up
    assert await reader.read() == await reader6.read() == b""
    assert await talks.stop(0) == 0
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", ports[0])
    writer.close()
    writer6.close()


async def test_a_listener_without_a_dialogue_of_its_own_is_none(clock: FakeClock) -> None:
    with pytest.raises(NotImplementedError):
        Listener(clock).dialogue(None)  # type: ignore[arg-type]


def test_a_port_that_is_taken_cannot_be_bound_again() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(OSError, match="Address already in use") as raised:
            bind("127.0.0.1", port)
        assert raised.value.errno == errno.EADDRINUSE


def test_a_port_whose_old_connections_linger_can_be_bound_at_once() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            first.setblocking(True)
            first.accept()[0].close()  # who closes first keeps the connection for a while
            assert client.recv(1) == b""
    with bind("127.0.0.1", port) as second:
        assert second.getsockname()[1] == port


def test_a_port_can_be_shared_by_those_who_ask_for_it() -> None:
    with bind("127.0.0.1", 0, reuse_port=True) as first:
        with bind("127.0.0.1", first.getsockname()[1], reuse_port=True) as second:
            first.listen()
            second.listen()
            assert first.getsockname() == second.getsockname()
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", first.getsockname()[1])


def test_an_address_that_is_not_here_cannot_be_bound() -> None:
    with pytest.raises(OSError, match="Cannot assign requested address"):
        bind("192.0.2.1", 0)


@pytest.mark.parametrize(("dual_stack", "taken"), [(True, True), (False, False)])
def test_an_ipv6_socket_takes_ipv4_too_if_it_is_to(dual_stack: bool, taken: bool) -> None:
    with bind("::", 0, dual_stack=dual_stack) as both:
        both.listen()
        port = both.getsockname()[1]
        with socket.socket() as client:
            assert (client.connect_ex(("127.0.0.1", port)) == 0) is taken


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("192.0.2.1", 110), "192.0.2.1:110"),
        (("2001:db8::1", 110, 0, 0), "[2001:db8::1]:110"),
        (("::ffff:192.0.2.1", 110, 0, 0), "192.0.2.1:110"),
        (("::1", 110, 0, 0), "[::1]:110"),
        (("fe80::1%eth0", 110, 0, 2), "[fe80::1%eth0]:110"),
        ("", "unknown"),
        (b"\0abstract", "unknown"),
        (None, "unknown"),
        ((), "unknown"),
    ],
)
def test_an_address_is_written_the_usual_way(address: object, text: str) -> None:
    assert address_text(address) == text
