"""A file system that fails at any call: a clear error for what needs it, and nothing lost."""

from __future__ import annotations

import errno
import itertools
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

import scale
from component.conftest import Mailbox, Service, starting
from lineproto.stuffing import decode
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from support.events import wait_for
from support.faults import CHANGING, Faults, Mode
from support.mailbuilder import crlf_form
from support.pop3 import Pop3

ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE)
WAYS = [(error, every) for error in ERRORS for every in (False, True)]
"""Each error, at one call and from there on; for every run, a part of them."""
if not scale.EVERY_STEP:
    WAYS = [way for way in WAYS if way[1] == (way[0] == errno.EMFILE) or way[0] == errno.EIO]
# The second is too long to be read in the loop, so that a login goes both ways.
MAIL = {
    "new/1001.a": b"Subject: a\n\n.dot\n",
    "new/1002.b": b"Subject: b\n\n" + b"line\n" * 30_000,
    "cur/1003.c:2,S": b"Subject: c\r\n\r\nthird\r\n",
    "cur/1004.d:2,": b"Subject: d\n\nno end",
}
T = TypeVar("T")
IDS = [name.partition("/")[2].partition(":")[0] for name in MAIL]
WIRE = dict(zip(IDS, map(crlf_form, MAIL.values()), strict=True))


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    return Faults(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def failing(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose file system does what ``faults`` say."""
    with starting(tmp_path_factory.mktemp("service"), 0) as start:
        yield start(POP3_MAX_ACCOUNTS="10000", POP3_MAX_LOGIN_DELAY="0",
                    POP3_MIN_LOGIN_DELAY="0", **faults.environment)  # fmt: skip


def fill(box: Mailbox) -> None:
    """Let the maildrop be as nobody has seen it."""
    for path in box.path.glob("[cn][ue][rw]/*"):
        path.unlink()
    for name, message in MAIL.items():
        (box.path / name).write_bytes(message)
    (box.path / ".valija-index").unlink(missing_ok=True)


def check(service: Service, box: Mailbox, *deleted: str) -> None:
    """Everything is there, whole, and free for the next session."""
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        wanted = [it for it in IDS if it not in deleted]
        assert [line.split()[1] for line in client.listing("UIDL")] == wanted
        for number, uidl in enumerate(wanted, 1):
            first, wire = client.ask_many(f"RETR {number}")
            assert decode(wire) == WIRE[uidl]
            assert first == f"+OK {len(WIRE[uidl])} octets"
        client.ask("QUIT")


def each_call(
    faults: Faults, box: Mailbox, begin: Callable[[], Pop3], act: Callable[[Pop3], T]
) -> Iterator[tuple[int, T]]:
    """Do it again and again, each time with another call that fails alone, or from there on.

    Gives error and outcome of each.
    """
    with begin() as client, faults.acting(Mode.WATCH, box.path):
        act(client)
    count = faults.count
    assert count > 0
    for at, (error, every) in itertools.product(range(1, count + 1), WAYS):
        with begin() as client, faults.acting(Mode.FAIL, box.path, at, error, every=every):
            outcome = act(client)
        yield error, outcome


@pytest.mark.attack(34, "EIO", "ENOSPC", "EROFS", "EMFILE")
@pytest.mark.parametrize("known", [False, True], ids=["cold", "warm"])
def test_a_login_whose_disk_fails_at_any_call_never_shows_wrong_mail(
    failing: Service, faults: Faults, known: bool
) -> None:
    """It is refused, or shows the mail that can be read; too many open files hide none."""
    box = failing.account()
    outcomes = set()

    def begin() -> Pop3:
        fill(box)
        if known:
            check(failing, box)
            path = box.path / "new/1001.a"
            path.rename(path.with_name("1001.a:2,")).rename(path)  # to be looked at again
        return failing.connect()

    def log_in(client: Pop3) -> tuple[str, list[str]]:
        reply = client.log_in(box.name)
        listed: list[str] = []
        if reply.startswith("+OK"):
            listed = [line.split()[1] for line in client.listing("UIDL")]
            sizes = [int(line.split()[1]) for line in client.listing("LIST")]
            assert sizes == [len(WIRE[uidl]) for uidl in listed]
        assert client.ask("QUIT") == "+OK bye"
        return reply, listed

    for error, (reply, listed) in each_call(faults, box, begin, log_in):
        if reply.startswith("+OK"):
            assert listed == [it for it in IDS if it in listed]
            assert error != errno.EMFILE or listed == IDS
            outcomes.add("whole" if listed == IDS else "in part")
        else:
            assert reply.startswith(("-ERR [SYS/TEMP] ", "-ERR [SYS/PERM] "))
            outcomes.add("refused")
        check(failing, box)
    assert outcomes == {"whole", "in part", "refused"}


@pytest.mark.attack(34, "EIO", "ENOSPC", "EROFS", "EMFILE")
def test_a_retr_whose_disk_fails_at_any_call_gives_the_message_or_no_end(
    failing: Service, faults: Faults
) -> None:
    """Before its +OK it is an error and the session goes on; after it there is no final dot."""
    box = failing.account()
    fill(box)
    check(failing, box)
    seen = set()

    def begin() -> Pop3:
        wait_for(lambda: not failing.sessions(box.name))
        client = failing.connect()
        assert client.log_in(box.name) == "+OK Logged in"
        return client

    def retr(client: Pop3, number: int) -> str:
        first = client.ask(f"RETR {number}")
        if first.startswith("+OK"):
            outcome = received(client, first, WIRE[IDS[number - 1]])
        else:
            assert first.startswith(("-ERR [SYS/TEMP] ", "-ERR [SYS/PERM] "))
            outcome = "refused"
        if outcome != "cut":
            assert client.ask("STAT").startswith("+OK 4 ")
            assert client.ask("QUIT") == "+OK bye"
        return outcome

    for number in (1, 2):
        outcomes = each_call(faults, box, begin, lambda client, n=number: retr(client, n))
        seen |= {outcome for _, outcome in outcomes}
    failing.left(box.name)
    check(failing, box)
    assert seen == {"whole", "refused", "cut"}


def received(client: Pop3, first: str, wanted: bytes) -> str:
    """Whether a message came to its end; if it did, it is the right one."""
    assert first == f"+OK {len(wanted)} octets"
    octets = b""
    while (line := client.line()) not in (b".\r\n", b""):
        octets += line
    if line:
        assert decode(octets) == wanted
        return "whole"
    assert len(octets) < len(wanted)
    return "cut"


@pytest.mark.attack(34, "EIO", "ENOSPC", "EROFS", "EMFILE")
def test_a_quit_whose_disk_fails_at_any_call_tells_what_is_not_deleted(
    failing: Service, faults: Faults
) -> None:
    """What is claimed is gone, and what was not marked is never touched."""
    box = failing.account()
    marked = {"1001.a", "1003.c"}

    def begin() -> Pop3:
        fill(box)
        client = failing.connect()
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask("DELE 1").startswith("+OK")
        assert client.ask("DELE 3").startswith("+OK")
        return client

    failed = 0
    for _, reply in each_call(faults, box, begin, lambda client: client.ask("QUIT")):
        kept = box.files()
        assert {"1002.b", "1004.d"} <= kept
        if reply == "+OK 2 messages deleted, bye":
            assert kept.isdisjoint(marked)
        else:
            told = re.fullmatch(
                r"-ERR \[SYS/TEMP\] ([12]) of 2 deleted messages not removed", reply
            )
            assert told, reply
            assert len(kept & marked) <= int(told[1])
            failed += 1
        check(failing, box, *(marked - kept))
    assert failed > 0


@pytest.mark.attack(34, "ENOSPC", "EROFS")
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_mail_can_be_read_on_a_disk_that_takes_no_change(
    failing: Service, faults: Faults, error: int
) -> None:
    """Cold, without an index, and again; a deletion is told to have failed."""
    box = failing.account()
    fill(box)
    with faults.acting(Mode.FAIL, box.path, 1, error, CHANGING, every=True):
        for _ in range(2):
            check(failing, box)
        with failing.connect() as client:
            client.log_in(box.name)
            client.ask("DELE 1")
            client.ask("DELE 2")
            told = "-ERR [SYS/TEMP] 2 of 2 deleted messages not removed"
            assert client.ask("QUIT") == told
        assert {it.succeeded for it in faults.seen() if it.call in CHANGING} == {False}
    check(failing, box)


@pytest.mark.attack(34, "EIO", "ENOSPC", "EROFS", "EMFILE")
def test_a_delivery_whose_disk_fails_at_any_call_leaves_nothing_half(
    failing: Service, faults: Faults
) -> None:
    """It is told as failed, or it is there whole."""
    box = failing.account()
    message = b"Subject: new\n\n" + b"line\n" * 20_000

    def deliver(_: Pop3) -> bool:
        try:
            failing.manage(lambda admin: admin.put_message(box.name, [message]))
        except ManagementError as error:
            assert error.reason is Reason.MAILDROP_UNAVAILABLE
            return False
        return True

    def begin() -> Pop3:
        for path in box.path.glob("*/*"):
            path.unlink()
        return failing.connect()

    outcomes = set()
    for _, stored in each_call(faults, box, begin, deliver):
        outcomes.add(stored)
        files = [path.read_bytes() for path in box.path.glob("new/*")]
        assert files in ([], [message])
        assert files or not stored
    assert outcomes == {True, False}
