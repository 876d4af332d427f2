"""The real gateway proves itself to the real service, which then knows the clients' addresses."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import daemon
from support import gateway as gateways
from support.certificates import authority
from support.daemon import Daemon
from support.events import wait_for
from support.gateway import Gateway
from support.pop3 import Pop3
from support.ports import kept_port
from support.proxied import ssl, v1, v2
from support.tls import client_context

DENIED = "-ERR [DENIED] the gateway's secret is not the service's"


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Daemon]:
    no_delay = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0"}
    with daemon.running(tmp_path_factory.mktemp("service"), environment=no_delay) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(service: Daemon) -> Iterator[Gateway]:
    with gateways.running(service.grpc_target, secret=service.gateway_secret) as running:
        yield running


@pytest.fixture(scope="module")
def proxied(service: Daemon, tmp_path_factory) -> Iterator[Gateway]:
    """A gateway behind a proxy of this host, which takes passwords in TLS alone."""
    chain, key = authority().issue("scmp.test").write(tmp_path_factory.mktemp("tls"))
    with gateways.running(
        service.grpc_target,
        "--tls-cert", str(chain), "--tls-key", str(key), "--plaintext-login", "local",
        "--port-proxy", "0", "--proxy-from", "127.0.0.1",
        secret=service.gateway_secret,
    ) as running:  # fmt: skip
        yield running


def behind(gateway: Gateway, header: bytes) -> Pop3:
    """A client that a proxy has announced."""
    return Pop3(gateway.port_proxy, preface=header)


def own(client: Pop3) -> str:
    host, port = client.socket.getsockname()
    return f"{host}:{port}"


def peers(service: Daemon, event: str) -> set[str]:
    """Who did that, as the service's log tells."""
    lines = [line for line in list(service.log) if f'event="{event}"' in line]
    return {word[5:] for line in lines for word in line.split() if word.startswith("peer=")}


def test_a_login_is_logged_with_the_clients_address(service: Daemon, gateway: Gateway) -> None:
    with gateway.log_in() as one, gateway.connect(source="127.0.7.9") as two:
        assert two.log_in("default", "wrong").startswith("-ERR [AUTH]")
        assert own(two).startswith("127.0.7.9:")
        wait_for(lambda: own(one) in peers(service, "management login"))
        wait_for(lambda: own(two) in peers(service, "management login refused"))


@pytest.mark.parametrize("header", [v1("203.0.113.7"), v2("203.0.113.7"), v2("2001:db8::7")])
def test_a_client_behind_a_proxy_is_known_by_its_own_address(
    service: Daemon, proxied: Gateway, header: bytes
) -> None:
    client = behind(proxied, header)
    assert client.ask("STLS") == "+OK begin TLS"
    client.secure(client_context())
    assert client.log_in("default", "default").startswith("+OK")
    shown = "[2001:db8::7]:4242" if header == v2("2001:db8::7") else "203.0.113.7:4242"
    wait_for(lambda: shown in peers(service, "management login"))
    assert client.ask("QUIT") == "+OK bye"
    wait_for(lambda: any(f"peer={shown} " in it and "proxy=" in it for it in list(proxied.log)))


@pytest.mark.parametrize("header", [b"USER default\r\n", b"PROXY TCP4 no\r\n", b"\r\n\r\nNO\r\n"])
def test_what_is_no_header_of_a_proxy_is_closed_unanswered(proxied: Gateway, header: bytes) -> None:
    with socket.create_connection(("127.0.0.1", proxied.port_proxy), 30) as sock:
        sock.sendall(header)
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(100) == b""
    wait_for(lambda: any("proxy connection refused" in line for line in list(proxied.log)))


def test_a_proxy_from_elsewhere_is_closed_and_others_take_no_header(proxied: Gateway) -> None:
    with socket.create_connection(
        ("127.0.0.1", proxied.port_proxy), 30, source_address=("127.0.0.9", 0)
    ) as sock:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(v1("203.0.113.8"))
            assert sock.recv(100) == b""
    with proxied.connect() as client:
        assert client.ask(v1("203.0.113.8").decode().strip()).startswith("-ERR unknown command")


