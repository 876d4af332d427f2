"""Every command in every state, with every kind of argument: answered, and nothing changes."""

from __future__ import annotations

import pytest

from component.conftest import Mailbox, Service
from pop3_service.pop3.command import MAKERS
from support.pop3 import Pop3

MAIL = (b"Subject: one\n\nfirst\n", b"Subject: two\n\nsecond\n")
# What each takes, and how it is refused; "n" stands for a number.
TAKES: dict[str, tuple[str, ...]] = {
    "STAT": ("",),
    "LIST": ("", "n"),
    "UIDL": ("", "n"),
    "RETR": ("n",),
    "DELE": ("n",),
    "TOP": ("n n",),
    "NOOP": ("",),
    "RSET": ("",),
    "CAPA": ("",),
    "STLS": ("",),
    "QUIT": ("",),
}
AUTHORIZATION = {"USER", "PASS", "CAPA", "STLS", "QUIT"}
TRANSACTION = {"STAT", "LIST", "UIDL", "RETR", "DELE", "TOP", "NOOP", "RSET", "CAPA", "QUIT"}
NUMBERS = (
    "0", "-1", "+1", "1.0", "4294967297", "18446744073709551616", "²", "१", "1abc", "0x1", "1e0",
    "1_0", "３", "-0", "9" * 1000, "99999999999", "3", "1,", "NaN", "''", "%d", "*", "1-2",
)  # fmt: skip
RIGHT = {"1": b"+OK", "01": b"+OK", "0000000001": b"+OK"}


def test_the_table_has_every_command_of_rfc_1939_2449_and_2595() -> None:
    assert {*TAKES, "USER", "PASS"} <= {verb.decode() for verb in MAKERS}
    assert AUTHORIZATION | TRANSACTION == {*TAKES, "USER", "PASS"}


@pytest.fixture
def box(service: Service) -> Mailbox:
    return service.account(*MAIL)


def in_transaction(service: Service, box: Mailbox) -> Pop3:
    client = service.connect()
    assert client.log_in(box.name) == "+OK Logged in"
    return client


def answer(client: Pop3, line: str, *, listing: bool = False) -> bytes:
    """The first line of the reply; the rest of a listing is read."""
    client.send(line.encode() + b"\r\n")
    first = client.line()
    if listing and first.startswith(b"+OK"):
        client.body()
    return first


def is_as_before(client: Pop3) -> None:
    assert client.ask("NOOP") == "+OK"
    assert client.ask("STAT") == "+OK 2 47"


@pytest.mark.attack(6, "numbers")
@pytest.mark.parametrize("number", [*NUMBERS, *RIGHT])
def test_what_is_no_number_of_a_message_is_refused(
    service: Service, box: Mailbox, number: str
) -> None:
    wanted = RIGHT.get(number, b"-ERR")
    with in_transaction(service, box) as client:
        for line, listing in (
            (f"LIST {number}", False),
            (f"UIDL {number}", False),
            (f"RETR {number}", True),
            (f"TOP {number} 0", True),
            (f"DELE {number}", False),
        ):
            assert answer(client, line, listing=listing)[: len(wanted)] == wanted, line
        assert client.ask("RSET").startswith("+OK")
        is_as_before(client)


@pytest.mark.attack(6, "numbers")
@pytest.mark.parametrize("number", [*NUMBERS, *RIGHT])
def test_what_is_no_number_of_lines_is_refused(service: Service, box: Mailbox, number: str) -> None:
    right = {**RIGHT, "0": b"+OK", "3": b"+OK", "4294967297": b"+OK"}
    wanted = right.get(number, b"-ERR")
    with in_transaction(service, box) as client:
        assert answer(client, f"TOP 1 {number}", listing=True)[: len(wanted)] == wanted
        is_as_before(client)


@pytest.mark.attack(6, "arguments")
@pytest.mark.parametrize("command", sorted(TAKES))
def test_missing_and_extra_arguments_are_refused(
    service: Service, box: Mailbox, command: str
) -> None:
    taken = {form.count("n") for form in TAKES[command]}
    with in_transaction(service, box) as client:
        for count in set(range(5)) - taken:
            line = " ".join([command, *["1"] * count])
            assert answer(client, line).startswith(b"-ERR "), line
            is_as_before(client)


@pytest.mark.attack(6, "arguments")
@pytest.mark.parametrize("line", ["USER", "USER ", "USER   ", "PASS", "CAPA x", "QUIT x", "STLS x"])
def test_missing_and_extra_arguments_are_refused_before_login(
    service: Service, box: Mailbox, line: str
) -> None:
    with service.connect() as client:
        assert answer(client, line).startswith(b"-ERR ")
        assert client.log_in(box.name) == "+OK Logged in"
        is_as_before(client)


def sample(command: str) -> str:
    return " ".join([command, *["1"] * TAKES[command][-1].count("n")])


@pytest.mark.attack(6, "states")
@pytest.mark.parametrize("named", [False, True], ids=["at first", "after USER"])
@pytest.mark.parametrize("command", sorted(TRANSACTION - AUTHORIZATION))
def test_commands_of_a_session_are_refused_before_login(
    service: Service, box: Mailbox, command: str, named: bool
) -> None:
    with service.connect() as client:
        if named:
            assert client.ask(f"USER {box.name}").startswith("+OK")
        assert client.ask(sample(command)) == "-ERR not allowed in AUTHORIZATION state"
        if named:
            assert client.ask("PASS secret") == "+OK Logged in"
        else:
            assert client.log_in(box.name) == "+OK Logged in"
        is_as_before(client)


@pytest.mark.attack(6, "states")
@pytest.mark.parametrize("line", ["USER default", "PASS secret", "PASS default", "STLS"])
def test_commands_of_a_login_are_refused_after_it(
    service: Service, box: Mailbox, line: str
) -> None:
    with in_transaction(service, box) as client:
        assert client.ask(line) == "-ERR not allowed in TRANSACTION state"
        is_as_before(client)


@pytest.mark.attack(6, "states")
@pytest.mark.parametrize("command", [*sorted(TAKES), "USER", "PASS"])
def test_nothing_is_answered_after_quit(service: Service, box: Mailbox, command: str) -> None:
    line = sample(command) if command in TAKES else f"{command} {box.name}"
    for client in (service.connect(), in_transaction(service, box)):
        with client:
            client.send(f"QUIT\r\n{line}\r\n{line}\r\n".encode())
            assert client.file.read() == b"+OK bye\r\n"
    assert len(box.files()) == 2
