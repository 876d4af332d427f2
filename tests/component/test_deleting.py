"""Deleting: at QUIT in TRANSACTION alone, durably, and told as it is."""

import socket
import struct
import threading

import pytest

from component.conftest import Mailbox, Service
from support.events import wait_for
from support.pop3 import Pop3

MESSAGES = (b"one\n", b"two\n", b"three\n")


def bases(*numbers: int) -> set[str]:
    return {f"{1000 + number}.M{number}P1.host" for number in numbers}


def log_in(service: Service, box: Mailbox) -> Pop3:
    client = service.connect()
    assert client.log_in(box.name) == "+OK Logged in"
    return client


def test_quit_deletes_what_was_marked_and_nothing_else(service: Service) -> None:
    box = service.account(*MESSAGES)
    with log_in(service, box) as client:
        client.ask("DELE 1")
        client.ask("DELE 3")
        assert box.files() == bases(1, 2, 3)
        assert client.ask("QUIT") == "+OK 2 messages deleted, bye"
        assert box.files() == bases(2)
        assert client.at_end()
    with log_in(service, box) as client:
        assert client.listing("UIDL") == ["1 1002.M2P1.host"]


def test_rset_takes_every_mark_back(service: Service) -> None:
    box = service.account(*MESSAGES)
    with log_in(service, box) as client:
        client.send(b"DELE 1\r\nDELE 2\r\nRSET\r\nDELE 3\r\nQUIT\r\n")
        replies = [client.line() for _ in range(5)]
    assert all(reply.startswith(b"+OK") for reply in replies)
    assert box.files() == bases(1, 2)


@pytest.mark.parametrize("way", ["close", "reset", "half-close", "half a QUIT", "disconnect"])
def test_a_dropped_connection_deletes_nothing(service: Service, way: str) -> None:
    box = service.account(*MESSAGES)
    client = log_in(service, box)
    assert client.ask("DELE 1").startswith("+OK")
    match way:
        case "reset":
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        case "half-close":
            client.socket.shutdown(socket.SHUT_WR)
            assert client.at_end()
        case "half a QUIT":
            client.send(b"QUIT")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.at_end()
        case "disconnect":
            [session] = service.sessions(box.name)
            service.manage(lambda admin: admin.disconnect(session_id=session.id))
            assert client.at_end()
    client.close()
    wait_for(lambda: not service.sessions(box.name))
    with log_in(service, box) as client:
        assert client.ask("STAT") == "+OK 3 17"
    assert box.files() == bases(1, 2, 3)


def test_quit_before_login_deletes_nothing(service: Service) -> None:
    box = service.account(*MESSAGES)
    with service.connect() as client:
        client.ask(f"USER {box.name}")
        assert client.ask("QUIT") == "+OK bye"
        assert client.at_end()
    assert box.files() == bases(1, 2, 3)


def test_a_deletion_that_fails_is_told_with_its_count_and_the_others_are_done(
    service: Service,
) -> None:
    box = service.account(*MESSAGES)
    with log_in(service, box) as client:
        for number in (1, 2, 3):
            client.ask(f"DELE {number}")
        other = box.path / "new/1002.M2P1.host"
        other.rename(box.path / "tmp/kept")
        other.write_bytes(b"another message of the same name")
        assert client.ask("QUIT") == "-ERR [SYS/TEMP] 1 of 3 deleted messages not removed"
    assert other.read_bytes() == b"another message of the same name"
    assert box.files() == bases(2)


def test_what_is_gone_already_counts_as_deleted(service: Service) -> None:
    box = service.account(*MESSAGES)
    with log_in(service, box) as client:
        client.ask("DELE 1")
        client.ask("DELE 2")
        (box.path / "new/1001.M1P1.host").unlink()
        assert client.ask("QUIT") == "+OK 2 messages deleted, bye"
    assert box.files() == bases(3)


@pytest.mark.attack(35)
def test_a_quit_whose_client_is_gone_is_finished_all_the_same(service: Service) -> None:
    """DELE and QUIT were both sent; how far the reply came changes nothing."""
    box = service.account(*MESSAGES)
    client = log_in(service, box)
    client.send(b"DELE 2\r\nQUIT\r\n")
    client.close()
    wait_for(lambda: box.files() == bases(1, 3))
    wait_for(lambda: not service.sessions(box.name))
    with log_in(service, box) as again:
        assert again.ask("STAT") == "+OK 2 12"


# --- the lock --------------------


def test_a_second_session_is_refused_until_the_first_lets_go(service: Service) -> None:
    box = service.account(*MESSAGES)
    first = log_in(service, box)
    for _ in range(6):  # over several workers
        with service.connect() as second:
            assert second.log_in(box.name).startswith("-ERR [IN-USE] ")
            assert second.log_in(box.name).startswith("-ERR [IN-USE] ")
    assert first.ask("STAT") == "+OK 3 17"
    assert first.ask("QUIT").startswith("+OK")
    log_in(service, box).close()


def test_a_refused_second_session_can_go_on_with_another_maildrop(service: Service) -> None:
    box, other = service.account(*MESSAGES), service.account(b"other\n")
    with log_in(service, box), service.connect() as client:
        assert client.log_in(box.name).startswith("-ERR [IN-USE]")
        assert client.log_in(other.name) == "+OK Logged in"
        assert client.ask("STAT") == "+OK 1 7"


@pytest.mark.attack(26)
def test_of_many_logins_at_once_for_one_maildrop_one_succeeds(service: Service) -> None:
    box = service.account(*MESSAGES)
    clients = [service.connect() for _ in range(20)]
    for client in clients:
        client.ask(f"USER {box.name}")
    start = threading.Barrier(len(clients))
    replies: list[str] = []

    def race(client: Pop3) -> None:
        start.wait()
        replies.append(client.ask("PASS secret"))

    threads = [threading.Thread(target=race, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reply.split(" ")[0] for reply in replies) == ["+OK"] + ["-ERR"] * 19
    assert all(reply.startswith(("+OK", "-ERR [IN-USE]")) for reply in replies)
    for client in clients:
        client.close()
