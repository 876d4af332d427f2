"""Guessing, flooding and running out: nobody is locked out, and little is written."""

from __future__ import annotations

import os
import resource
import select
import socket
import struct
from collections.abc import Callable

import pytest

import scale
from component.conftest import Service
from support.events import wait_for

MAIL = b"Subject: one\n\nfirst\n"
STAT = "+OK 1 23"


@pytest.mark.attack(21, "one user")
@pytest.mark.attack(22)
def test_whoever_guesses_at_an_account_does_not_lock_its_owner_out(
    own_service: Callable[..., Service],
) -> None:
    """Dozens wait for the answer to a wrong password when the right one is answered."""
    service = own_service(
        POP3_MIN_LOGIN_DELAY="60", POP3_MAX_LOGIN_DELAY="60", POP3_REMEMBER_LOGIN="0"
    )
    box = service.account(MAIL)
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask("QUIT") == "+OK bye"
    guessers = [service.connect() for _ in range(40)]
    for number, guesser in enumerate(guessers):
        guesser.send(f"USER {box.name}\r\nPASS wrong{number}\r\n".encode())
        assert guesser.line().startswith(b"+OK")
    wait_for(lambda: len(service.lines('event="login refused"')) >= 40)
    for _ in range(10):
        with service.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("STAT") == STAT
            assert client.ask("QUIT") == "+OK bye"
    answered, _, _ = select.select([it.socket for it in guessers], [], [], 0)
    assert answered == []
    for guesser in guessers:  # with a reset, so that nobody finishes what they asked for
        guesser.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        guesser.close()


@pytest.mark.attack(59)
def test_a_client_cannot_flood_the_log(own_service: Callable[..., Service]) -> None:
    """One line a session and one a wrong password, short ones, whatever was sent."""
    service = own_service(POP3_MIN_LOGIN_DELAY="0", POP3_MAX_LOGIN_DELAY="0")
    wait_for(lambda: any("sandbox of transforms" in line for line in service.daemon.log))
    start = len(service.daemon.log)
    for _ in range(scale.FLOODING_CLIENTS):
        with service.connect() as client:
            client.send(b"\x1b[31m\x07evil event=forged\r\n" * 9)
            client.send(b"USER " + b"\xff\n" + b"USER " + b"n" * 2000 + b"\r\n")
            client.send(b"PASS " + b"p" * 2000 + b"\r\n" + b"x" * 10_000 + b"\r\nQUIT\r\n")
            client.file.read()
    wait_for(lambda: not service.sessions())

    def told(event: str) -> list[str]:
        return [it for it in service.daemon.log[start:] if f'event="{event}"' in it]

    wait_for(lambda: len(told("session ended")) >= scale.FLOODING_CLIENTS)
    lines = told("session ended") + told("login refused")
    others = [it for it in service.daemon.log[start:] if it not in lines]
    assert len(told("login refused")) <= scale.FLOODING_CLIENTS
    assert all("name=default" in it or 'event="audit head"' in it for it in others), others
    assert max(map(len, lines)) < 500
    assert all(it.isascii() and it.strip("\n").isprintable() for it in lines)


@pytest.mark.attack(57, "descriptors")
def test_without_descriptors_sessions_go_on_and_what_waits_is_served_later(
    own_service: Callable[..., Service],
) -> None:
    service = own_service(POP3_MAX_CONNECTIONS="10000")
    box, large = service.account(MAIL), service.account(MAIL * 10_000)
    kept, reading = service.connect(60), service.connect(60)
    assert kept.log_in(box.name) == "+OK Logged in"
    assert reading.log_in(large.name) == "+OK Logged in"
    pids = [pid for pid, what in service.daemon.pids().items() if what == "worker"]
    limits = {}
    for pid in pids or [service.daemon.process.pid]:
        limits[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        few = len(os.listdir(f"/proc/{pid}/fd")) + 30
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (few, limits[pid][1]))
    accepted = [
        socket.create_connection(("127.0.0.1", service.daemon.pop3), 60) for _ in range(300)
    ]
    greeted = select.select([it.fileno() for it in accepted], [], [], 60)[0]
    assert 0 < len(greeted) < len(accepted)
    for _ in range(3):
        reply = reading.ask("RETR 1")
        if reply.startswith("+OK"):
            assert len(reading.body()) == 230_000
        else:
            assert reply.startswith(("-ERR [SYS/TEMP] ", "-ERR [SYS/PERM] "))
        assert kept.ask("STAT") == STAT
    for client in accepted[:-20]:
        client.close()
    for pid, limit in limits.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    for client in accepted[-20:]:
        client.settimeout(60)
        assert client.recv(100).startswith(b"+OK POP3")
        client.close()
    with kept, reading:
        assert kept.ask("QUIT") == "+OK bye"
        assert len(reading.ask_many("RETR 1")[1]) == 230_000
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
