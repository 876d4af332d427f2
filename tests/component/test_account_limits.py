"""Accounts at their limits and deleted in use; counters of connections that end abruptly."""

import os
import signal
import socket
import struct
from collections.abc import Callable

import pytest

from component.conftest import Service, Start
from pop3mgmt.v1 import server_pb2
from support import gateway
from support.events import wait_for
from support.pop3 import Pop3

OPEN = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0"}


def names(service: Service) -> list[str]:
    return [it.name for it in service.manage(lambda admin: admin.list_accounts())]


@pytest.mark.attack(50, "twice", "at the maximum", "below the count", "0", "negative", "2^63")
def test_the_number_of_accounts_stays_within_a_maximum_that_makes_sense(
    in_one_process: Start,
) -> None:
    service = in_one_process(POP3_MAX_ACCOUNTS="3", **OPEN)
    with gateway.running(service.daemon.grpc_target) as scmp, scmp.log_in() as admin:
        assert admin.ask("ADD_USER ana first") == "+OK account ana created"
        assert admin.ask("ADD_USER ana second").startswith("-ERR [ALREADY-EXISTS]")
        assert admin.ask("ADD_USER ben secret") == "+OK account ben created"
        assert admin.ask("ADD_USER eva secret") == (
            "-ERR [LIMIT] the maximum of 3 accounts is reached; MAX_USERS raises it"
        )
        assert admin.ask("ADD_USER ana third").startswith("-ERR [ALREADY-EXISTS]")
        assert admin.ask("MAX_USERS 2") == "-ERR [LIMIT] 2 is below the 3 there are now"
        for word in ("0", "-1", "-0", "+4", "4.0", "0x4", "9223372036854775808", "2147483648",
                     "18446744073709551617", "10000001"):  # fmt: skip
            assert admin.ask(f"MAX_USERS {word}").startswith("-ERR [INVALID]"), word
        assert admin.ask("MAX_USERS") == "+OK 3 accounts at most"
        with service.connect() as client:  # who came second took nothing away
            assert client.log_in("ana", "first") == "+OK Logged in"
        # A maximum that was reached is free again once somebody goes.
        assert admin.ask("DELETE_USER ben").startswith("+OK")
        assert admin.ask("ADD_USER eva secret") == "+OK account eva created"
    for value in (0, -1, -(2**31), 2**31 - 1):
        with pytest.raises(Exception, match="max_accounts must be from 1"):
            service.change(max_accounts=value)
    with pytest.raises(ValueError, match="range"):
        server_pb2.Settings(max_accounts=2**63)
    assert sorted(names(service)) == ["ana", "default", "eva"]


@pytest.mark.attack(51, "oneself", "the last admin", "logged in")
def test_who_is_deleted_is_out_at_once_and_an_admin_is_always_left(own_service: Start) -> None:
    service = own_service(**OPEN)
    box = service.account(b"one\n", b"two\n")
    with gateway.running(service.daemon.grpc_target) as scmp:
        with scmp.log_in() as admin:
            assert admin.ask("DELETE_USER default").startswith("-ERR [LAST-ADMIN]")
            assert admin.ask("DELETE_USER DEFAULT").startswith("-ERR [NOT-FOUND]")

            # Somebody who is logged in, with deletions marked and a reply on its way.
            client = service.connect()
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("DELE 1").startswith("+OK")
            assert admin.ask(f"DELETE_USER {box.name}") == (
                f"+OK account {box.name} deleted, 1 sessions ended, mail kept"
            )
            assert ended(client)
            assert len(box.files()) == 2
            with service.connect() as again:
                assert again.log_in(box.name).startswith("-ERR [AUTH]")

        # An admin that deletes itself: this login ends, the other admin goes on.
        service.manage(lambda admin: admin.create_account("second", "secret", "admin"))
        with scmp.log_in("second", "secret") as own, scmp.log_in() as other:
            assert own.ask("DELETE_USER second") == (
                "+OK account second deleted, 0 sessions ended, mail kept"
            )
            assert own.ask("USERS").startswith("-ERR [AUTH]")
            assert own.log_in("second", "secret").startswith("-ERR [AUTH]")
            assert other.ask("NOOP") == "+OK"
            assert other.ask("DELETE_USER default").startswith("-ERR [LAST-ADMIN]")
    assert names(service) == ["default"]


def ended(client: Pop3) -> bool:
    try:
        return client.at_end()
    except ConnectionResetError:
        return True


def status(service: Service) -> server_pb2.Status:
    return service.manage(lambda admin: admin.get_status())


def never_negative(now: server_pb2.Status) -> None:
    for field, value in now.ListFields():
        if field.name.endswith(("_count", "_bytes")):
            assert value >= 0, field.name
    assert now.current_connection_count <= now.total_connection_count
    assert now.logged_in_session_count <= now.current_connection_count


def reset(client: Pop3) -> None:
    """Close with a reset, whatever is on its way."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.attack(55, "resets")
def test_counters_come_back_to_nothing_however_connections_end(own_service: Start) -> None:
    service = own_service(**OPEN)
    box = service.account(*[b"x" * 200_000 + b"\n"] * 3)
    rounds = 6

    def at_once(_: Pop3) -> None:
        """Say nothing at all."""

    def with_a_name(client: Pop3) -> None:
        client.send(f"USER {box.name}\r\n".encode())

    def in_a_login(client: Pop3) -> None:
        client.send(f"USER {box.name}\r\nPASS secret\r\n".encode())

    def in_a_wrong_login(client: Pop3) -> None:
        client.send(f"USER {box.name}\r\nPASS wrong\r\n".encode())

    def in_retr(client: Pop3) -> None:
        client.send(f"USER {box.name}\r\nPASS secret\r\nRETR 1\r\n".encode())
        client.socket.recv(100)

    def in_quit(client: Pop3) -> None:
        client.send(f"USER {box.name}\r\nPASS secret\r\nQUIT\r\n".encode())

    ways: list[Callable[[Pop3], None]] = [
        at_once, with_a_name, in_a_login, in_a_wrong_login, in_retr, in_quit,
    ]  # fmt: skip
    for _ in range(rounds):
        clients = [service.connect() for _ in ways]
        for way, client in zip(ways, clients, strict=True):
            way(client)
            reset(client)
        never_negative(status(service))
    wait_for(lambda: status(service).current_connection_count == 0)
    end = status(service)
    never_negative(end)
    assert end.logged_in_session_count == 0
    assert end.total_connection_count == rounds * len(ways)
    assert not service.sessions()


@pytest.mark.attack(55, "killed worker")
def test_counters_of_a_killed_worker_are_neither_lost_nor_counted_twice(
    with_workers: Start,
) -> None:
    service = with_workers(**OPEN)
    box = service.account(b"one\n")
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask_many("RETR 1")
        assert client.ask("QUIT").startswith("+OK")
    wait_for(lambda: status(service).current_connection_count == 0)
    before = status(service)
    clients = [service.connect() for _ in range(8)]
    assert status(service).current_connection_count == 8
    workers = [pid for pid, what in service.daemon.pids().items() if what == "worker"]
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    assert all(map(ended, clients))
    wait_for(lambda: status(service).worker_restart_count == len(workers))
    after = status(service)
    never_negative(after)
    assert (after.current_connection_count, after.logged_in_session_count) == (0, 0)
    assert after.total_connection_count == before.total_connection_count + 8
    assert after.sent_message_count == before.sent_message_count == 1
    assert after.sent_bytes >= before.sent_bytes
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
