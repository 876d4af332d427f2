"""Connections from proxies: who is let in, and as whom (attacks 56 and 58)."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from lineproto import gate
from lineproto.connection import Via
from lineproto.gate import HEADER_S, TOLD_A_SWEEP
from lineproto.listener import bind
from lineproto.networks import Networks
from support.proxied import local, ssl, v1, v2
from support.tls import client_context
from unit.lineproto.talks import Talks, turns, until
from unit.pop3_service.clock import FakeClock

OURS = ["127.0.0.2", "::ffff:127.0.0.3/128"]


class Proxied(Talks):
    """A listener for proxies; ``refused`` are the reasons it told."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.refused: list[tuple[str, str]] = []
        self.more: list[int] = []
        self.clear = bind("::", 0)
        self.hidden = bind("127.0.0.1", 0)

    def proxy_refused(self, peer: str, reason: str) -> None:
        self.refused.append((peer, reason))

    def proxies_refused(self, count: int) -> None:
        self.more.append(count)

    def dial(self, source: str = "127.0.0.2", *, tls: bool = False) -> socket.socket:
        """Connect as from an address, without a header yet."""
        sock = socket.socket()
        sock.bind((source, 0))
        port = (self.hidden if tls else self.clear).getsockname()[1]
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        return sock


@pytest.fixture
async def proxied(clock: FakeClock) -> AsyncIterator[Proxied]:
    clock.waits = True
    made = Proxied(clock)
    sockets = made.clear, made.hidden
    await made.start([made.clear], [made.hidden], proxied=sockets, proxies=Networks(OURS))
    yield made
    await made.stop(0)


async def heard(sock: socket.socket) -> bytes:
    async with asyncio.timeout(60):
        return await asyncio.get_running_loop().sock_recv(sock, 1000)


async def at_end(sock: socket.socket) -> bool:
    """Whether the server closed without a word."""
    try:
        return await heard(sock) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("header", [v1("203.0.113.7"), v2("203.0.113.7")], ids=["v1", "v2"])
async def test_the_client_behind_a_proxy_is_the_peer_and_is_greeted_after_the_header(
    proxied: Proxied, header: bytes
) -> None:
    with proxied.dial() as sock:
        await turns()
        assert proxied.talks == []
        sock.send(header + b"at once\r\n")
        assert await heard(sock) == b"hello\r\nat once\r\n"
        connection = proxied.talks[0].connection
        assert connection.peer == "203.0.113.7:4242"
        host, port = sock.getsockname()
        assert connection.via == Via(f"{host}:{port}", False, "")


@pytest.mark.parametrize(
    "header", [v1("203.0.113.7"), v2("2001:db8::7", 1, ssl())], ids=["v1", "v2"]
)
async def test_attack_56_a_header_may_come_split_at_any_place(
    proxied: Proxied, header: bytes
) -> None:
    for place in range(1, len(header)):
        with proxied.dial() as sock:
            sock.send(header[:place])
            await turns(5)
            sock.send(header[place:] + b"x\r\n")
            assert await heard(sock) == b"hello\r\nx\r\n"
    assert proxied.refused == []


async def test_tls_begins_right_behind_the_header(proxied: Proxied) -> None:
    with proxied.dial(tls=True) as sock:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, v2("203.0.113.7"))
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=client_context(), server_hostname="talks.example"
        )
        assert await reader.readline() == b"hello\r\n"
        assert proxied.talks[0].connection.is_tls
        assert proxied.talks[0].connection.peer == "203.0.113.7:4242"
        writer.close()


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"USER ana\r\n", "there is no PROXY header"),
        (b"PROXY TCP4 nonsense\r\n", "its protocol is unknown"),
        (b"PROXY UNKNOWN " + b"x" * 200, "longer than 107"),
        (v2("203.0.113.7", 1, b"\x04\x00\x09"), "goes beyond its end"),
    ],
)
async def test_attack_56_a_malformed_or_missing_header_closes_unanswered(
    proxied: Proxied, octets: bytes, reason: str
) -> None:
    with proxied.dial() as sock:
        peer = "{}:{}".format(*sock.getsockname())
        sock.send(octets)
        assert await at_end(sock)
    [(told, why)] = proxied.refused
    assert (told, reason in why) == (peer, True)
    assert proxied.talks == []
    assert proxied.sent_bytes == 0


