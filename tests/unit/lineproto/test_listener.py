"""Listening: sockets, the sweep, and how addresses are written."""

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lineproto.connection import address_text
from lineproto.listener import Listener, bind
from support.daemon import IPV6_BIND, IPV6_HOST
from support.tls import client_context
from unit.lineproto.talks import IDLE_S, Talks, turns, until
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


async def test_a_fault_of_one_connection_in_the_sweep_ends_it_alone(
    talks: Talks, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.waits = True
    await talks.start([])
    faulty, before, after = [await talks.connect() for _ in range(3)]
    wrong = ValueError("no number")

    def fail() -> float:
        raise wrong

    monkeypatch.setattr(faulty.talk, "idle_limit_s", fail)
    await turns()
    clock.move(talks.sweep_s)
    await until(lambda: faulty.ended)
    assert faulty.ended == ["internal error"]
    assert faulty.talk.faults == [wrong]
    assert await before.ask(b"still here") == b"still here"
    clock.move(IDLE_S + 1)  # the sweeper is still at work
    await until(lambda: before.ended and after.ended)
    await talks.stop(0)


# --- accepting --------------------


class Doubtful(socket.socket):
    """A listening socket that counts and that fails as told."""

    calls = 0
    failures: tuple[OSError, ...] = ()

    def accept(self) -> tuple[socket.socket, object]:
        self.calls += 1
        if self.failures:
            first, *rest = self.failures
            self.failures = tuple(rest)
            raise first
        return super().accept()


async def doubtful(talks: Talks, *failures: OSError) -> Doubtful:
    """Have a listener serve such a socket."""
    sock = Doubtful(fileno=bind("127.0.0.1", 0).detach())
    sock.failures = failures
    talks.clock.waits = True
    await talks.start([sock])
    return sock


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    next_one = os.dup(0)
    os.close(next_one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_one, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.attack(57, "descriptors")
async def test_without_descriptors_a_listener_rests_and_goes_on_at_the_sweep(
    talks: Talks, clock: FakeClock
) -> None:
    """Without a spin, and without a connection lost that waits in the queue."""
    before = await talks.connect()
    sock = await doubtful(talks)
    clients = [socket.create_connection(sock.getsockname()) for _ in range(3)]
    with no_descriptor_left():
        await until(lambda: talks.accept_errors)
        await turns(100)
        assert sock.calls == 1
        assert await before.ask(b"still here") == b"still here"
        clock.move(talks.sweep_s)  # nothing has changed by then: it is told again, once
        await until(lambda: len(talks.accept_errors) == 2)
        await turns(100)
        assert sock.calls == 2
    assert [error.errno for error in talks.accept_errors] == [errno.EMFILE] * 2
    clock.move(talks.sweep_s)
    await until(lambda: len(talks.connections) == 4)
    for client in clients:
        assert client.recv(100) == b"hello\r\n"
        client.close()
    assert len(talks.accept_errors) == 2
    await talks.stop(0)


@pytest.mark.attack(57, "descriptors")
async def test_a_listener_that_cannot_be_watched_again_rests_until_the_next_sweep(
    talks: Talks, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock = await doubtful(talks, OSError(errno.ENFILE, "no"))
    with socket.create_connection(sock.getsockname()) as client:
        await until(lambda: talks.accept_errors)
        with monkeypatch.context() as patched:

            def full(*_: object) -> None:
                raise OSError(errno.ENOMEM, "no")

            patched.setattr(talks.poller, "add", full)
            clock.move(talks.sweep_s)
            await until(lambda: len(talks.accept_errors) == 2)
        await turns()
        clock.move(talks.sweep_s)
        await until(lambda: talks.connections)
        assert client.recv(100) == b"hello\r\n"
    await talks.stop(0)


@pytest.mark.parametrize("number", [errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM])
async def test_whatever_else_keeps_a_listener_from_accepting_is_told_once_and_no_spin(
    talks: Talks, clock: FakeClock, number: int
) -> None:
    sock = await doubtful(talks, OSError(number, "no"))
    with socket.create_connection(sock.getsockname()) as client:
        await until(lambda: talks.accept_errors)
        await turns(100)
        assert sock.calls == 1
        clock.move(talks.sweep_s)
        await until(lambda: talks.connections)
        assert client.recv(100) == b"hello\r\n"
    assert len(talks.accept_errors) == 1
    await talks.stop(0)


async def test_a_client_that_went_before_its_turn_is_skipped(talks: Talks) -> None:
    sock = await doubtful(talks, ConnectionAbortedError(errno.ECONNABORTED, "gone"))
    with socket.create_connection(sock.getsockname()) as client:
        await until(lambda: talks.connections)
        assert client.recv(100) == b"hello\r\n"
    assert talks.accept_errors == []
    await talks.stop(0)


async def test_a_listener_that_rests_can_be_stopped(talks: Talks, clock: FakeClock) -> None:
    sock = await doubtful(talks, OSError(errno.EMFILE, "no"))
    with socket.create_connection(sock.getsockname()):
        await until(lambda: talks.accept_errors)
        assert await talks.stop(0) == 0
    assert sock.fileno() == -1


async def test_tls_begins_at_once_on_the_sockets_for_it_alone(
    talks: Talks, clock: FakeClock
) -> None:
    clock.waits = True
    clear, hidden = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
    await talks.start([clear], [hidden])
    port, tls_port = (sock.getsockname()[1] for sock in (clear, hidden))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.readline() == b"hello\r\n"
    tls_reader, tls_writer = await asyncio.open_connection(
        "127.0.0.1", tls_port, ssl=client_context(), server_hostname="talks.example"
    )
    assert await tls_reader.readline() == b"hello\r\n"
    assert [talk.connection.is_tls for talk in talks.talks] == [False, True]
    writer.close()
    tls_writer.close()
    await talks.stop(0)


async def test_without_a_certificate_a_socket_for_tls_closes_what_comes(
    talks: Talks, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never clear text where TLS is meant."""
    clock.waits = True
    monkeypatch.setattr(talks, "tls_context", lambda: None)
    hidden = bind("127.0.0.1", 0)
    await talks.start([], [hidden])
    reader, writer = await asyncio.open_connection("127.0.0.1", hidden.getsockname()[1])
    assert await reader.read() == b""
    assert talks.talks == []
    writer.close()
    await talks.stop(0)


# --- binding --------------------


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
