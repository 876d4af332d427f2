"""A sudden end at any step of QUIT: what was answered stays true, and nothing else is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import scale
from component.conftest import Mailbox, Service, starting
from lineproto.stuffing import decode
from support.events import wait_for
from support.faults import ALL, CHANGING, Call, Faults, Mode, Seen, spread
from support.pop3 import Pop3

MAIL = {
    "new/1001.a": b"one\n",
    "new/1002.b": b"two\n" * 20_000,  # listed by a thread, so that there is an index
    "cur/1003.c:2,S": b"three\n",
    "cur/1004.d:2,": b"four\n",
}
WIRE = {
    name.partition("/")[2].partition(":")[0]: message.replace(b"\n", b"\r\n")
    for name, message in MAIL.items()
}
MARKED = {"1001.a": 1, "1002.b": 2, "1003.c": 3}
BYE = b"+OK 3 messages deleted, bye\r\n"
INDEX = ".valija-index"


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    return Faults(tmp_path)


def fill(box: Mailbox) -> None:
    for path in box.path.glob("[cn][ue][rw]/*"):
        path.unlink()
    for name, message in MAIL.items():
        (box.path / name).write_bytes(message)


def marking(service: Service, box: Mailbox) -> Pop3:
    """A session that is about to quit."""
    client = service.connect()
    assert client.log_in(box.name) == "+OK Logged in"
    for number in MARKED.values():
        assert client.ask(f"DELE {number}").startswith("+OK")
    return client


def check(service: Service, box: Mailbox, gone: Iterable[str]) -> None:
    """All that is not gone has its id and its octets."""
    wanted = [uidl for uidl in WIRE if uidl not in gone]
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        assert [line.split()[1] for line in client.listing("UIDL")] == wanted
        for number, uidl in enumerate(wanted, 1):
            assert decode(client.ask_many(f"RETR {number}")[1]) == WIRE[uidl]
        assert client.ask("QUIT") == "+OK bye"


@pytest.mark.attack(35, "kill")
def test_a_service_killed_at_any_step_of_quit_has_deleted_no_more_than_was_marked(
    in_one_process: Callable[..., Service], faults: Faults
) -> None:
    service = in_one_process(**faults.environment)
    box = service.account()
    kinds = ALL if scale.EVERY_STEP else CHANGING
    fill(box)
    with marking(service, box) as client, faults.acting(Mode.WATCH, box.path, kinds=kinds):
        client.send(b"QUIT\r\n")
        assert client.line() == BYE
    steps = [(Mode.KILL_BEFORE, at) for at in spread(faults.count)]
    left, answers = [], []
    for mode, at in (*steps, (Mode.KILL_AFTER, faults.count)):
        fill(box)
        with marking(service, box) as client, faults.acting(mode, box.path, at, kinds=kinds):
            client.send(b"QUIT\r\n")
            try:
                answers.append(client.line())
            except ConnectionResetError:
                answers.append(b"")
            service.daemon.process.wait(60)
        gone = set(WIRE) - box.files()
        assert gone <= set(MARKED)
        assert answers[-1] in (b"", BYE)
        if answers[-1]:  # what is left then is the index, which nobody waits for
            assert gone == set(MARKED)
        left.append(len(box.files()))
        service = in_one_process(**faults.environment)
        check(service, box, gone)
    assert sorted(left, reverse=True) == left
    assert (left[0], left[-1]) == (4, 1)
    assert answers[0] == b""


def states(steps: list[Seen]) -> Iterator[tuple[frozenset[str], bool]]:
    """What may be gone after a loss of power, at each step, and whether QUIT was answered.

    A removal is certain once its folder was synced, and may or may not be on the disk before.
    """
    removed: dict[str, str] = {}  # message -> folder
    certain: set[str] = set()
    answered = False
    for step in steps:
        match step:
            case Seen(Call.UNLINK, path, True):
                folder, _, name = path.strip("/").partition("/")
                removed[name.partition(":")[0]] = folder
            case Seen(Call.SYNC, path, True):
                certain |= {it for it, folder in removed.items() if folder == path.strip("/")}
            case Seen(Call.SEND, path, _):
                answered = answered or path.startswith("+OK 3 messages deleted")
        unsure = sorted(set(removed) - certain)
        for count in range(len(unsure) + 1):
            for some in itertools.combinations(unsure, count):
                yield frozenset(certain | set(some)), answered


@pytest.mark.attack(35, "power loss")
def test_after_a_loss_of_power_at_any_step_of_quit_the_maildrop_is_whole(
    tmp_path: Path, faults: Faults
) -> None:
    """With every order in which a disk may have written, and whatever became of the index."""
    with starting(tmp_path, 0) as start:
        service = start(POP3_MAX_ACCOUNTS="10000", **faults.environment)
        box = service.account()
        fill(box)
        check(service, box, ())
        wait_for((box.path / INDEX).exists)  # it is written when the session has ended
        indexes = [(box.path / INDEX).read_bytes()]
        with marking(service, box) as client, faults.acting(Mode.WATCH, box.path):
            client.send(b"QUIT\r\n")
            assert client.line() == BYE
        found = set(states(faults.seen()))
        assert {gone for gone, answered in found if answered} == {frozenset(MARKED)}
        assert len(found) > 4
        check(service, box, MARKED)
        indexes += [(box.path / INDEX).read_bytes(), b"", indexes[0][: len(indexes[0]) // 2]]
        for (gone, _), index in itertools.product(sorted(found, key=str), indexes):
            fill(box)
            for path in box.path.glob("[cn][ue][rw]/*"):
                if path.name.partition(":")[0] in gone:
                    path.unlink()
            (box.path / INDEX).write_bytes(index)
            check(service, box, gone)
