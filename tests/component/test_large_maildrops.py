"""Large maildrops and messages: what they cost, and that nobody else waits for them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import scale
from component.conftest import Mailbox, Service
from support import daemon
from support.bystander import MAIL, watching
from support.faults import Call, Faults, Mode
from support.pop3 import Pop3

BODY = b"Subject: one of very many\n\nIts body.\n"
OCTETS = len(BODY) + BODY.count(b"\n")
SETTINGS = {"POP3_MAX_ACCOUNTS": "1000"}
LONG = pytest.mark.timeout(7200)


@contextmanager
def measured(
    folder: Path, workers: int, environment: dict[str, str] | None = None
) -> Iterator[Service]:
    settings = {**SETTINGS, **(environment or {})}
    with daemon.running(folder, workers=workers, environment=settings, measured=True) as running:
        yield Service(running)


def fill(box: Mailbox, count: int) -> None:
    """Deliver so many messages, half of them read; the folders look as if of an hour ago."""
    for number in range(count):
        folder, flags = ("cur", ":2,S") if number % 2 else ("new", "")
        fd = os.open(
            box.path / folder / f"{1_000_000_000 + number}.M{number}P1.host{flags}",
            os.O_WRONLY | os.O_CREAT,
        )
        os.write(fd, BODY)
        os.close(fd)
    for folder in ("new", "cur"):
        os.utime(box.path / folder, (time.time() - 3600, time.time() - 3600))


class Figures(dict[str, float]):
    """Seconds by what was done."""

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        began_s = time.monotonic()
        yield
        self[what] = time.monotonic() - began_s

    def __str__(self) -> str:
        return ", ".join(f"{what} {seconds * 1000:.0f} ms" for what, seconds in self.items())


def whole_session(service: Service, box: Mailbox, count: int) -> Figures:
    """Log in and list everything; all of it is right."""
    took = Figures()
    with service.connect(3600) as client:
        with took.of("PASS"):
            assert client.log_in(box.name) == "+OK Logged in"
        with took.of("STAT"):
            assert client.ask("STAT") == f"+OK {count} {count * OCTETS}"
        with took.of("LIST"):
            listed = client.ask_many("LIST")[1]
        with took.of("UIDL"):
            ids = client.ask_many("UIDL")[1]
        assert listed == b"".join(b"%d %d\r\n" % (n, OCTETS) for n in range(1, count + 1))
        assert ids.count(b"\r\n") == count
        for number in (1, count):
            uidl = f"{1_000_000_000 + number - 1}.M{number - 1}P1.host"
            assert client.ask(f"UIDL {number}") == f"+OK {number} {uidl}"
            assert client.ask_many(f"RETR {number}")[1] == BODY.replace(b"\n", b"\r\n")
        assert client.ask("QUIT") == "+OK bye"
    return took


@LONG
@pytest.mark.attack(33, "a million files")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_huge_maildrop_is_opened_cold_while_others_go_on(
    tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its memory is of its messages' names and sizes, and its deletions are done."""
    count = scale.HUGE_MAILDROP
    with measured(tmp_path, workers) as service:
        box, other = service.account(), service.account(MAIL)
        fill(box, count)
        with watching(service.memory_kb, service.connect, other.name) as watched:
            cold = whole_session(service, box, count)
            warm = whole_session(service, box, count)
        with service.connect(3600) as client:
            assert client.log_in(box.name) == "+OK Logged in"
            for number in (1, 2, count):
                assert client.ask(f"DELE {number}").startswith("+OK")
            assert client.ask("QUIT") == "+OK 3 messages deleted, bye"
        with service.connect(3600) as client:
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("STAT") == f"+OK {count - 3} {(count - 3) * OCTETS}"
    with capsys.disabled():
        print(f"\n{count} messages, workers={workers}: cold {cold}; warm {warm}")
        print(watched.row("meanwhile"))
    assert watched.grown_kb < 32 * 1024 + 2 * count


@LONG
def test_a_maildrop_that_is_known_is_opened_without_a_look_into_its_mail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By this process and by one that has just started; of new mail that alone is read."""
    count = scale.LARGE_MAILDROP
    faults = Faults(tmp_path)
    looks = frozenset({Call.OPEN, Call.READ})

    def read_of_mail() -> set[str]:
        paths = {it.path for it in faults.seen() if it.call in looks}
        return {path for path in paths if path.startswith(("/new/", "/cur/"))}

    with measured(tmp_path, 0, faults.environment) as service:
        box, other = service.account(), service.account(MAIL)
        fill(box, count)
        with watching(service.memory_kb, service.connect, other.name) as watched:
            took = {"cold": whole_session(service, box, count)}
        for what in ("known", "again"):
            with faults.acting(Mode.WATCH, box.path, kinds=looks):
                took[what] = whole_session(service, box, count)
            assert len(read_of_mail()) <= 2  # what RETR gave
    with measured(tmp_path, 0, faults.environment) as service:
        with faults.acting(Mode.WATCH, box.path, kinds=looks):
            took["by its index"] = whole_session(service, box, count)
        assert len(read_of_mail()) <= 2
        late = box.deliver(MAIL, "1999999999.late")
        with faults.acting(Mode.WATCH, box.path, kinds=looks), service.connect(3600) as client:
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("STAT").startswith(f"+OK {count + 1} ")
            client.ask("QUIT")
        assert read_of_mail() == {f"/new/{late.name}"}
    with capsys.disabled():
        print(f"\n{count} messages: " + "; ".join(f"{what}: {it}" for what, it in took.items()))
        print(watched.row("meanwhile"))


@LONG
@pytest.mark.attack(33, "10 GiB", "sparse")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_message_of_many_gibibytes_without_a_line_streams(
    tmp_path: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sparse file: nothing on the disk, and as many octets as it says."""
    size = scale.SPARSE_MESSAGE
    with measured(tmp_path, workers) as service:
        box, other = service.account(), service.account(MAIL)
        with (box.path / "new/1.sparse").open("wb") as file:
            file.write(b"Subject: sparse\n\n.")
            file.truncate(size)
        octets = size + 2 + 2  # two LF of the header, and the end of the line
        took = Figures()
        with watching(service.memory_kb, service.connect, other.name) as watched:
            with service.connect(3600) as client:
                with took.of("PASS"):
                    assert client.log_in(box.name) == "+OK Logged in"
                assert client.ask("STAT") == f"+OK 1 {octets}"
                with took.of("RETR"):
                    client.send(b"RETR 1\r\n")
                    assert client.line() == b"+OK %d octets\r\n" % octets
                    head, end = received(client, octets + 1 + 3)  # a stuffed dot, the final one
                assert head == b"Subject: sparse\r\n\r\n..\0\0\0\0"
                assert end == b"\0\0\r\n.\r\n"
                assert client.ask("STAT") == f"+OK 1 {octets}"
                assert client.ask("DELE 1").startswith("+OK")
                assert client.ask("QUIT") == "+OK 1 messages deleted, bye"
    with capsys.disabled():
        print(f"\n{size >> 20} MiB, sparse, workers={workers}: {took}")
        print(watched.row("meanwhile"))
    assert watched.grown_kb < 16 * 1024


def received(client: Pop3, count: int) -> tuple[bytes, bytes]:
    """Read so many octets and forget all but the first and the last."""
    head = client.file.read(25)
    buffer = memoryview(bytearray(1 << 20))
    left = count - len(head) - 7
    while left:
        got = client.file.readinto(buffer[: min(left, len(buffer))])
        assert got, f"the server closed with {left} octets to come"
        left -= got
    return head, client.file.read(7)
