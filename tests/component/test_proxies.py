"""Clients behind a proxy: what the service sees and says of them (attacks 56 and 58)."""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from component.conftest import Service
from support import daemon, haproxy
from support.certificates import authority
from support.events import wait_for
from support.pop3 import Pop3
from support.proxied import local, ssl, v1, v2
from support.tls import client_context

PROXY = "127.0.0.2"
CLIENT = "127.0.0.77"
TOLD = 'event="proxy connection refused"'


class Behind(Service):
    """A service behind proxies that connect from one address."""

    def port(self, name: str) -> int:
        [line] = [line for line in self.daemon.log if 'event="service started"' in line]
        facts = dict(word.split("=", 1) for word in line.split() if "=" in word)
        return int(facts[name])

    def dial(self, header: bytes, source: str = PROXY, *, tls: bool = False) -> socket.socket:
        port = self.port("pop3_proxy_tls" if tls else "pop3_proxy")
        sock = socket.create_connection(("127.0.0.1", port), 30, source_address=(source, 0))
        sock.sendall(header)
        return sock

    def ask_behind(self, header: bytes, *, tls: bool = False) -> "Client":
        return Client(self.dial(header, tls=tls), tls=tls)

    def peers(self, account: str) -> list[str]:
        return [session.peer for session in self.sessions(account)]


class Client(Pop3):
    """A client on a connection that is there already."""

    def __init__(self, sock: socket.socket, *, tls: bool = False) -> None:
        self.socket = client_context().wrap_socket(sock) if tls else sock
        self.file = self.socket.makefile("rb")
        self.greeting = self.line()


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def behind(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Behind]:
    """One service for all tests. At its end the log has no traceback."""
    folder = tmp_path_factory.mktemp("behind")
    chain, key = authority().issue("pop.test").write(folder / "tls")
    environment = {
        "POP3_PORT_PROXY": "0",
        "POP3_PORT_PROXY_TLS": "0",
        "POP3_PROXY_FROM": f"::ffff:{PROXY}/128,2001:db8::/32",
        "POP3_TLS_CERT": str(chain),
        "POP3_TLS_KEY": str(key),
        "POP3_MIN_LOGIN_DELAY": "0.01",
        "POP3_MAX_LOGIN_DELAY": "10",
    }
    with daemon.running(folder, workers=request.param, environment=environment) as running:
        yield Behind(running)
    assert "Traceback" not in "".join(running.log)
    assert running.process.returncode == 0


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("make", [v1, v2])
@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("203.0.113.7", "203.0.113.7:4242"),
        ("2001:db8::7", "[2001:db8::7]:4242"),
        ("::ffff:203.0.113.8", "203.0.113.8:4242"),
    ],
)
def test_attack_58_sessions_and_log_tell_the_client_and_not_the_proxy(
    behind: Behind, make: Callable[[str], bytes], source: str, shown: str, tls: bool
) -> None:
    box = behind.account(b"one\n")
    with behind.ask_behind(make(source), tls=tls) as client:
        proxy = "{}:{}".format(*client.socket.getsockname())
        assert client.log_in(box.name) == "+OK Logged in"
        assert behind.peers(box.name) == [shown]
        assert client.ask_many("RETR 1")[1] == b"one\r\n"
        assert client.ask("QUIT") == "+OK bye"
    ended = [f"account={box.name} ", f"peer={shown} ", f" proxy={proxy}"]
    wait_for(lambda: behind.lines('event="session ended"', *ended))


def test_the_throttle_counts_by_the_clients_network_and_not_by_the_proxy(behind: Behind) -> None:
    name = behind.account().name
    # Of an account each, for accounts are counted too.
    for number, source in enumerate(("198.51.100.1", "198.51.100.2", "198.51.101.1")):
        with behind.ask_behind(v2(source)) as client:
            assert client.log_in(f"{name}-{number}", "wrong").startswith("-ERR [AUTH]")
    counted = {
        throttled.network: throttled.failure_count
        for throttled in behind.manage(lambda admin: admin.list_throttled())
    }
    assert counted["198.51.100.0/24"] == 2
    assert counted["198.51.101.0/24"] == 1
    assert "127.0.0.0/24" not in counted


