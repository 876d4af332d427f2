"""Memory of the real service under attack, while others go on: bounded, whatever is sent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import scale
from component.conftest import Service
from pop3mgmt.client import ManagementClient
from support import daemon
from support.bystander import MAIL, Watched, watching
from support.certificates import authority
from support.crowd import all_descriptors, in_turns
from support.events import wait_for
from support.pop3 import Pop3
from support.tls import TlsEnd, client_context

MIB_KB = 1024
CHUNK = b"x" * 65536


class Attacked(Service):
    """A service that others use while it is attacked."""

    def __init__(self, running: daemon.Daemon, workers: int) -> None:
        super().__init__(running)
        self.workers = workers
        self.bystander = self.account(MAIL)
        self.names = (f"a{number}" for number in itertools.count())

    @contextlib.contextmanager
    def under(self, what: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Watched]:
        """Watch; at the end all is as before, and the figures are told."""
        with watching(self.memory_kb, lambda: self.connect(120), self.bystander.name) as watched:
            yield watched
        wait_for(lambda: not self.sessions(), 60)
        with capsys.disabled():
            print(f"\nworkers={self.workers}, {watched.row(what)}")

    def many(self, count: int) -> list[str]:
        """So many new accounts."""
        names = list(itertools.islice(self.names, count))

        async def create() -> None:
            async with ManagementClient(self.daemon.grpc_target) as client:
                admin = await client.login("default", "default")
                await in_turns(lambda name: admin.create_account(name, "secret"), names)

        asyncio.run(create())
        return names

    def logged_in(self, name: str) -> Pop3:
        client = self.connect(120)
        assert client.log_in(name) == "+OK Logged in"
        return client


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def attacked(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Attacked]:
    folder: Path = tmp_path_factory.mktemp("attacked")
    chain, key = authority().issue("mail.example").write(folder / "tls")
    settings = {
        "POP3_MAX_ACCOUNTS": "100000",
        "POP3_MAX_CONNECTIONS": "100000",
        "POP3_TLS_CERT": str(chain),
        "POP3_TLS_KEY": str(key),
    }
    with (
        all_descriptors(),
        daemon.running(
            folder, workers=request.param, environment=settings, measured=True
        ) as running,
    ):
        yield Attacked(running, request.param)
    assert "Traceback" not in "".join(running.log)


@pytest.mark.attack(1)
@pytest.mark.parametrize("state", ["before login", "after login"])
def test_lines_without_an_end_take_no_memory(
    attacked: Attacked, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    """A connection is cut off early, and so the attacker comes again and again."""
    box = attacked.account(b"one\n")
    sent = 0
    with attacked.under(f"{scale.ENDLESS_LINE >> 20} MiB without LF {state}", capsys) as watched:
        while sent < scale.ENDLESS_LINE:
            wait_for(lambda: not attacked.sessions(box.name))
            client = attacked.connect()
            if state == "after login":
                assert client.log_in(box.name) == "+OK Logged in"
            with client, contextlib.suppress(ConnectionError):
                while sent < scale.ENDLESS_LINE:
                    client.send(CHUNK)
                    sent += len(CHUNK)
                assert client.file.read() == b"-ERR command line too long\r\n"
    assert watched.grown_kb < 8 * MIB_KB


@pytest.mark.attack(2, "before login", "after login")
@pytest.mark.parametrize("state", ["before login", "after login"])
def test_commands_that_trickle_in_take_little_memory(
    attacked: Attacked, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    count = scale.SLOW_CLIENTS
    names = attacked.many(count) if state == "after login" else []
    with attacked.under(f"{count} slow clients {state}", capsys) as watched:
        clients = [attacked.logged_in(name) for name in names]
        clients = clients or [attacked.connect(120) for _ in range(count)]
        for octet in b"NOOP":
            for client in clients:
                client.send(bytes([octet]))
        wait_for(lambda: len(attacked.sessions()) >= count)
        for client in clients:
            client.close()
    assert watched.grown_kb < 8 * MIB_KB + 32 * count


@pytest.mark.attack(3)
@pytest.mark.parametrize("command", ["RETR 1", "UIDL"])
def test_clients_that_never_read_take_no_more_than_their_buffers(
    attacked: Attacked, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    count = scale.DEAF_CLIENTS
    names = attacked.many(count)
    for name in names:
        fill(attacked, name, command)
    with attacked.under(f"{count} clients that never read {command}", capsys) as watched:
        clients = [attacked.logged_in(name) for name in names]
        for client in clients:
            client.socket.setblocking(False)
            push(client.socket, f"{command}\r\n".encode() * 10_000)
        wait_for(lambda: len(attacked.sessions()) >= count)
        for client in clients:
            client.close()
    # 64 KiB each to be sent and as many received, and a piece of the message in two forms.
    assert watched.grown_kb < 8 * MIB_KB + 512 * count


def fill(service: Service, name: str, command: str) -> None:
    new = service.daemon.mail / name / "new"
    if command == "UIDL":
        for number in range(500):
            (new / f"{number}.M{'1' * 50}").write_bytes(b"x\n")
    else:
        with (new / "1.large").open("wb") as file:
            file.truncate(10 << 20)  # sparse: the clients do not read it


def push(sock: socket.socket, octets: bytes) -> None:
    """Send until nobody takes any more for a moment, or all is gone."""
    with memoryview(octets) as view:
        at = 0
        while at < len(octets) and select.select([], [sock], [], 0.3)[1]:
            at += sock.send(view[at:])


@pytest.mark.attack(7, "pipelined", "after quit")
@pytest.mark.parametrize("end", ["read", "after quit"])
def test_very_many_commands_at_once_take_no_memory(
    attacked: Attacked, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    box = attacked.account(b"one\n")
    commands = b"LIST 1\r\n" * scale.PIPELINED
    with attacked.under(f"{scale.PIPELINED} commands at once, {end}", capsys) as watched:
        with attacked.logged_in(box.name) as client:
            if end == "after quit":
                with contextlib.suppress(ConnectionError):
                    client.send(b"QUIT\r\n" + commands)  # alone, nothing would wait behind it
                assert client.file.read() == b"+OK bye\r\n"
            else:
                sender = attacked.in_thread(client.send, commands)
                for _ in range(scale.PIPELINED):
                    assert client.line() == b"+OK 1 5\r\n"
                sender.join()
    assert watched.grown_kb < 8 * MIB_KB


@pytest.mark.attack(15, "flood", "stall")
@pytest.mark.parametrize("way", ["flood", "stall"])
def test_handshakes_take_little_memory(
    attacked: Attacked, capsys: pytest.CaptureFixture[str], way: str
) -> None:
    count = scale.STALLED_HANDSHAKES
    context = client_context()

    def complete(_: int) -> None:
        with Pop3(attacked.daemon.pop3_tls, timeout=120, tls=context) as client:
            assert client.greeting.startswith(b"+OK")

    def begin(_: int) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", attacked.daemon.pop3_tls), 120)
        client.sendall(TlsEnd(context).handshake())
        return client

    with (
        attacked.under(f"{count} handshakes, {way}", capsys) as watched,
        ThreadPoolExecutor(32) as threads,
    ):
        if way == "flood":
            list(threads.map(complete, range(count)))
        else:
            clients = list(threads.map(begin, range(count)))
            wait_for(lambda: len(attacked.sessions()) >= count)
            for client in clients:
                client.close()
    # OpenSSL's buffers: a completed one keeps none, one at a time and a thread.
    assert watched.grown_kb < 24 * MIB_KB + (96 * count if way == "stall" else 0)
