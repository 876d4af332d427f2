"""Lines in, replies out: however they are cut, however many, whether anybody reads them or not."""

import contextlib
import select
import socket
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

import scale
from component.conftest import Service
from lineproto.connection import MAX_DROPPED
from support.events import wait_for
from support.pop3 import Pop3

DIALOGUE = b"CAPA\r\nUSER %s\r\nPASS secret\r\nSTAT\r\nUIDL 1\r\nRETR 1\r\nNOOP\r\nQUIT\r\n"


@pytest.mark.attack(4, "cut")
def test_a_dialogue_cut_into_single_octets_has_the_same_replies(service: Service) -> None:
    box = service.account(b".dot\r\n\r\nbody")
    seen = []
    for cut in (len(DIALOGUE), 1, 7):
        commands = DIALOGUE % box.name.encode()
        with service.connect() as client:
            client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(commands), cut):
                client.send(commands[at : at + cut])
            seen.append(client.file.read())
        wait_for(lambda: not service.sessions(box.name))
    assert seen[0].endswith(b"+OK bye\r\n")
    assert seen[1:] == [seen[0], seen[0]]


@pytest.mark.attack(4, "lf")
@pytest.mark.attack(5, "case")
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_end_at_lf_with_or_without_cr(service: Service, end: bytes) -> None:
    box = service.account(b"x")
    with service.connect() as client:
        client.send(b"uSeR " + box.name.encode() + end + b"pass secret" + end + b"sTaT" + end)
        assert [client.line()[:3] for _ in range(3)] == [b"+OK"] * 3


@pytest.mark.attack(4, "cr")
def test_a_cr_alone_ends_no_line(service: Service) -> None:
    with service.connect() as client:
        client.send(b"NOOP\rQUIT\r\r\n")
        assert client.line().startswith(b"-ERR")
        assert client.ask("QUIT") == "+OK bye"


@pytest.mark.attack(4, "nul", "8-bit")
@pytest.mark.attack(5, "empty", "blanks")
@pytest.mark.parametrize("line", [b"", b"  ", b"\t", b"\0", b"\xff\xfe", b"NOOP\0", b" NOOP"])
def test_a_line_that_is_no_command_is_an_error_and_nothing_more(
    service: Service, line: bytes
) -> None:
    with service.connect() as client:
        client.send(line + b"\r\n")
        reply = client.line()
        assert reply.startswith(b"-ERR ")
        assert reply.strip(b"\r\n").decode("ascii").isprintable()
        assert client.ask("QUIT") == "+OK bye"


@pytest.mark.attack(9, "replies")
def test_control_characters_are_not_echoed(service: Service) -> None:
    with service.connect() as client:
        client.send(b"\x1b[31mX\x07\r\n")
        assert b"\x1b" not in client.line()


@pytest.mark.attack(7, "pipelined")
def test_pipelined_commands_are_all_answered_in_order(service: Service) -> None:
    box = service.account(b"one\n", b"two\n")
    commands = [f"LIST {1 + number % 2}" for number in range(scale.PIPELINED)]
    with service.connect(120) as client:
        client.log_in(box.name)
        sender = service.in_thread(
            client.send, "".join(f"{command}\r\n" for command in commands).encode()
        )
        for number in range(scale.PIPELINED):
            assert client.line() == (b"+OK 1 5\r\n", b"+OK 2 5\r\n")[number % 2]
        sender.join()
        assert client.ask("QUIT").startswith("+OK")


@pytest.mark.attack(7, "after quit")
def test_what_comes_after_quit_is_dropped_and_the_reply_arrives(service: Service) -> None:
    box = service.account(b"one\n")
    with service.connect(120) as client:
        client.log_in(box.name)
        client.send(b"DELE 1\r\nQUIT\r\n" + b"NOOP\r\n" * scale.PIPELINED)
        assert client.file.read() == b"+OK message 1 deleted\r\n+OK 1 messages deleted, bye\r\n"
    assert box.files() == set()


@pytest.mark.attack(3)
def test_a_client_that_never_reads_costs_bounded_memory_and_nobody_else(
    service: Service,
) -> None:
    box, other = service.account(b"x" * 10_000_000), service.account(b"other\n")
    with service.connect() as deaf, service.connect() as client:
        deaf.log_in(box.name)
        before = service.memory_kb()
        deaf.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:  # until nobody takes it any more
                deaf.send(b"RETR 1\r\n" * 1000)
        client.log_in(other.name)
        assert client.ask_many("RETR 1")[1] == b"other\r\n"
        assert service.memory_kb() - before < 4096


@pytest.mark.attack(1)
def test_an_endless_line_is_cut_off_in_bounded_memory(service: Service) -> None:
    with service.connect() as client:
        before = service.memory_kb()
        sent, began_s = 0, time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began_s < 30:
                client.send(b"x" * 65536)
                sent += 65536
        assert sent > MAX_DROPPED
        assert time.monotonic() - began_s < 30
        assert service.memory_kb() - before < 4096


def test_an_overlong_line_is_one_error_and_the_dialogue_goes_on(service: Service) -> None:
    with service.connect() as client:
        client.send(b"NOOP " + b"x" * 100_000 + b"\r\nCAPA\r\n")
        assert client.line() == b"-ERR command line too long\r\n"
        assert client.line() == b"+OK Capability list follows\r\n"


