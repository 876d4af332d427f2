"""Logging in: what is told, when, and that nobody else waits for it."""

import re
import select
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from component.conftest import Service
from support.daemon import IPV6_HOST
from support.events import wait_for
from support.pop3 import Pop3

WRONG = "-ERR [AUTH] "


def test_the_greeting_and_the_replies_begin_as_the_report_shows(service: Service) -> None:
    box = service.account()
    with service.connect() as client:
        assert re.fullmatch(
            rb"\+OK POP3 pop\.test Valija v\d+\.\d+\.\d+ server ready\r\n", client.greeting
        )
        assert client.ask(f"USER {box.name}") == "+OK User name accepted, send PASS command"
        assert client.ask("PASS secret") == "+OK Logged in"


def test_capa_tells_what_is_there(service: Service) -> None:
    with service.connect() as client:
        lines = client.listing("CAPA")
    assert lines[:-1] == [
        "USER", "TOP", "UIDL", "SASL PLAIN LOGIN", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE",
        "EXPIRE NEVER", "UTF8 USER", "LANG",
    ]  # fmt: skip
    assert re.fullmatch(r"IMPLEMENTATION Valija-v\d+\.\d+\.\d+", lines[-1])


@pytest.mark.attack(17)
def test_a_wrong_user_and_a_wrong_password_have_one_answer(service: Service) -> None:
    box = service.account()
    with service.connect() as client:
        replies = {
            client.log_in(name, password)
            for name in (box.name, "nobody", "..", box.name.upper())
            for password in ("wrong", " secret", "secret ")
        }
        assert len(replies) == 1
        assert replies.pop().startswith(WRONG)
        assert client.log_in(box.name) == "+OK Logged in"


@pytest.mark.attack(10, "pass")
@pytest.mark.attack(20)
@pytest.mark.parametrize(
    "password",
    [" ", "two words", " a  b ", "pässwört", "x" * 200, "%s%n{0}${jndi:ldap://x}", "a\tb"],
)
def test_a_password_is_everything_after_the_first_blank(service: Service, password: str) -> None:
    box = service.account()
    name = f"{box.name}p"
    service.manage(lambda admin: admin.create_account(name, password))
    with service.connect() as client:
        client.ask(f"USER {name}")
        assert client.ask(f"PASS {password}x").startswith(WRONG)
        client.ask(f"USER {name}")
        assert client.ask(f"PASS {password}") == "+OK Logged in"


@pytest.mark.attack(10, "user")
@pytest.mark.attack(28, "nul", "paths")
@pytest.mark.parametrize("octets", [b"a\0b", b"\xff\xfe", b"%s%n", b"{0}", b"${jndi:x}", b"../x"])
def test_a_strange_name_is_a_wrong_name(service: Service, octets: bytes) -> None:
    with service.connect() as client:
        client.send(b"USER " + octets + b"\r\nPASS " + octets + b"\r\n")
        replies = [client.line(), client.line()]
        assert all(reply.startswith((b"+OK User", b"-ERR")) for reply in replies)
        assert client.ask("CAPA").startswith("+OK")


@pytest.mark.attack(20)
def test_a_composed_and_a_decomposed_password_are_the_same(service: Service) -> None:
    name = f"{service.account().name}n"
    service.manage(lambda admin: admin.create_account(name, "caf\u00e9"))
    with service.connect() as client:
        assert client.log_in(name, "cafe\u0301") == "+OK Logged in"


def test_pass_needs_user_and_a_refused_login_begins_again(service: Service) -> None:
    box = service.account()
    with service.connect() as client:
        assert client.ask("PASS secret").startswith("-ERR")
        assert client.log_in(box.name, "wrong").startswith(WRONG)
        assert client.ask("PASS secret").startswith("-ERR")
        assert client.log_in(box.name) == "+OK Logged in"


def test_both_addresses_serve_the_same(
    service: Service,
) -> None:
    box = service.account(b"one\n")
    running = service.daemon
    for host, port in (("127.0.0.1", running.pop3), (IPV6_HOST, running.pop3_ipv6)):
        with Pop3(port, host) as client:
            assert client.log_in(box.name) == "+OK Logged in"
            [session] = service.sessions(box.name)
            assert session.peer.startswith(("127.0.0.1:", "[::1]:"))
            assert client.ask_many("RETR 1")[1] == b"one\r\n"
            assert client.ask("QUIT").startswith("+OK")
        service.left(box.name)


