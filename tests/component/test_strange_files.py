"""Files that are not what they were a moment ago, and times that are not true."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from component.conftest import Service, starting
from lineproto.stuffing import decode
from support.events import wait_for
from support.faults import Faults, Mode

MAIL = b"Subject: one\n\nfirst\n"
LARGE = b"line\n" * 1_000_000
SECRET = b"somebody else's secret"
YEAR_S = 365 * 86_400
# A program without rights may make one device alone, which nothing answers for.
DEVICE = os.makedev(1, 3) if os.geteuid() == 0 else os.makedev(0, 0)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    return Faults(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def failing(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with starting(tmp_path_factory.mktemp("service"), 0) as start:
        yield start(POP3_MAX_ACCOUNTS="10000", **faults.environment)


# --- no message where one should be --------------------


def make(kind: str, place: Path, secret: Path) -> None:
    """Make what is no message."""
    match kind:
        case "symlink":
            place.symlink_to(secret)
        case "hard link":
            os.link(secret, place)
        case "fifo":
            os.mkfifo(place)
        case "device":
            os.mknod(place, stat.S_IFCHR | 0o666, DEVICE)
        case "directory":
            place.mkdir()
            (place / "1.a").write_bytes(SECRET)


@pytest.mark.attack(29, "symlink", "hard link", "fifo", "device", "directory", "swapped")
@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo", "device", "directory"])
@pytest.mark.parametrize("size", [1, 40_000], ids=["small", "large"])
def test_a_message_swapped_at_any_call_shows_nothing_else_and_stops_nobody(
    failing: Service, faults: Faults, kind: str, size: int
) -> None:
    """At login, RETR, TOP and QUIT, before each call that they make."""
    box = failing.account()
    secret = failing.daemon.mail / "secret"
    secret.write_bytes(SECRET)
    message, strange = box.path / "new/1000.a", box.path / "strange"
    commands = f"USER {box.name}\r\nPASS secret\r\nRETR 1\r\nTOP 1 1\r\nDELE 1\r\nQUIT\r\n"
    at = count = 0
    while at <= count:
        at += 1
        for path in (message, strange):
            remove(path)
        make(kind, strange, secret)
        message.write_bytes(MAIL * size)
        other = box.deliver(MAIL, "1001.b")
        swapped = (strange, message)
        with failing.connect() as client:
            with faults.acting(Mode.SWAP, box.path, at, swapped=swapped):
                client.send(commands.encode())
                answer = client.file.read()
            count = max(count, faults.count)
        assert b"secret" not in answer
        assert b"internal error" not in answer
        assert answer.startswith(b"+OK User name accepted, send PASS command\r\n+OK Logged in\r\n")
        assert secret.read_bytes() == SECRET
        assert other.exists() or b"\r\n+OK message 1 deleted\r\n" in answer
    assert count > 10


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.mark.attack(29, "device", "unreadable")
@pytest.mark.parametrize("kind", ["device", "unreadable"])
def test_what_cannot_be_opened_as_mail_is_passed_over(
    failing: Service, faults: Faults, kind: str
) -> None:
    box = failing.account(MAIL)
    place = box.path / "new/1000.a"
    if kind == "device":
        make(kind, place, place)
    else:
        place.write_bytes(SECRET)
        place.chmod(0)
    # Root may read what nobody may: the kernel's answer is put in its mouth.
    with faults.acting(Mode.FAIL, place, 1, errno.EACCES, every=True):
        with failing.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.listing("UIDL") == ["1 1001.M1P1.host"]
            assert client.ask("DELE 1").startswith("+OK")
            assert client.ask("QUIT") == "+OK 1 messages deleted, bye"
    assert place.exists()


# --- changes while a message is sent --------------------


@pytest.mark.attack(31, "grown", "deleted")
@pytest.mark.parametrize("change", ["grown", "deleted", "replaced"])
def test_a_message_changed_while_it_is_sent_is_whole_or_has_no_end(
    failing: Service, change: str
) -> None:
    box = failing.account(LARGE)
    path = box.path / "new/1001.M1P1.host"
    with failing.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        client.send(b"RETR 1\r\n")
        assert client.line() == b"+OK 6000000 octets\r\n"
        match change:
            case "grown":
                with path.open("ab") as file:
                    file.write(b"more\n" * 100_000)
            case "deleted":
                path.unlink()
            case "replaced":
                path.unlink()
                path.write_bytes(b"other\n" * 500_000)
        octets = client.body()
        assert octets == LARGE.replace(b"\n", b"\r\n")
        assert client.ask("STAT") == "+OK 1 6000000"


# --- time and inodes that come again --------------------


@pytest.mark.attack(36, "inode")
@pytest.mark.parametrize("name", ["1000.a", "1000.other"], ids=["same name", "other name"])
@pytest.mark.parametrize("lines", [10, 40_000], ids=["small", "large"])
def test_a_file_with_all_marks_of_another_is_never_sent_with_a_wrong_count(
    failing: Service, name: str, lines: int
) -> None:
    """Inode, size and time are as they were, the content is not; the next session has it right."""
    box = failing.account()
    path = box.deliver(b"a\n" * lines, "1000.a")
    box.deliver(LARGE[:100_000], "1001.b")
    with failing.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        assert client.ask("LIST 1") == f"+OK 1 {3 * lines}"
        client.ask("QUIT")
    wait_for((box.path / ".valija-index").exists)  # it is written when the session has ended
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"\n\n" * lines)
    path = path.rename(path.with_name(name))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        before.st_ino, before.st_size, before.st_mtime_ns
    )  # fmt: skip
    right = b"\r\n" * 2 * lines
    for _ in range(2):
        with failing.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            told = client.ask("LIST 1")
            client.send(b"RETR 1\r\n")
            first = client.line()
            if first.startswith(b"+OK"):
                octets = b""
                while (line := client.line()) not in (b".\r\n", b""):
                    octets += line
                assert not line or (octets == right and told == f"+OK 1 {len(right)}")
        failing.left(box.name)
    assert told == f"+OK 1 {len(right)}"


@pytest.mark.attack(36, "clock")
@pytest.mark.parametrize("ahead_s", [YEAR_S, -YEAR_S, 3], ids=["a year", "a year back", "seconds"])
def test_a_clock_that_jumps_ends_no_session_and_hides_no_mail(
    failing: Service, faults: Faults, ahead_s: int
) -> None:
    box, other = failing.account(MAIL), failing.account(MAIL)
    with failing.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        for now_s in (ahead_s, 0):
            faults.set_clock(now_s)
            assert client.ask("NOOP") == "+OK"
            for count in range(2, 5):
                with failing.connect() as late:
                    other.deliver(MAIL, f"{count}000.{now_s}")
                    assert late.log_in(other.name) == "+OK Logged in"
                    assert len(late.listing("UIDL")) == len(other.files())
                    assert late.ask("QUIT") == "+OK bye"
        [session] = failing.sessions(box.name)
        assert session.peer.startswith("127.0.0.1:")
        assert decode(client.ask_many("RETR 1")[1]) == MAIL.replace(b"\n", b"\r\n")
        assert client.ask("DELE 1").startswith("+OK")
        assert client.ask("QUIT") == "+OK 1 messages deleted, bye"
    assert box.files() == set()


@pytest.mark.attack(36, "clock")
@pytest.mark.parametrize("time_s", [0, 1, 2**31 + 1, 10**10], ids=str)
def test_mail_and_folders_of_any_time_are_served(failing: Service, time_s: int) -> None:
    """Of 1970, of a day after 2038, and of one long after it."""
    box = failing.account(MAIL)
    for folder in ("new", "cur"):
        os.utime(box.path / folder, (time_s, time_s))
    for count in range(1, 4):
        for path in box.path.glob("new/*"):
            os.utime(path, (time_s, time_s))
        with failing.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("STAT") == f"+OK {count} {count * 23}"
            for number in range(1, count + 1):
                assert client.ask_many(f"RETR {number}")[1] == MAIL.replace(b"\n", b"\r\n")
            client.ask("QUIT")
        box.deliver(MAIL, f"{9999999999 + count}.M1P1.host")


@pytest.mark.attack(36, "inode")
@pytest.mark.parametrize("lines", [1, 20_000], ids=["small", "large"])
def test_a_file_with_all_marks_of_one_that_was_sent_brings_no_false_end(
    failing: Service, lines: int
) -> None:
    """That the message had no line to stuff when it was sent says nothing of its file for ever."""
    box = failing.account()
    path = box.deliver(b"aaaa\n\n" * lines, "1000.a")
    for _ in range(2):
        with failing.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask_many("RETR 1")[1] == b"aaaa\r\n\r\n" * lines
            client.ask("QUIT")
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"aaa\n.\n" * lines)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with failing.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        for command in ("RETR 1", f"TOP 1 {2 * lines}"):
            assert client.ask_many(command)[1] == b"aaa\r\n..\r\n" * lines
            assert client.ask("NOOP") == "+OK"