def test_ten_bad_commands_in_a_row_end_the_connection(service: Service) -> None:
    with service.connect() as client:
        for number in range(9):
            assert client.ask(f"BAD{number}").startswith("-ERR ")
        assert client.ask("CAPA").startswith("+OK")
        client.body()
        for number in range(9):
            assert client.ask(f"BAD{number}").startswith("-ERR ")
        assert client.ask("WORSE") == "-ERR too many bad commands, closing"
        assert client.at_end()


def test_valid_commands_that_are_refused_never_end_the_connection(service: Service) -> None:
    box = service.account(b"one\n")
    with service.connect() as client:
        for _ in range(30):
            assert client.ask("STAT") == "-ERR not allowed in AUTHORIZATION state"
        client.log_in(box.name)
        for number in range(2, 40):
            assert client.ask(f"RETR {number}").startswith("-ERR no such message")
        assert client.ask("STAT") == "+OK 1 5"


def test_a_client_that_sends_no_more_is_answered_before_the_end(service: Service) -> None:
    box = service.account(b"one\n" * 100_000)
    with service.connect() as client:
        client.log_in(box.name)
        client.send(b"RETR 1\r\nSTAT\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        received = client.file.read()
    assert received.endswith(b"one\r\n.\r\n+OK 1 500000\r\n")


@pytest.mark.attack(8, "command")
def test_a_command_in_the_middle_of_retr_is_answered_after_it(service: Service) -> None:
    box = service.account(b"line\n" * 1_000_000)
    with service.connect(60) as client:
        client.log_in(box.name)
        client.send(b"RETR 1\r\n")
        assert client.line() == b"+OK 6000000 octets\r\n"
        client.send(b"NOOP\r\nQUIT\r\n")
        assert client.body() == b"line\r\n" * 1_000_000
        assert client.line() == b"+OK\r\n"
        assert client.line() == b"+OK bye\r\n"


@pytest.mark.attack(8, "disconnect")
def test_a_disconnect_in_the_middle_of_retr_frees_the_maildrop(service: Service) -> None:
    box = service.account(b"line\n" * 1_000_000)
    with service.connect() as client:
        client.log_in(box.name)
        client.send(b"DELE 1\r\nRSET\r\nRETR 1\r\n")
        for _ in range(20):
            client.line()
    wait_for(lambda: not service.sessions(box.name))
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"


# --- silence --------------------


@pytest.mark.attack(2, "before login", "after login")
def test_a_silent_client_is_closed_without_update_in_either_state(
    own_service: Callable[..., Service],
) -> None:
    """The least that a setting allows stands for the ten minutes, and holds for who is there."""
    service = own_service()
    box = service.account(b"one\n")
    with service.connect() as waiting, service.connect() as client, service.connect() as slow:
        client.log_in(box.name)
        client.ask("DELE 1")
        slow.send(b"US")
        service.change(idle_timeout=timedelta(seconds=1))
        assert waiting.file.read() == b""
        assert client.file.read() == b""
        assert slow.file.read() == b""
    assert box.files() == {"1001.M1P1.host"}
    wait_for(lambda: sum("reason=idle" in line for line in service.daemon.log) == 3)


@pytest.mark.attack(2, "before login")
def test_single_octets_do_not_keep_a_connection_open(own_service: Callable[..., Service]) -> None:
    """Only a complete command counts as a sign of life."""
    service = own_service(POP3_IDLE_TIMEOUT="1")
    with service.connect() as client:
        for _ in range(200):
            client.send(b"x")
            if closed_within(0.1, client):
                return
    pytest.fail("the connection stayed open")


def test_commands_keep_a_connection_open(own_service: Callable[..., Service]) -> None:
    service = own_service()
    box = service.account(b"one\n")
    for idle_s in (1, 5, 25):
        service.change(idle_timeout=timedelta(seconds=600))
        with service.connect() as client, service.connect() as silent:
            assert client.log_in(box.name) == "+OK Logged in"
            service.change(idle_timeout=timedelta(seconds=idle_s))
            pause_s, replies = pauses(client, silent)
        if pause_s < idle_s / 2:  # else a busy machine has kept the client silent for as long
            break
        wait_for(lambda: not service.sessions())
    assert set(replies) == {"+OK"}


def pauses(client: Pop3, silent: Pop3) -> tuple[float, list[str]]:
    """Say NOOP until another client is closed; give the longest pause, and the replies."""
    longest_s, said_s, replies = 0.0, time.monotonic(), []
    while True:
        try:
            replies.append(client.ask("NOOP"))
        except OSError:
            replies.append("")
        longest_s, said_s = max(longest_s, time.monotonic() - said_s), time.monotonic()
        if replies[-1] == "" or closed_within(0.1, silent):
            return longest_s, replies


def test_silence_before_login_is_cut_short_only_while_it_is_crowded(
    own_service: Callable[..., Service],
) -> None:
    service = own_service(POP3_LOGIN_IDLE_TIMEOUT="1", POP3_MAX_CONNECTIONS="5")
    box = service.account(b"one\n")
    logged_in = service.connect()
    logged_in.log_in(box.name)
    waiting = [service.connect() for _ in range(3)]
    assert closed_within(2.5, *waiting) == []  # four of five are 80 %, and no more
    waiting.append(service.connect())
    assert closed_within(20, *waiting) != []
    assert logged_in.ask("STAT") == "+OK 1 5"


def closed_within(seconds: float, *clients: Pop3) -> list[Pop3]:
    """Those that the server closes first, in at most so many seconds."""
    ready, _, _ = select.select([client.socket for client in clients], [], [], seconds)
    ended = [client for client in clients if client.socket in ready]
    assert all(client.at_end() for client in ended)
    return ended
