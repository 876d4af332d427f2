"""The maildrop on a real folder: what is mail, what a failing disk changes, what the lock holds."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import resource
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lineproto.clock import SystemClock
from lineproto.stuffing import UTF8_HEADER
from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import (
    MaildropInUse,
    MaildropUnavailable,
    MaildropUnusable,
    MessageNotFound,
)
from pop3_service.maildir import index, listing
from pop3_service.maildir.delivery import Delivery, list_maildir, open_stored, remove_maildir
from pop3_service.maildir.lock import FILES, LOCK_FOLDER, MaildropLock, lock_key
from pop3_service.maildir.maildrop import Maildrop
from pop3_service.maildir.message import Message, base_name, order, unique_id
from pop3_service.maildir.opening import open_to_read
from pop3_service.maildir.paths import MailPaths, make_folder
from pop3_service.supervisor.mail import maildir_store
from pop3_service.supervisor.mail.maildir_store import MaildirStore
from support.mailbuilder import crlf_form, varied
from support.maildrops import end_session

ANA = ("ana",)
ANA_KEY = lock_key(ANA)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_folder(tmp_path, ANA)
    return tmp_path


@pytest.fixture
def lock(root: Path) -> Iterator[MaildropLock]:
    lock = MaildropLock(root)
    yield lock
    lock.close()


def deliver(root: Path, content: bytes, name: str, folder: str = "new") -> Path:
    path = root / "ana" / folder / name
    path.write_bytes(content)
    return path


def failing(monkeypatch: pytest.MonkeyPatch, call: str, when: Callable[..., bool]) -> None:
    """Let a system call fail with EIO when its arguments are so."""
    real = getattr(os, call)

    def act(*arguments: Any, **options: Any) -> Any:
        if when(*arguments):
            raise OSError(errno.EIO, "Input/output error")
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, act)


# --- names --------------------


@pytest.mark.parametrize(
    ("name", "uidl"),
    [
        ("1000.M1P1.host", "1000.M1P1.host"),
        ("1000.M1P1.host:2,RS", "1000.M1P1.host"),
        ("x" * 70, "x" * 70),
        ("!~", "!~"),
    ],
)
def test_a_base_name_that_is_a_unique_id_is_it(name: str, uidl: str) -> None:
    assert unique_id(name) == uidl


@pytest.mark.parametrize("name", ["x" * 71, "a b", "é", "a\n", "a\x7f", ":2,S"])
def test_any_other_name_has_one_made_of_it(name: str) -> None:
    made = unique_id(name)
    assert len(made) == 43
    assert made == unique_id(base_name(name) + ":2,FRS")
    assert made != unique_id(name, 2)


def test_the_order_is_of_delivery_and_names_without_time_go_by_their_mtime() -> None:
    names = ["999.z", "1000.M2P1", "1000.M10P1", "1000.M10P2", "1001.M1", "10000.a"]
    assert sorted(reversed(names), key=lambda name: order(name, 0)) == names
    assert order("no-time", 5 * 10**9) == (5, 0, "no-time")
    assert order("9" * 30, 7 * 10**9)[0] == 7


# --- listing and the index --------------------


def test_an_identity_is_one_file_s_whatever_its_flags_are() -> None:
    def identity(folder: str, name: str, inode: int, size: int, mtime_ns: int) -> str:
        return Message(folder, name, "id", 9, 0, inode, size, mtime_ns).identity

    first = identity("new", "1.M1P1.host", 11, 5, 99)
    assert identity("cur", "1.M1P1.host:2,S", 11, 5, 99) == first
    others = [
        identity("new", "2.M1P1.host", 11, 5, 99),  # the inode came again
        identity("new", "1.M1P1.host", 12, 5, 99),
        identity("new", "1.M1P1.host", 11, 6, 99),
        identity("new", "1.M1P1.host", 11, 5, 98),
        identity("new", os.fsdecode(b"1.\xff"), 11, 5, 99),
    ]
    assert len({first, *others}) == 6
    assert all(it.isalnum() and len(it) == 32 for it in (first, *others))


def test_sizes_are_those_of_the_crlf_form_with_and_without_index(
    root: Path, lock: MaildropLock
) -> None:
    messages = list(varied(100))
    for number, message in enumerate(messages):
        deliver(root, message, f"{1000 + number}.a")
    wanted = [len(crlf_form(message)) for message in messages]
    for _ in range(2):
        drop = Maildrop.open(root, ANA, lock)
        assert [it.octets for it in drop.messages] == wanted
        drop.close()


def test_many_files_are_listed_with_few_descriptors(root: Path, lock: MaildropLock) -> None:
    for number in range(3 * listing.OPEN_AT_ONCE):
        deliver(root, b"x\n", f"{1000 + number}.a")
    Maildrop.open(root, ANA, lock).close()  # whatever it opens once is open
    before = descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(before) + 1
    for spare in (8, 3):
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + spare, hard))
        try:
            drop = Maildrop.open(root, ANA, lock)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [it.octets for it in drop.messages] == [3] * (3 * listing.OPEN_AT_ONCE)
        assert drop.snapshot.passed_over == 0
        drop.close()
    assert descriptors() == before


def descriptors() -> set[int]:
    """The open descriptors of this process."""
    with os.scandir("/proc/self/fd") as entries:
        found = {int(entry.name) for entry in entries}
    return {fd for fd in found if os.path.exists(f"/proc/self/fd/{fd}")}


def test_what_is_no_mail_among_many_files_costs_the_others_nothing(
    root: Path, lock: MaildropLock
) -> None:
    folder = root / "ana" / "new"
    for number in range(2 * listing.OPEN_AT_ONCE):
        path = deliver(root, b"x\n", f"{1000 + number}.a")
        if number % 5 == 0:
            os.link(path, folder / f"{1000 + number}.b")
    Maildrop.open(root, ANA, lock).close()
    before = descriptors()
    drop = Maildrop.open(root, ANA, lock)
    linked = len(range(0, 2 * listing.OPEN_AT_ONCE, 5))
    assert len(drop.messages) == 2 * listing.OPEN_AT_ONCE - linked
    assert drop.snapshot.passed_over == 2 * linked
    drop.close()
    assert descriptors() == before


def test_descriptors_are_closed_together_and_none_between_them() -> None:
    with open(os.devnull) as file:
        opened = [fcntl.fcntl(file, fcntl.F_DUPFD, 500) for _ in range(6)]
    assert opened == list(range(opened[0], opened[0] + 6))
    listing.close_all(opened[:3])
    listing.close_all([opened[3], opened[5]])
    listing.close_all([])
    assert not {*opened[:4], opened[5]} & descriptors()
    os.close(opened[4])  # it was open still


@pytest.mark.parametrize("size", [10, 70_000, 3 * listing.CHUNK])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_message_whose_header_needs_utf8_is_known_with_and_without_index(
    root: Path, lock: MaildropLock, size: int, end: bytes
) -> None:
    body = end + b"x" * size + "ñ".encode() + end
    for number, subject in enumerate(("plain", "año", "plain")):
        deliver(root, f"Subject: {subject}".encode() + end + body, f"{1000 + number}.a")
    for _ in range(2):
        drop = Maildrop.open(root, ANA, lock)
        assert [it.form & UTF8_HEADER for it in drop.messages] == [0, UTF8_HEADER, 0]
        drop.close()


def test_a_warm_index_spares_reading(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        deliver(root, b"x\n", f"{number}.a")
    end_session(Maildrop.open(root, ANA, lock))
    deliver(root, b"y\n", "9.b")
    read: list[str] = []
    monkeypatch.setattr(
        listing.Patient,
        "open",
        staticmethod(lambda fd, name: read.append(name) or open_to_read(fd, name)),
    )
    drop = Maildrop.open(root, ANA, lock)
    assert len(drop.messages) == 6
    assert read == ["9.b"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data.replace(b"1.a", b"1.b"),
        lambda data: b"valija-index 9\n" + data,
        lambda data: os.urandom(1000),
        lambda data: data + data,
    ],
)
def test_a_damaged_index_is_made_anew(
    root: Path, lock: MaildropLock, damage: Callable[[bytes], bytes]
) -> None:
    deliver(root, b"x\n", "1.a")
    deliver(root, b"long\n", "2.a")
    end_session(Maildrop.open(root, ANA, lock))
    file = root / "ana" / index.INDEX_FILE
    good = file.read_bytes()
    file.write_bytes(damage(good))
    drop = Maildrop.open(root, ANA, lock)
    end_session(drop)
    assert [it.octets for it in drop.messages] == [3, 6]
    assert file.read_bytes() == good


@pytest.mark.parametrize("kind", ["directory", "fifo", "link"])
def test_something_else_at_the_place_of_the_index_is_no_harm(
    root: Path, lock: MaildropLock, kind: str
) -> None:
    deliver(root, b"x\n", "1.a")
    place = root / "ana" / index.INDEX_FILE
    match kind:
        case "directory":
            place.mkdir()
        case "fifo":
            os.mkfifo(place)
        case "link":
            place.symlink_to("/etc/passwd")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        drop = Maildrop.open(root, ANA, lock)
        assert [it.octets for it in drop.messages] == [3]
        end_session(drop)
        assert not list((root / "ana").glob(f"{index.INDEX_FILE}.*"))
    assert len(os.listdir("/proc/self/fd")) == before


def test_two_files_of_one_base_name_have_two_unique_ids(root: Path, lock: MaildropLock) -> None:
    deliver(root, b"new\n", "1.a")
    deliver(root, b"cur\n", "1.a:2,S", "cur")
    drop = Maildrop.open(root, ANA, lock)
    first, second = drop.messages
    assert first.uidl == "1.a"
    assert second.uidl != first.uidl
    for message in drop.messages:
        with open(drop.open_message(message), "rb") as file:
            assert file.read().strip() == message.folder.encode()


@pytest.mark.attack(29, "unreadable")
def test_a_message_that_cannot_be_read_is_passed_over(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, b"x\n", "1.a")
    deliver(root, b"y\n", "2.b")
    failing(monkeypatch, "open", lambda path, *_: str(path).endswith("1.a"))
    drop = Maildrop.open(root, ANA, lock)
    assert [it.name for it in drop.messages] == ["2.b"]
    assert drop.snapshot.passed_over == 1


@pytest.mark.parametrize("folder", ["new", "cur"])
def test_a_folder_that_is_a_link_is_not_read(
    root: Path, lock: MaildropLock, tmp_path: Path, folder: str
) -> None:
    (root / "ana" / folder).rmdir()
    (root / "ana" / folder).symlink_to(tmp_path)
    with pytest.raises(MaildropUnusable):
        Maildrop.open(root, ANA, lock)
    Path(root / "ana" / folder).unlink()
    Maildrop.open(root, ANA, lock).close()  # nothing is left locked, and the folder is made again


# --- reading --------------------


@pytest.mark.attack(34)
def test_a_failing_disk_is_an_error_for_the_message_alone(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, b"x\n", "1.a")
    deliver(root, b"y\n", "2.b")
    drop = Maildrop.open(root, ANA, lock)
    failing(monkeypatch, "open", lambda path, *_: str(path).endswith("1.a"))
    with pytest.raises(MaildropUnavailable, match="Input/output"):
        drop.open_message(drop.messages[0])
    os.close(drop.open_message(drop.messages[1]))


def test_a_vanished_folder_makes_messages_not_found_and_leaks_nothing(
    root: Path, lock: MaildropLock
) -> None:
    deliver(root, b"x\n", "1.a")
    drop = Maildrop.open(root, ANA, lock)
    remove_maildir(root, ANA)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises((MaildropUnavailable, MessageNotFound)):
        drop.open_message(drop.messages[0])
    assert drop.delete(list(drop.messages)) in ((1, 0), (0, 1))
    assert len(os.listdir("/proc/self/fd")) == before


# --- deleting --------------------


@pytest.mark.attack(34)
def test_a_sync_that_fails_claims_no_deletion_in_its_folder(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        deliver(root, b"x\n", f"{number}.new")
    deliver(root, b"x\n", "9.cur:2,S", "cur")
    drop = Maildrop.open(root, ANA, lock)
    failing(monkeypatch, "fsync", lambda fd: os.readlink(f"/proc/self/fd/{fd}").endswith("/new"))
    assert drop.delete(list(drop.messages)) == (1, 3)


def test_each_touched_folder_is_synced_once_and_after_its_removals(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        deliver(root, b"x\n", f"{number}.new")
    drop = Maildrop.open(root, ANA, lock)
    calls: list[str] = []
    unlink, fsync = os.unlink, os.fsync
    monkeypatch.setattr(os, "unlink", lambda *a, **k: calls.append("unlink") or unlink(*a, **k))
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("fsync") or fsync(fd))
    assert drop.delete(list(drop.messages[1:])) == (4, 0)
    assert calls == ["unlink"] * 4 + ["fsync"]


@pytest.mark.attack(34)
def test_a_removal_that_fails_is_counted_and_the_others_are_done(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        deliver(root, b"x\n", f"{number}.a")
    drop = Maildrop.open(root, ANA, lock)
    failing(monkeypatch, "unlink", lambda path, *_: path.endswith("1.a"))
    assert drop.delete(list(drop.messages)) == (2, 1)
    assert [path.name for path in (root / "ana/new").iterdir()] == ["1.a"]


@pytest.mark.attack(36)
def test_another_file_of_the_same_name_is_never_removed(root: Path, lock: MaildropLock) -> None:
    path = deliver(root, b"x\n", "1.a")
    drop = Maildrop.open(root, ANA, lock)
    path.rename(root / "ana/tmp/kept")
    deliver(root, b"x\n", "1.a")
    assert drop.delete(list(drop.messages)) == (0, 1)
    assert path.exists()


@pytest.mark.attack(36)
def test_a_folder_that_opens_only_later_is_not_taken_for_untouched(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = deliver(root, b"x\n", "1.a")
    deliver(root, b"x\n", "2.b", "cur")
    for folder in ("new", "cur"):
        os.utime(root / "ana" / folder, (1000, 1000.5))
    drop = Maildrop.open(root, ANA, lock)
    assert drop.snapshot.state is not None
    path.rename(root / "ana/tmp/kept")
    deliver(root, b"x\n", "1.a")
    once = iter([True])
    failing(monkeypatch, "open", lambda it, *_: it == "new" and next(once, False))
    assert drop.delete(list(drop.messages)) == (1, 1)
    assert path.exists()


# --- the lock --------------------


def test_a_maildrop_that_is_let_go_after_all_locks_were_is_no_error(root: Path) -> None:
    """As of a login whose client went, and which ends with its worker."""
    lock = MaildropLock(root)
    lock.acquire(ANA_KEY)
    lock.close()
    lock.release(ANA_KEY)


def test_a_second_session_is_refused_in_and_across_processes(root: Path) -> None:
    one, two = MaildropLock(root), MaildropLock(root)
    one.acquire(ANA_KEY)
    for other in (one, two):
        with pytest.raises(MaildropInUse):
            other.acquire(ANA_KEY)
    eva_key = lock_key(("eva",))
    two.acquire(eva_key)
    one.release(ANA_KEY)
    two.acquire(ANA_KEY)
    two.release(ANA_KEY)
    two.release(eva_key)
    one.close()
    two.close()


@pytest.mark.attack(35, "kill")
def test_the_lock_of_a_killed_process_is_free_at_once(root: Path, lock: MaildropLock) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c",
         "import sys; from pathlib import Path\n"
         "from pop3_service.maildir.lock import MaildropLock\n"
         "held = MaildropLock(Path(sys.argv[1])); held.acquire(int(sys.argv[2]))\n"
         "print('held', flush=True); sys.stdin.read()", str(root), str(ANA_KEY)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(MaildropInUse):
        lock.acquire(ANA_KEY)
    holder.kill()
    holder.communicate()
    lock.acquire(ANA_KEY)


def test_a_lock_file_that_is_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    (root / LOCK_FOLDER).mkdir()
    (root / LOCK_FOLDER / "07").symlink_to(tmp_path / "elsewhere")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(MaildropUnavailable, match="cannot lock"):
        MaildropLock(root)
    assert not (tmp_path / "elsewhere").exists()
    (root / LOCK_FOLDER).rename(root / "moved")
    (root / LOCK_FOLDER).symlink_to(root / "moved")
    with pytest.raises(MaildropUnavailable, match="cannot lock"):
        MaildropLock(root)
    assert len(os.listdir("/proc/self/fd")) == before


def test_locks_are_spread_so_that_none_is_searched_among_thousands(root: Path) -> None:
    by_file: dict[int, int] = {}
    for number in range(10_000):
        file = lock_key((f"user{number}",)) % FILES
        by_file[file] = by_file.get(file, 0) + 1
    assert len(by_file) == FILES
    assert max(by_file.values()) < 2 * 10_000 / FILES


def test_a_maildrop_that_cannot_be_listed_is_not_left_locked(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        failing(patched, "scandir", lambda *_: True)
        with pytest.raises(MaildropUnavailable, match="cannot read the maildrop"):
            Maildrop.open(root, ANA, lock)
    Maildrop.open(root, ANA, lock).close()


# --- delivery --------------------


def test_a_delivery_is_there_whole_or_not_at_all(root: Path) -> None:
    new, tmp = root / "ana/new", root / "ana/tmp"
    with Delivery(root, ANA, SystemClock()) as delivery:
        delivery.write(b"half")
        assert list(new.iterdir()) == []
    assert list(tmp.iterdir()) == list(new.iterdir()) == []
    with Delivery(root, ANA, SystemClock()) as delivery:
        delivery.write(b"whole\n")
        uidl, octets = delivery.commit()
    assert octets == 7
    [path] = new.iterdir()
    assert path.name == uidl
    with open_stored(root, ANA, uidl) as file:
        assert file.read() == b"whole\n"
    with pytest.raises(MessageNotFound):
        open_stored(root, ANA, "another")


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_delivery_that_cannot_be_made_durable_is_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with monkeypatch.context() as patched, Delivery(root, ANA, SystemClock()) as delivery:
        delivery.write(b"x")
        failing(patched, call, lambda *_: True)
        with pytest.raises(MaildropUnavailable, match="Input/output"):
            delivery.commit()
    assert list((root / "ana/tmp").iterdir()) == []


def test_a_delivery_whose_file_was_cleaned_away_ends_quietly(root: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Delivery(root, ANA, SystemClock()):
        [path] = (root / "ana/tmp").iterdir()
        path.unlink()
    assert len(os.listdir("/proc/self/fd")) == before


def test_many_deliveries_at_once_have_names_of_their_own(root: Path) -> None:
    class OneMoment(SystemClock):
        moment = SystemClock().now()

        def now(self) -> Any:
            return self.moment

    names = set()
    for _ in range(100):
        with Delivery(root, ANA, OneMoment()) as delivery:
            names.add(delivery.commit()[0])
    assert len(names) == 100


@pytest.mark.parametrize("octets", [10, 1_000_000])
def test_a_delivery_to_a_full_disk_leaves_nothing_behind(
    root: Path, monkeypatch: pytest.MonkeyPatch, octets: int
) -> None:
    real = os.open

    def open_full(path: str, *arguments: Any, **options: Any) -> int:
        fd = real(path, *arguments, **options)
        if not str(path).startswith("tmp/"):
            return fd
        os.close(fd)
        return real("/dev/full", os.O_WRONLY)

    monkeypatch.setattr(os, "open", open_full)
    before = os.listdir("/proc/self/fd")

    def deliver_it() -> None:
        with Delivery(root, ANA, SystemClock()) as delivery:
            delivery.write(b"x" * octets)
            delivery.commit()

    with pytest.raises(MaildropUnavailable, match="No space"):
        deliver_it()
    assert os.listdir("/proc/self/fd") == before
    assert list((root / "ana" / "tmp").iterdir()) == []


async def test_a_delivery_whose_caller_goes_while_it_begins_leaves_nothing_behind(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go = threading.Event(), threading.Event()

    class Slow(Delivery):
        def __init__(self, *arguments: Any) -> None:
            started.set()
            go.wait(20)
            super().__init__(*arguments)

    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    monkeypatch.setattr(maildir_store, "Delivery", Slow)
    store = MaildirStore(MailPaths(root), SystemClock())
    await asyncio.to_thread(started.is_set)  # the loop has all descriptors that it needs
    before = os.listdir("/proc/self/fd")
    call = asyncio.create_task(store.put(AccountName("ana"), nothing()))
    await asyncio.to_thread(started.wait, 20)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    async with asyncio.timeout(60):
        while os.listdir("/proc/self/fd") != before:
            await asyncio.sleep(0)
    assert list((root / "ana" / "tmp").iterdir()) == []


def test_a_maildir_is_removed_with_its_mail_and_again_without_harm(root: Path) -> None:
    deliver(root, b"x\n", "1.a")
    assert len(list_maildir(root, ANA).messages) == 1
    remove_maildir(root, ANA)
    remove_maildir(root, ANA)
    assert list_maildir(root, ANA).messages == ()
    assert not (root / "ana").exists()


@pytest.mark.parametrize("call", ["unlink", "rmdir"])
def test_a_maildir_goes_whole_though_another_program_works_in_it(
    root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """As a session does that just ended and writes its index, or a mail program that sets flags."""
    for number in range(5):
        deliver(root, b"x\n", f"{number}.a")
    real = getattr(os, call)
    once = iter([True])

    def meddle(name: str, *, dir_fd: int) -> None:
        if next(once, False):
            if call == "unlink":
                os.rename(name, f"{name}:2,S", src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            else:
                (root / "ana" / name / "late").write_bytes(b"")
        real(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, call, meddle)
    remove_maildir(root, ANA)
    assert not next(once, False)
    assert not (root / "ana").exists()