@pytest.mark.parametrize(
    ("header", "source", "reason"),
    [
        (v1("203.0.113.7"), "127.0.0.1", "not from a trusted network"),
        (b"USER ana\r\nPASS x\r\n", PROXY, "there is no PROXY header"),
        (b"PROXY TCP4 1.2.3.4\r\n", PROXY, "its protocol is unknown"),
        (v2("203.0.113.7", 1, b"\x04\xff\xff"), PROXY, "goes beyond its end"),
        (b"PROXY UNKNOWN" + b" " * 1000, PROXY, "longer than 107 octets"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", PROXY, "there is no PROXY header"),
    ],
    ids=["untrusted", "missing", "malformed", "parts", "oversized", "TLS"],
)
def test_attack_56_what_is_no_header_of_a_proxy_of_ours_is_closed_with_a_line_in_the_log(
    behind: Behind, header: bytes, source: str, reason: str
) -> None:
    with behind.dial(header, source) as sock:
        peer = f"peer={source}:{sock.getsockname()[1]} "
        try:
            assert sock.recv(100) == b""
        except ConnectionResetError:
            pass
    wait_for(lambda: behind.lines(TOLD, peer))
    [line] = behind.lines(TOLD, peer)
    assert reason in line
    assert behind.lines('event="session ended"', peer) == []


def test_attack_56_a_header_may_come_octet_by_octet(behind: Behind) -> None:
    box = behind.account()
    sock = behind.dial(b"")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in v2("203.0.113.9", 99):
        sock.sendall(bytes([octet]))
    with Client(sock) as client:
        assert client.log_in(box.name) == "+OK Logged in"
        assert behind.peers(box.name) == ["203.0.113.9:99"]


def test_attack_56_a_header_on_another_port_is_a_bad_command(behind: Behind) -> None:
    box = behind.account()
    with behind.connect() as client:
        client.send(v1("203.0.113.7"))
        assert client.line().startswith(b"-ERR")
        assert client.log_in(box.name) == "+OK Logged in"
        assert behind.peers(box.name) == ["{}:{}".format(*client.socket.getsockname())]


def test_a_health_check_leaves_no_line(behind: Behind) -> None:
    for header in (local(), b"PROXY UNKNOWN\r\n"):
        with behind.ask_behind(header) as client:
            checked = f"peer={PROXY}:{client.socket.getsockname()[1]} "
        behind.dial(b"").close()
        with behind.ask_behind(header) as client:
            assert client.ask("CAPA").startswith("+OK")
            asked = f"peer={PROXY}:{client.socket.getsockname()[1]} "
        wait_for(lambda asked=asked: behind.lines('event="session ended"', asked))
        assert behind.lines(checked) == []


def test_stls_is_offered_behind_a_proxy_unless_the_proxy_speaks_tls(behind: Behind) -> None:
    with behind.ask_behind(v2("203.0.113.7")) as client:
        assert "STLS" in client.listing("CAPA")
    with behind.ask_behind(v2("203.0.113.7", 4243, ssl())) as client:
        assert "STLS" not in client.listing("CAPA")
        assert client.ask("STLS").startswith("-ERR")
        assert client.ask("QUIT") == "+OK bye"
    shown = ["peer=203.0.113.7:4243", 'proxy_tls="TLSv1.3 TLS_AES_128_GCM_SHA256"']
    wait_for(lambda: behind.lines('event="session ended"', *shown))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"POP3_PORT_PROXY": "0"}, "a port for proxies needs --proxy-from"),
        ({"POP3_PORT_PROXY_TLS": "0"}, "a port for proxies needs --proxy-from"),
        (
            {"POP3_PORT_PROXY_TLS": "0", "POP3_PROXY_FROM": PROXY},
            "--port-proxy-tls needs a certificate",
        ),
        ({"POP3_PROXY_FROM": "10.0.0.1/8"}, "POP3_PROXY_FROM: 10.0.0.1/8 has host bits set"),
    ],
)
def test_a_port_for_proxies_that_lacks_something_is_a_clear_error_at_the_start(
    tmp_path: Path, given: dict[str, str], reason: str
) -> None:
    with pytest.raises(RuntimeError, match=reason), daemon.running(tmp_path, environment=given):
        pass


# --- a real proxy --------------------

Before = Callable[[Path, Behind], AbstractContextManager[Pop3]]


@contextmanager
def own_sender(folder: Path, behind: Behind) -> Iterator[Pop3]:
    with behind.ask_behind(v1(CLIENT)) as client:
        yield client


def through_haproxy(server: str, *, tls: bool = False) -> Before:
    """A client of HAProxy, which sends what ``server`` says; with ``tls`` it ends TLS."""

    @contextmanager
    def through(folder: Path, behind: Behind) -> Iterator[Pop3]:
        bind = ""
        if tls:
            issued = authority().issue("pop.test")
            (folder / "both.pem").write_bytes(issued.chain + issued.key)
            bind = f"ssl crt {folder / 'both.pem'}"
        at = behind.port("pop3_proxy")
        with haproxy.running(folder, at, source=PROXY, server=server, bind=bind) as port:
            sock = socket.create_connection(("127.0.0.1", port), 30, source_address=(CLIENT, 0))
            with Client(sock, tls=tls) as client:
                yield client

    return through


SENDERS: dict[str, Any] = {"our own": own_sender}
if haproxy.INSTALLED:
    SENDERS |= {
        "haproxy send-proxy": through_haproxy("send-proxy"),
        "haproxy send-proxy-v2": through_haproxy("send-proxy-v2"),
        "haproxy with checksum": through_haproxy("send-proxy-v2 proxy-v2-options crc32c,unique-id"),
        "haproxy that ends TLS": through_haproxy("send-proxy-v2-ssl-cn", tls=True),
        "haproxy that checks": through_haproxy("send-proxy-v2 check inter 20ms"),
    }


@pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)
def test_a_client_is_seen_as_itself_through_a_proxy(
    behind: Behind, tmp_path: Path, sender: Before
) -> None:
    box = behind.account(b"one\n")
    with sender(tmp_path, behind) as client:
        assert client.greeting.startswith(b"+OK POP3")
        assert client.log_in(box.name) == "+OK Logged in"
        [peer] = behind.peers(box.name)
        assert peer.startswith(f"{CLIENT}:")
        assert client.ask_many("RETR 1")[1] == b"one\r\n"
        assert client.ask("QUIT") == "+OK bye"


if haproxy.INSTALLED:

    def test_the_checks_of_haproxy_leave_no_line(behind: Behind, tmp_path: Path) -> None:
        def checked() -> int:
            return behind.manage(lambda admin: admin.get_status()).total_connection_count

        before = checked()
        with haproxy.running(
            tmp_path,
            behind.port("pop3_proxy"),
            source=PROXY,
            server="send-proxy-v2 check inter 20ms",
        ):
            wait_for(lambda: checked() >= before + 5)
        own = behind.account()
        with behind.ask_behind(v1("203.0.113.99")) as client:
            client.log_in(own.name)
            client.ask("QUIT")
        wait_for(lambda: behind.lines('event="session ended"', f"account={own.name}"))
        lines = behind.lines('event="session ended"', f"peer={PROXY}:")
        assert [line for line in lines if "commands=0 " in line] == []