def test_tls_that_ended_at_the_proxy_counts(proxied: Gateway) -> None:
    with behind(proxied, v2("203.0.113.7", 4242, ssl())) as client:
        assert "STLS" not in client.listing("CAPA")
        assert client.log_in("default", "default").startswith("+OK")
    with behind(proxied, v2("203.0.113.7")) as client:
        assert client.ask("USER default").startswith("-ERR [TLS]")
        assert client.ask("STLS") == "+OK begin TLS"
        client.secure(client_context())
        assert client.log_in("default", "default").startswith("+OK")


def test_the_secret_is_its_owners_alone_and_in_no_log(service: Daemon, gateway: Gateway) -> None:
    secret = service.gateway_secret
    assert secret.stat().st_mode & 0o777 == 0o600
    with gateway.log_in() as client:
        client.ask("QUIT")
    for log in (service.log, gateway.log):
        assert secret.read_text().strip() not in "".join(log)


@pytest.mark.attack(53, "no secret")
def test_a_gateway_with_another_secret_is_refused(service: Daemon, tmp_path: Path) -> None:
    other = tmp_path / "secret"
    other.write_text("ab" * 32)
    with (
        gateways.running(service.grpc_target, secret=other) as gateway,
        gateway.connect() as client,
    ):
        assert client.log_in("default", "default") == DENIED
        wait_for(lambda: peers(service, "a false gateway was refused"))
        other.write_bytes(service.gateway_secret.read_bytes())
        wait_for(lambda: client.log_in("default", "default").startswith("+OK"))


def test_a_gateway_that_comes_first_finds_the_secret_once_it_is_made(tmp_path: Path) -> None:
    target = f"127.0.0.1:{kept_port()}"
    fixed = {"POP3_GRPC_LISTEN": target}
    with daemon.running(tmp_path, environment=fixed) as service:
        secret = service.gateway_secret
    secret.unlink()
    with gateways.running(target, secret=secret) as gateway:
        with gateway.connect() as client:
            assert client.log_in("default", "default").startswith("-ERR [UNAVAILABLE]")
        wait_for(lambda: any('event="no secret: ' in line for line in gateway.log))
        with daemon.running(tmp_path, environment=fixed) as service, gateway.connect() as client:
            wait_for(lambda: client.log_in("default", "default").startswith("+OK"))
            wait_for(lambda: own(client) in peers(service, "management login"))


def test_without_a_secret_the_service_sees_the_gateway(service: Daemon) -> None:
    with gateways.running(service.grpc_target) as gateway, gateway.log_in() as client:
        assert own(client) not in peers(service, "management login")


@pytest.mark.attack(53, "other words")
@pytest.mark.parametrize(
    "words",
    [
        "x-valija-client: 203.0.113.1:1",
        "default\0x-valija-client: 203.0.113.1:1",
        "default\rx-valija-client:203.0.113.1:1",
        "default\nx-valija-client: 203.0.113.1:1",
        "default\r\nx-valija-client: 203.0.113.1:1\r\nauthorization: Bearer x",
        "default%0d%0ax-valija-client:203.0.113.1:1",
    ],
)
def test_words_of_a_client_are_no_metadata(service: Daemon, gateway: Gateway, words: str) -> None:
    with gateway.connect() as client:
        client.send(f"USER {words}\r\nPASS no {words}\r\nADD_USER {words} x\r\nUSERS\r\n".encode())
        client.send(b"QUIT\r\n")
        replies = client.file.read().decode().splitlines()
    assert replies[-1] == "+OK bye"
    assert replies[-2] == "-ERR [AUTH] log in first, with USER and PASS"
    assert [line for line in replies if line.startswith("+OK") and "User name" not in line] == [
        "+OK bye"
    ]
    for event in ("management login", "management login refused", "a false gateway was refused"):
        assert not any("203.0.113.1" in peer for peer in peers(service, event))