async def test_attack_56_an_untrusted_peer_is_closed_whatever_it_says(proxied: Proxied) -> None:
    for tls in (False, True):
        with proxied.dial("127.0.0.1", tls=tls) as sock:
            sock.send(v1("203.0.113.7"))
            assert await at_end(sock)
    assert {why for _, why in proxied.refused} == {"it is not from a trusted network"}
    assert proxied.talks == []


async def test_attack_56_a_header_that_does_not_come_is_not_waited_for(
    proxied: Proxied, clock: FakeClock
) -> None:
    with proxied.dial() as silent, proxied.dial() as slow:
        slow.send(b"PROXY TCP4 ")
        await turns()
        clock.move(HEADER_S)
        await turns()
        assert proxied.refused == []
        clock.move(HEADER_S)
        assert await at_end(silent)
        assert await at_end(slow)
    assert {why for _, why in proxied.refused} == {"its PROXY header did not come in time"}
    assert len(proxied.refused) == 2


async def test_attack_56_of_too_many_half_sent_headers_the_oldest_goes(
    proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "WAITING", 2)
    with proxied.dial() as oldest, proxied.dial() as slow:
        oldest.send(b"PROXY ")
        slow.send(b"PROXY ")
        await turns()
        with proxied.dial() as third:
            third.send(v1("203.0.113.7"))
            assert await at_end(oldest)
            assert await heard(third) == b"hello\r\n"
        slow.send(v1("203.0.113.8").removeprefix(b"PROXY "))
        assert await heard(slow) == b"hello\r\n"
    assert [why for _, why in proxied.refused] == ["too many PROXY headers are waited for"]


async def test_attack_56_a_header_that_breaks_off_is_told(proxied: Proxied) -> None:
    with proxied.dial() as sock:
        sock.send(b"PROXY ")
        await turns()
    await until(lambda: proxied.refused)
    assert proxied.refused[0][1] == "its PROXY header broke off"


async def test_a_health_check_that_only_connects_leaves_no_trace(proxied: Proxied) -> None:
    with proxied.dial() as sock:
        sock.shutdown(socket.SHUT_WR)
        assert await at_end(sock)
    assert (proxied.refused, proxied.talks) == ([], [])


@pytest.mark.parametrize("header", [local(), b"PROXY UNKNOWN\r\n"], ids=["LOCAL", "UNKNOWN"])
async def test_a_proxy_that_speaks_for_itself_is_the_peer(proxied: Proxied, header: bytes) -> None:
    with proxied.dial() as sock:
        sock.send(header)
        assert await heard(sock) == b"hello\r\n"
        peer = "{}:{}".format(*sock.getsockname())
        assert proxied.talks[0].connection.peer == peer
        assert proxied.talks[0].connection.via == Via(peer, True, "")


async def test_attack_58_a_proxy_is_known_by_its_ipv4_address_on_an_ipv6_socket(
    proxied: Proxied,
) -> None:
    for source in ("127.0.0.2", "127.0.0.3"):
        with proxied.dial(source) as sock:
            sock.send(v1("::ffff:203.0.113.7"))
            assert await heard(sock) == b"hello\r\n"
    assert {talk.connection.peer for talk in proxied.talks} == {"203.0.113.7:4242"}


async def test_attack_59_a_flood_of_bad_headers_is_counted_in_one_line(
    proxied: Proxied, clock: FakeClock
) -> None:
    for _ in range(TOLD_A_SWEEP + 7):
        with proxied.dial("127.0.0.1") as sock:
            assert await at_end(sock)
    assert len(proxied.refused) == TOLD_A_SWEEP
    clock.move(proxied.sweep_s)
    await until(lambda: proxied.more)
    assert proxied.more == [7]
    with proxied.dial("127.0.0.1") as sock:
        assert await at_end(sock)
    assert len(proxied.refused) == TOLD_A_SWEEP + 1


async def test_a_listener_that_drains_waits_for_the_headers_it_was_promised(
    proxied: Proxied, clock: FakeClock
) -> None:
    with proxied.dial() as sock:
        await turns()
        draining = asyncio.get_running_loop().create_task(proxied.drain())
        await turns()
        sock.send(v1("203.0.113.7") + b"quit\r\n")
        assert await heard(sock) == b"hello\r\nbye\r\n"
        assert await at_end(sock)
        await until(lambda: not proxied.connections)
        clock.move(1)
        await draining


async def test_a_listener_that_stops_closes_what_has_no_header_yet(proxied: Proxied) -> None:
    with proxied.dial() as sock:
        sock.send(b"PROXY ")
        await turns()
        assert await proxied.stop(0) == 0
        assert await at_end(sock)
    assert proxied.refused == []
