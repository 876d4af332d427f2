"""SCMP in TLS: STLS, the port where TLS begins at once, and passwords outside of both."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support import daemon
from support import gateway as gateways
from support.certificates import authority, pem
from support.daemon import Daemon
from support.events import wait_for
from support.gateway import Gateway
from support.pop3 import Pop3
from support.tls import TlsEnd, client_context

BEGIN = "+OK begin TLS"
USE_TLS = "-ERR [TLS] no password in clear text here, use STLS or the TLS port first"
MAIL = authority().issue("scmp.test")


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Daemon]:
    settings = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0"}
    with daemon.running(tmp_path_factory.mktemp("service"), environment=settings) as running:
        yield running


@contextlib.contextmanager
def with_tls(service: Daemon, folder: Path, *arguments: str) -> Iterator[Gateway]:
    chain, key = MAIL.write(folder)
    files = ("--tls-cert", str(chain), "--tls-key", str(key))
    with gateways.running(
        service.grpc_target, *files, *arguments, secret=service.gateway_secret
    ) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def gateway(service: Daemon, tmp_path_factory) -> Iterator[Gateway]:
    with with_tls(service, tmp_path_factory.mktemp("tls")) as running:
        yield running


def secured(gateway: Gateway) -> Pop3:
    client = gateway.connect()
    assert client.ask("STLS") == BEGIN
    client.secure(client_context())
    return client


def works(client: Pop3) -> None:
    assert client.log_in("default", "default").startswith("+OK logged in as default (admin)")
    assert client.listing("USERS") == ["default admin sessions=0"]


@pytest.mark.parametrize("way", ["stls", "port"])
def test_scmp_is_spoken_in_tls(gateway: Gateway, service: Daemon, way: str) -> None:
    with secured(gateway) if way == "stls" else gateway.connect_tls() as client:
        assert client.tls.version() == "TLSv1.3"
        assert "STLS" not in client.listing("CAPA")
        assert client.ask("STLS") == "-ERR this connection is in TLS already"
        works(client)
        host, port = client.socket.getsockname()
        assert client.ask("QUIT") == "+OK bye"
        assert client.at_end()
    mine = f"peer={host}:{port}"
    wait_for(lambda: any(mine in it and 'tls="TLSv1.3' in it for it in list(gateway.log)))
    wait_for(lambda: any(mine in it and "management login" in it for it in list(service.log)))


def test_stls_is_offered_where_it_can_be_said(gateway: Gateway, service: Daemon) -> None:
    with gateway.connect() as client:
        assert "STLS" in client.listing("CAPA")
        assert any(line.startswith("STLS") for line in client.listing("HELP"))
        assert client.ask("STLS now") == "-ERR usage: STLS"
        works(client)
        assert "STLS" not in client.listing("CAPA")
        assert client.ask("STLS") == "-ERR STLS comes before the login; send LOGOUT first"
        assert client.ask("NOOP") == "+OK"
    with gateways.running(service.grpc_target) as other, other.connect() as client:
        assert "STLS" not in client.listing("CAPA")
        assert client.ask("STLS") == "-ERR there is no TLS here"
        assert other.port_tls == 0


def test_what_was_said_before_stls_is_forgotten(gateway: Gateway) -> None:
    with gateway.connect() as client:
        assert client.ask("USER default").startswith("+OK")
        assert client.ask("STLS") == BEGIN
        client.secure(client_context())
        assert client.ask("PASS default") == "-ERR send USER first"
        works(client)


@pytest.mark.parametrize(
    "behind", [b"USER default\r\nPASS default\r\nADD_USER eve eve\r\n", b"USER default\r\nPASS def"]
)
def test_commands_in_the_segment_of_stls_are_thrown_away(gateway: Gateway, behind: bytes) -> None:
    with gateway.connect() as client:
        client.send(b"STLS\r\n" + behind)
        assert client.line() == BEGIN.encode() + b"\r\n"
        client.secure(client_context())
        assert client.ask("NOOP") == "+OK"
        assert client.ask("PASS default") == "-ERR send USER first"
        works(client)


def test_half_a_command_is_not_finished_inside_tls(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.send(b"STLS\r\nDELETE_US")
        assert client.line() == BEGIN.encode() + b"\r\n"
        client.secure(client_context())
        assert client.ask("ER default") == "-ERR unknown command; send HELP"


def test_a_handshake_that_fails_ends_that_connection_alone(gateway: Gateway) -> None:
    with gateway.connect() as client, gateway.connect() as other:
        assert client.ask("STLS") == BEGIN
        client.send(b"USER default\r\nPASS default\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"+OK" not in client.file.read()
        assert other.ask("NOOP") == "+OK"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_are_refused(gateway: Gateway) -> None:
    old = client_context(ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        gateway.connect_tls(old)


def test_a_stalled_handshake_holds_up_nobody(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port_tls)) as stalled:
        stalled.send(TlsEnd(client_context()).handshake()[:20])
        with gateway.connect_tls() as client:
            works(client)


def test_openssl_finds_a_good_certificate(gateway: Gateway, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(pem(authority().root.certificate))
    for port, more in ((gateway.port_tls, ()), (gateway.port_tls, ("-tls1_2",))):
        ended = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", roots, "-quiet",
             "-verify_return_error", "-verify_hostname", "scmp.test", "-servername", "scmp.test",
             *more],
            input=b"NOOP\r\nQUIT\r\n", capture_output=True, timeout=120,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines()[1:] == [b"+OK", b"+OK bye"]


# --- passwords outside TLS --------------------


def test_never_means_that_passwords_are_sent_in_tls_alone(service: Daemon, tmp_path: Path) -> None:
    with with_tls(service, tmp_path, "--plaintext-login", "never") as gateway:
        with gateway.connect() as client:
            assert not {"USER", "PASS"} & set(client.listing("CAPA"))
            assert not [it for it in client.listing("HELP") if it.startswith(("USER", "PASS"))]
            for line in ("USER default", "PASS default", "USER default") * 5:
                assert client.ask(line) == USE_TLS
            assert client.ask("USERS").startswith("-ERR [AUTH]")
            assert client.ask("STLS") == BEGIN
            client.secure(client_context())
            assert {"USER", "PASS"} <= set(client.listing("CAPA"))
            works(client)
        with gateway.connect_tls() as client:
            works(client)


def test_local_means_that_passwords_stay_in_this_host(service: Daemon, tmp_path: Path) -> None:
    with with_tls(service, tmp_path, "--plaintext-login", "local") as gateway:
        with gateway.connect() as client:
            works(client)


# --- certificates that change --------------------


def test_a_new_certificate_is_taken_and_a_bad_one_is_not(service: Daemon, tmp_path: Path) -> None:
    def subject() -> str:
        with gateway.connect_tls() as client:
            return dict(pair[0] for pair in (client.tls.getpeercert() or {})["subject"])[
                "commonName"
            ]

    def told(text: str) -> bool:
        return any(text in line for line in list(gateway.log))

    with with_tls(service, tmp_path) as gateway:
        assert subject() == "scmp.test"
        authority().issue("new.test").write(tmp_path)
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: told("by=SIGHUP"))
        assert subject() == "new.test"
        MAIL.write(tmp_path / "other")
        (tmp_path / "privkey.pem").write_bytes((tmp_path / "other/privkey.pem").read_bytes())
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: told("certificate not taken; what was in force stays"))
        assert told("the key does not belong to the certificate")
        assert subject() == "new.test"
        old = datetime.now(UTC) - timedelta(days=60)
        authority().issue("old.test", start=old, life=timedelta(days=30)).write(tmp_path)
        wait_for(lambda: told("the certificate expired at"), 60)
        assert subject() == "new.test"
        with gateway.connect_tls() as client:
            client.log_in("default", "default")
            told_until = [it for it in client.listing("STATUS") if it.startswith("scmp-cert")]
        assert len(told_until) == 1
        authority().issue("next.test").write(tmp_path)
        wait_for(lambda: subject() == "next.test", 60)  # by itself
    assert "PRIVATE" not in "".join(gateway.log)


def scmp_gateway(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("scmp-gateway")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)


def test_a_start_with_what_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    chain, _ = MAIL.write(tmp_path)
    _, other = authority().issue("other.test").write(tmp_path / "other")
    ended = scmp_gateway("--port", "0", "--tls-cert", str(chain), "--tls-key", str(other))
    told = f"{chain}: the key does not belong to the certificate"
    assert ended.stderr == f"scmp-gateway: the certificate cannot be used: {told}\n"
    assert ended.returncode == 1
    ended = scmp_gateway("--port", "0", "--tls-cert", "/no/such.pem")
    assert "/no/such.pem: No such file or directory" in ended.stderr
    assert scmp_gateway("--tls-key", str(other)).returncode == 2
    assert scmp_gateway("--plaintext-login", "never").returncode == 2
    assert scmp_gateway("--plaintext-login", "sometimes").returncode == 2