def test_no_secret_is_in_the_log(service: Service) -> None:
    box = service.account()
    with service.connect() as client:
        client.log_in(box.name, "oh-so-wrong")
        client.send(b"PASS too-early\r\nPASSWORD half-secret\r\n")
        assert [client.line()[:4] for _ in range(2)] == [b"-ERR", b"-ERR"]
        client.log_in(box.name)
    wait_for(lambda: any(f"account={box.name}" in line for line in service.daemon.log))
    log = "".join(service.daemon.log)
    assert not re.search(r"oh-so-wrong|too-early|half-secret|\bsecret\b", log)


@pytest.mark.attack(19)
def test_wrong_logins_are_answered_later_and_later_and_nobody_else_waits(
    own_service: Callable[..., Service],
) -> None:
    service = own_service(POP3_MIN_LOGIN_DELAY="0.4", POP3_MAX_LOGIN_DELAY="1")
    box = service.account(b"one\n")
    with service.connect() as guesser:
        for number, least_s in enumerate((0.4, 0.8, 1, 1)):
            guesser.ask(f"USER {box.name}")
            began_s = time.monotonic()
            guesser.send(b"PASS wrong%d\r\nNOOP\r\n" % number)
            assert guesser.line().startswith(WRONG.encode())
            assert time.monotonic() - began_s >= least_s
            assert guesser.line().startswith(b"-ERR not allowed")
        # How late each was is told less what its check took: it grows to the setting and no more.
        assert max(told_delays(service, 4)) <= 1
        service.change(min_login_delay=timedelta(seconds=60), max_login_delay=timedelta(seconds=60))
        guesser.send(f"USER {box.name}\r\nPASS wrong\r\nNOOP\r\n".encode())
        assert guesser.line().startswith(b"+OK")
        told_delays(service, 5)
        with service.connect() as client:  # a right one from the same network
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("QUIT").startswith("+OK")
        assert select.select([guesser.socket], [], [], 0)[0] == []


def told_delays(service: Service, count: int) -> list[float]:
    """The delays of so many refused logins, as the log tells them."""

    def delays() -> list[float]:
        lines = service.lines('event="login refused"')
        return [float(it.split("delay_s=")[1].split()[0]) for it in lines]

    wait_for(lambda: len(delays()) == count)
    return delays()


def test_a_client_that_goes_during_its_login_leaves_no_lock(service: Service) -> None:
    box = service.account(b"one\n")
    for _ in range(10):
        client = service.connect()
        client.send(f"USER {box.name}\r\nPASS secret\r\n".encode())
        client.close()
    wait_for(lambda: not service.sessions(box.name))
    with service.connect() as client:
        wait_for(lambda: client.log_in(box.name) == "+OK Logged in")


def test_one_connection_more_than_the_maximum_is_told_and_closed(
    own_service: Callable[..., Service],
) -> None:
    service = own_service(POP3_MAX_CONNECTIONS="6")
    box = service.account(b"one\n")
    clients = [service.connect() for _ in range(6)]
    assert all(client.greeting.startswith(b"+OK") for client in clients)
    for _ in range(10):
        with service.connect() as refused:
            assert refused.greeting.startswith(b"-ERR [SYS/TEMP] too many connections")
            assert refused.at_end()
    assert clients[0].log_in(box.name) == "+OK Logged in"
    clients.pop().close()
    wait_for(lambda: len(service.sessions()) == 5)
    with service.connect() as client:
        assert client.greeting.startswith(b"+OK")
    status = service.manage(lambda admin: admin.get_status())
    assert status.current_connection_count >= 0


def test_who_has_read_the_answer_to_quit_can_log_in_again_at_once(service: Service) -> None:
    """RFC 1939 section 6: the lock goes first, whichever worker the next connection comes to."""
    box = service.account()
    client = service.connect()
    assert client.log_in(box.name) == "+OK Logged in"
    for _ in range(60):
        with client, service.connect() as following:
            following.ask(f"USER {box.name}")
            assert client.ask("QUIT") == "+OK bye"
            assert following.ask("PASS secret") == "+OK Logged in"
            client = Pop3(service.daemon.pop3)
            client.ask(f"USER {box.name}")
            assert following.ask("QUIT") == "+OK bye"
            assert client.ask("PASS secret") == "+OK Logged in"
    client.close()
