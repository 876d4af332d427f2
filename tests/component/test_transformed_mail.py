"""Mail through a transform: whole, of one version in a session, and of the size that was told."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import scale
from component.conftest import Mailbox, Service, Start
from support.mailbuilder import crlf_form, varied
from support.pop3 import Pop3

SIZES_WAIT = "-ERR [SYS/TEMP] sizes are being computed, "
FAILED = "-ERR [SYS/TEMP] the message could not be transformed"
MAIL = b"Subject: hello\n\none two\nthree\n"
GROWING = "sed 's/^/> /'"


def sized(client: Pop3, command: str = "STAT") -> str:
    """The answer to STAT or LIST n, however often it has to be asked for."""
    reply = client.ask(command)
    while reply.startswith(SIZES_WAIT):
        reply = client.ask(command)
    return reply


def sizes(client: Pop3) -> list[int]:
    """What LIST tells, once STAT has told the sum of it."""
    _, count, octets = sized(client).split()
    told = [int(line.split()[1]) for line in client.listing("LIST")]
    assert (len(told), sum(told)) == (int(count), int(octets))
    return told


def retr(client: Pop3, number: int) -> bytes:
    """A message without its stuffing: as many octets as were told with it."""
    first, body = client.ask_many(f"RETR {number}")
    whole = body.removeprefix(b".") if body.startswith(b"..") else body
    whole = whole.replace(b"\n..", b"\n.")
    assert first == f"+OK {len(whole)} octets"
    return whole


@contextlib.contextmanager
def logged_in(service: Service, box: Mailbox) -> Iterator[Pop3]:
    with service.connect(timeout=120) as client:
        assert client.log_in(box.name) == "+OK Logged in"
        yield client


@contextlib.contextmanager
def transformed(service: Service, command_line: str) -> Iterator[None]:
    service.transform(command_line)
    try:
        yield
    finally:
        service.transform()


# --- sizes --------------------


@pytest.mark.attack(46, "stat", "list", "retr")
@pytest.mark.parametrize("command_line", ["wc", "cat", GROWING], ids=["wc", "cat", "growing"])
def test_stat_is_the_sum_of_list_and_list_is_what_retr_sends(
    service: Service, command_line: str
) -> None:
    mail = list(varied(scale.TRANSFORMED_MESSAGES))
    box = service.account(*mail)
    with transformed(service, command_line), logged_in(service, box) as client:
        told = sizes(client)
        for number, message in enumerate(mail, 1):
            sent = retr(client, number)
            assert len(sent) == told[number - 1]
            if command_line == "cat":
                assert sent == crlf_form(message)
        assert sum(told) != sum(len(crlf_form(it)) for it in mail) or command_line == "cat"
        assert client.ask("LIST 7") == f"+OK 7 {told[6]}"
        for number in (7, 1):
            assert client.ask(f"DELE {number}").startswith("+OK")
        assert sizes(client) == [told[at] for at in range(len(told)) if at not in (0, 6)]
        assert client.ask("RSET").startswith("+OK")
        assert sizes(client) == told


@pytest.mark.attack(46, "stat", "list", "retr")
def test_a_program_of_the_box_that_adds_to_all_mail_agrees_too(with_workers: Start) -> None:
    service = with_workers(POP3_TRANSFORM_SIZE_WAIT="300")
    box = service.account(*varied(scale.TRANSFORMED_MESSAGES))
    service.transform("valija-transform banner --text 'read by Valija'")
    with logged_in(service, box) as client:
        told = sizes(client)
        assert told == [len(retr(client, number)) for number in range(1, len(told) + 1)]
        assert sizes(client) == told


@pytest.mark.attack(46, "retr first")
def test_what_retr_told_before_is_in_the_list_that_comes_later(service: Service) -> None:
    box = service.account(MAIL, b"", MAIL.replace(b"\n", b"\r\n"))
    with transformed(service, GROWING), logged_in(service, box) as client:
        first = len(retr(client, 3))
        assert sized(client, "LIST 3") == f"+OK 3 {first}"
        assert sizes(client) == [len(retr(client, number)) for number in (1, 2, 3)]


def test_top_is_cut_from_the_transformed_message_and_ids_stay(service: Service) -> None:
    box = service.account(MAIL, b"Subject: b\n\n.\n..\nend")
    with logged_in(service, box) as client:
        ids = client.listing("UIDL")
        assert client.ask("QUIT") == "+OK bye"
    with transformed(service, "tr a-z A-Z"), logged_in(service, box) as client:
        assert client.listing("UIDL") == ids
        assert client.ask_many("TOP 1 1")[1] == b"SUBJECT: HELLO\r\n\r\nONE TWO\r\n"
        assert client.ask_many("TOP 2 9")[1] == b"SUBJECT: B\r\n\r\n..\r\n...\r\nEND\r\n"
        assert client.ask("DELE 1").startswith("+OK")
        assert client.ask("QUIT") == "+OK 1 messages deleted, bye"
    assert box.files() == {"1002.M2P1.host"}


def test_what_was_made_of_an_accounts_mail_goes_with_the_account(own_service: Start) -> None:
    service = own_service()
    box, other = service.account(MAIL), service.account(MAIL)
    service.transform("cat")
    folder = service.daemon.mail.parent / "data/transformed"

    def results() -> list[Path]:
        return list(folder.glob("*/results/*/*/*"))

    for reader in (box, other):
        with logged_in(service, reader) as client:
            retr(client, 1)
    assert len(results()) == 2
    service.manage(lambda admin: admin.delete_account(box.name, delete_mail=True))
    assert len(results()) == 1


# --- framing --------------------


PRINTED = {
    "terminator": (r"a\r\n.\r\n+OK\r\n", b"a\r\n..\r\n+OK\r\n"),
    "cr": (r"a\rb\r\r\nc\r", b"a\rb\r\r\nc\r\r\n"),
    "reply": (r"+OK 4\r\nabc\n\n.\n-ERR no\n", b"+OK 4\r\nabc\r\n\r\n..\r\n-ERR no\r\n"),
    "nul": (r"a\0b\n\0\n.\0\n", b"a\0b\r\n\0\r\n..\0\r\n"),
    "no end": (r".", b"..\r\n"),
}  # fmt: skip


@pytest.mark.attack(42, "terminator", "cr", "reply", "nul", "no end")
@pytest.mark.parametrize("printed", PRINTED)
def test_whatever_a_program_prints_framing_holds(service: Service, printed: str) -> None:
    box = service.account(MAIL)
    text, wire = PRINTED[printed]
    with transformed(service, f"printf '{text}'"), logged_in(service, box) as client:
        for command in ("RETR 1", "TOP 1 99"):
            assert client.ask_many(command)[1] == wire
            assert client.ask("NOOP") == "+OK"
        assert sizes(client) == [len(retr(client, 1))]


# --- outputs that change --------------------


VARYING = {
    "octets": """sh -c "cat; date +%N" """,
    "size": """sh -c "cat; head -c $(($(date +%N | tr -d 0) % 97)) /dev/zero" """,
}


@pytest.mark.attack(47, "octets", "size")
def test_an_output_that_differs_from_run_to_run_is_never_of_another_size(
    own_service: Start,
) -> None:
    service = own_service()
    for cache_mib, varying in itertools.product((1024, 0), VARYING):
        service.change(transform_cache_mib=cache_mib)
        service.transform(VARYING[varying])
        answers = answers_of(service)
        if cache_mib:
            assert answers == {"+OK "}  # what was told is kept
        elif varying == "size":
            assert "-ERR" in answers


def answers_of(service: Service) -> set[str]:
    """How RETR begins when messages are read again and again: what it tells is always true."""
    box = service.account(*[MAIL] * 10)
    answers = set()
    with logged_in(service, box) as client:
        first = retr(client, 1)
        told = sizes(client)
        assert told[0] == len(first)
        for _ in range(3):
            for number, octets in enumerate(told, 1):
                client.send(b"RETR %d\r\n" % number)
                reply = client.line().decode().rstrip()
                answers.add(reply[:4])
                if reply.startswith("+OK"):
                    assert reply == f"+OK {octets} octets"
                    body = client.body()
                    assert len(body) == octets
                else:
                    assert reply == FAILED
        assert sizes(client) == told
    return answers


# --- changes --------------------


CLIENTS = 50
LINES = {"tr a-z A-Z": bytes.upper, "tr a-z b-za": lambda it: it.translate(NEXT), "": bytes}
NEXT = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz", b"bcdefghijklmnopqrstuvwxyza")


@pytest.mark.attack(45, "sessions", "logins")
def test_a_change_while_50_clients_read_reaches_none_of_their_sessions(service: Service) -> None:
    mail = [b"Subject: %d\n\n" % number + b"some text\n.\n" * 50 for number in range(4)]
    boxes = service.accounts(CLIENTS, *mail)
    made = {name: [crlf_form(make(it)) for it in mail] for name, make in LINES.items()}
    service.transform("tr a-z A-Z")
    seen: dict[str, list[str]] = {"before": [], "meanwhile": []}
    go, errors = threading.Event(), []

    def version(client: Pop3) -> str:
        got = [retr(client, number) for number in range(1, len(mail) + 1)]
        assert sizes(client) == [len(it) for it in got]
        [name] = [name for name, wanted in made.items() if wanted == got]
        return name

    def read(box: Mailbox, ready: threading.Barrier) -> None:
        try:
            with logged_in(service, box) as client:
                ready.wait(200)
                assert go.wait(200)
                seen["before"].append(version(client))
                client.ask("QUIT")
            with logged_in(service, box) as client:
                seen["meanwhile"].append(version(client))
        except BaseException as error:
            errors.append(error)
            raise

    ready = threading.Barrier(CLIENTS + 1)
    threads = [service.in_thread(read, box, ready) for box in boxes]
    try:
        ready.wait(200)
        go.set()
        while any(thread.is_alive() for thread in threads):
            for command_line in ("tr a-z b-za", "", "tr a-z A-Z"):
                service.transform(command_line)
    finally:
        for thread in threads:
            thread.join(120)
        service.transform()
    assert not errors
    assert seen["before"] == ["tr a-z A-Z"] * CLIENTS
    assert len(seen["meanwhile"]) == CLIENTS
