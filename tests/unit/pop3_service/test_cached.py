"""Reading without waiting, and maildrops that did not change: fast, and never another answer."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import scale
from lineproto.stuffing import END, encode
from pop3_service.domain.errors import MaildropInUse, MaildropUnavailable
from pop3_service.maildir import cached, listing, syscalls
from pop3_service.maildir.cached import MailRoot
from pop3_service.maildir.listing import COARSE_TICK_NS, TICK_NS
from pop3_service.maildir.lock import MaildropLock, lock_key
from pop3_service.maildir.maildrop import Maildrop
from pop3_service.maildir.opening import open_to_read
from pop3_service.maildir.paths import MailPaths, make_folder
from pop3_service.pop3.catalogue import ENGLISH
from pop3_service.worker import maildrops as module
from pop3_service.worker.maildrops import Maildrops, OpenMaildrop
from pop3_service.worker.sending import send_message, small_message
from support.mailbuilder import varied
from support.maildrops import end_session

ANA = ("ana",)
LONG_AGO_S = time.time() - 3600


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_folder(tmp_path, ANA)
    return tmp_path


@pytest.fixture
def maildrops(root: Path) -> Iterator[Maildrops]:
    made = Maildrops(MailPaths(root))
    yield made
    made.close()


@pytest.fixture
def mail_root(root: Path) -> Iterator[MailRoot]:
    made = MailRoot(root)
    assert made.is_local, "the tests need a local file system"
    yield made
    made.close()


def deliver(root: Path, content: bytes, name: str, folder: str = "new") -> Path:
    path = root / "ana" / folder / name
    path.write_bytes(content)
    return path


def settle(root: Path, account: str = "ana") -> None:
    """Let the folders look as if nothing had changed for an hour."""
    for folder in ("new", "cur"):
        os.utime(root / account / folder, (LONG_AGO_S, LONG_AGO_S + 0.5))


def change_file(root: Path, path: Path, change: str) -> None:
    """Do to a listed message's file what another program might do."""
    match change:
        case "gone":
            path.unlink()
        case "other":
            path.rename(root / "other")
            deliver(root, b"two\n", "1.a")
        case "grown":
            with path.open("ab") as file:
                file.write(b"more\n")
        case "same size":
            path.write_bytes(b"two\n")
        case "same time":
            mtime_ns = path.stat().st_mtime_ns
            path.write_bytes(b"two\n")
            os.utime(path, ns=(mtime_ns, mtime_ns))
        case "link":
            path.rename(root / "other")
            path.symlink_to(root / "other")
        case "fifo":
            path.unlink()
            os.mkfifo(path)
        case "second":
            os.link(path, root / "second")
        case _:
            raise ValueError(change)


async def in_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def opened(maildrops: Maildrops) -> OpenMaildrop:
    return await maildrops.open("ana", in_thread)


@pytest.fixture(params=["at once", "in a thread"])
def log_in(
    request: pytest.FixtureRequest, maildrops: Maildrops, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Awaitable[OpenMaildrop]]:
    """A login to a maildrop that changed, or that nothing is known of."""

    async def enter() -> OpenMaildrop:
        drop = maildrops.open_at_once("ana")
        assert (drop is None) == (request.param == "in a thread")
        return await opened(maildrops) if drop is None else drop

    if request.param == "in a thread":
        monkeypatch.setattr(MailRoot, "list_cached", lambda *_: None)
    return enter


LogIn = Callable[[], Awaitable[OpenMaildrop]]


# --- reading --------------------


async def test_what_is_read_at_once_is_what_the_long_way_gives(
    root: Path, maildrops: Maildrops
) -> None:
    messages = list(varied(scale.VARIED_MESSAGES))
    for number, message in enumerate(messages):
        deliver(root, message, f"{1000 + number}.a")
    drop = await opened(maildrops)
    at_once = 0
    for message, stored in zip(drop.messages, messages, strict=True):
        reply = small_message(drop, message, ENGLISH)
        assert (reply is None) == (not 0 < len(stored) < cached.SMALL)
        if reply is not None:
            at_once += 1
            assert reply == b"+OK %d octets\r\n" % message.octets + encode(stored) + END
    assert at_once > len(messages) // 2
    drop.close()


async def test_what_a_login_has_read_is_sent_without_reading_it_again(
    root: Path, maildrops: Maildrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; the second time it is read, and is the same."""
    messages = [it for it in varied(cached.AT_ONCE) if 0 < len(it) < cached.SMALL]
    for number, message in enumerate(messages):
        deliver(root, message, f"{1000 + number}.a")
    drop = maildrops.open_at_once("ana")
    assert drop is not None
    assert maildrops.read_octets == sum(map(len, messages)) > 0
    pairs = list(zip(drop.messages, messages, strict=True))
    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", None)
        replies = [small_message(drop, message, ENGLISH) for message, _ in pairs]
    assert replies == [
        b"+OK %d octets\r\n" % message.octets + encode(stored) + END for message, stored in pairs
    ]
    assert maildrops.read_octets == 0
    assert [small_message(drop, message, ENGLISH) for message, _ in pairs] == replies
    drop.close()
    assert maildrops.read_octets == 0


async def test_what_logins_have_read_is_kept_within_bounds_and_while_they_last(
    root: Path, maildrops: Maildrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_OCTETS", 10)
    for name in ("ben", "eva"):
        make_folder(root, (name,))
    for name, content in (("ana", b"four\n"), ("ben", b"and five\n"), ("eva", b"one\n")):
        (root / name / "new/1.a").write_bytes(content)
    drops = {name: maildrops.open_at_once(name) for name in ("ana", "ben", "eva")}
    assert maildrops.read_octets == len(b"four\n" + b"one\n")  # there was no room for Ben's
    for name, content in (("ana", b"four\n"), ("ben", b"and five\n")):
        drop = drops[name]
        assert drop is not None
        assert drop.read_at_once(drop.messages[0]) == content
    for drop in drops.values():
        assert drop is not None
        drop.close()
        drop.close()
    assert maildrops.read_octets == 0


def test_what_nobody_asks_for_is_kept_until_the_second_sweep(
    root: Path, maildrops: Maildrops
) -> None:
    make_folder(root, ("ben",))
    for name in ("ana", "ben"):
        (root / name / "new/1.a").write_bytes(b"one\n")
    first = maildrops.open_at_once("ana")
    maildrops.sweep()
    assert maildrops.read_octets == 4
    second = maildrops.open_at_once("ben")
    maildrops.sweep()
    assert maildrops.read_octets == 4  # of the second
    maildrops.sweep()
    assert maildrops.read_octets == 0
    for drop in (first, second):
        assert drop is not None
        assert drop.read_at_once(drop.messages[0]) == b"one\n"
        drop.close()


@pytest.mark.attack(29, "swapped")
@pytest.mark.parametrize("change", ["gone", "other", "grown", "same size", "same time", "second"])
def test_what_a_login_has_read_is_not_sent_once_its_file_was_touched(
    root: Path, maildrops: Maildrops, mail_root: MailRoot, change: str
) -> None:
    path = deliver(root, b"one\n", "1.a")
    drop = maildrops.open_at_once("ana")
    assert drop is not None
    [message] = drop.messages
    assert mail_root.is_untouched(b"ana", message)
    time.sleep(0.02)  # the clock of files has ticked
    change_file(root, path, change)
    assert not mail_root.is_untouched(b"ana", message)
    # Of "same time" the file's own mtime tells nothing: read again, it is as it is now.
    assert drop.read_at_once(message) == (b"two\n" if change == "same time" else None)
    drop.close()


def test_a_status_without_waiting_is_the_one_that_os_tells(root: Path, mail_root: MailRoot) -> None:
    path = deliver(root, b"one\n", "1.a")
    os.utime(path, ns=(5, 2**33 * 10**9 + 7))
    os.link(path, root / "second")
    (root / "link").symlink_to(path)
    status_of = syscalls.status_reader()
    assert status_of is not None
    for name in ("ana/new/1.a", "ana", "link"):
        found, expected = status_of(mail_root.fd, name.encode()), (root / name).lstat()
        assert found is not None
        assert found == tuple(getattr(expected, field) for field in found._fields)
    assert status_of(mail_root.fd, b"nowhere") is None


def test_without_such_a_status_what_was_read_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached, "status_reader", lambda: None)
    deliver(root, b"one\n", "1.a")
    own = Maildrops(MailPaths(root))
    drop = own.open_at_once("ana")
    assert drop is not None
    [message] = drop.messages
    assert drop.read_at_once(message) == b"one\n"
    drop.close()
    own.close()


@pytest.mark.attack(29, "swapped")
@pytest.mark.parametrize(
    "change", ["gone", "other", "grown", "same size", "link", "fifo", "second"]
)
def test_a_message_that_is_not_as_it_was_listed_is_not_read_at_once(
    root: Path, mail_root: MailRoot, change: str
) -> None:
    path = deliver(root, b"one\n", "1.a")
    lock = MaildropLock(root)
    drop = Maildrop.open(root, ANA, lock)
    [message] = drop.messages
    assert mail_root.read_cached(b"ana", message) == b"one\n"
    change_file(root, path, change)
    before = len(os.listdir("/proc/self/fd"))
    assert mail_root.read_cached(b"ana", message) is None
    assert len(os.listdir("/proc/self/fd")) == before
    lock.close()


def test_no_link_on_the_way_is_followed(root: Path, mail_root: MailRoot, tmp_path: Path) -> None:
    deliver(root, b"one\n", "1.a")
    lock = MaildropLock(root)
    [message] = Maildrop.open(root, ANA, lock).messages
    (root / "ana").rename(root / "moved")
    (root / "ana").symlink_to(root / "moved")
    assert mail_root.read_cached(b"ana", message) is None
    assert mail_root.read_cached(b"moved/../moved", message) == b"one\n"
    assert mail_root.read_cached(b"../" + root.name.encode() + b"/moved", message) is None
    lock.close()


def test_where_the_kernel_or_the_file_system_cannot_all_go_the_long_way(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, b"one\n", "1.a")
    lock = MaildropLock(root)
    [message] = Maildrop.open(root, ANA, lock).messages
    monkeypatch.setattr(syscalls, "_OPENAT2", 9999)  # no such system call
    assert MailRoot(root).read_cached(b"ana", message) is None
    monkeypatch.undo()
    monkeypatch.setattr(cached, "LOCAL_FILE_SYSTEMS", frozenset())
    remote = MailRoot(root)
    assert not remote.is_local
    assert remote.read_cached(b"ana", message) is None
    monkeypatch.undo()

    def refuse(*_: object) -> int:
        raise OSError(95, "Operation not supported")

    own = MailRoot(root)
    monkeypatch.setattr(os, "preadv", refuse)
    assert own.read_cached(b"ana", message) is None
    monkeypatch.undo()
    assert own.read_cached(b"ana", message) is None  # it is not tried again
    lock.close()


@pytest.mark.attack(34)
def test_a_read_that_fails_once_is_tried_again(
    root: Path, mail_root: MailRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, b"one\n", "1.a")
    lock = MaildropLock(root)
    [message] = Maildrop.open(root, ANA, lock).messages
    for number in (5, 11):  # EIO; EAGAIN: the kernel has it no more

        def fail(*_: object, number: int = number) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "preadv", fail)
        assert mail_root.read_cached(b"ana", message) is None
        monkeypatch.undo()
        assert mail_root.read_cached(b"ana", message) == b"one\n"
    lock.close()


def test_a_mail_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(MaildropUnavailable, match="cannot open the mail folder"):
        MailRoot(tmp_path / "nowhere")


# --- maildrops that did not change --------------------


def uidls(drop: OpenMaildrop) -> list[str]:
    return [message.uidl for message in drop.messages]


async def test_a_maildrop_that_did_not_change_is_opened_without_a_look_at_its_mail(
    root: Path, maildrops: Maildrops, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(root, b"one\n", "1.a")
    settle(root)
    first = await log_in()
    first.close()
    monkeypatch.setattr(os, "scandir", None)
    again = maildrops.open_at_once("ana")
    assert again is not None
    assert again.contents is first.contents
    assert uidls(again) == ["1.a"]
    with pytest.raises(MaildropInUse):
        maildrops.open_at_once("ana")
    again.close()


@pytest.mark.attack(32, "delivery", "rename")
@pytest.mark.parametrize("change", ["delivered", "removed", "renamed", "moved", "folder"])
async def test_a_change_by_another_program_is_seen_at_the_next_login(
    root: Path, log_in: LogIn, change: str
) -> None:
    path = deliver(root, b"one\n", "1.a")
    settle(root)
    (await log_in()).close()
    match change:
        case "delivered":
            deliver(root, b"two\n", "2.b")
        case "removed":
            path.unlink()
        case "renamed":
            path.rename(path.with_name("1.a:2,S"))
        case "moved":
            path.rename(root / "ana/cur/1.a:2,")
        case "folder":
            (root / "ana").rename(root / "old")
            make_folder(root, ANA)
    drop = await log_in()
    assert uidls(drop) == {
        "delivered": ["1.a", "2.b"], "removed": [], "folder": []
    }.get(change, ["1.a"])  # fmt: skip
    names = [message.name for message in drop.messages]
    assert names == sorted(it.name for it in (root / "ana").glob("[cn][ue][rw]/*"))
    drop.close()


@pytest.mark.attack(36)
@pytest.mark.parametrize(
    ("mtime_ns", "tick_ns"), [(500_000_001, TICK_NS), (0, COARSE_TICK_NS)], ids=["fine", "coarse"]
)
async def test_a_change_in_the_same_tick_as_the_listing_is_not_missed(
    root: Path,
    maildrops: Maildrops,
    log_in: LogIn,
    monkeypatch: pytest.MonkeyPatch,
    mtime_ns: int,
    tick_ns: int,
) -> None:
    deliver(root, b"one\n", "1.a")
    mtime_ns += 10**18

    def stamp() -> None:
        for folder in ("new", "cur"):
            os.utime(root / "ana" / folder, ns=(mtime_ns, mtime_ns))

    stamp()
    monkeypatch.setattr(listing.time, "time_ns", lambda: mtime_ns + tick_ns)
    (await log_in()).close()
    deliver(root, b"two\n", "2.b")
    stamp()  # the change left no trace
    drop = await log_in()
    assert uidls(drop) == ["1.a", "2.b"]
    drop.close()
    # Once a change would show, the listing holds.
    monkeypatch.setattr(listing.time, "time_ns", lambda: mtime_ns + tick_ns + 1)
    (await log_in()).close()
    monkeypatch.setattr(os, "scandir", None)
    drop_at_once = maildrops.open_at_once("ana")
    assert drop_at_once is not None
    drop_at_once.close()


async def test_what_is_no_mail_now_may_become_it_and_is_looked_at_each_time(
    root: Path, log_in: LogIn
) -> None:
    path = deliver(root, b"one\n", "1.a")
    os.link(path, root / "second")
    settle(root)
    drop = await log_in()
    assert (uidls(drop), drop.passed_over) == ([], 1)
    drop.close()
    (root / "second").unlink()  # no trace in new
    drop = await log_in()
    assert uidls(drop) == ["1.a"]
    drop.close()


async def test_after_a_deletion_the_next_login_looks_again_and_reads_nothing_again(
    root: Path, maildrops: Maildrops, log_in: LogIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        deliver(root, b"x\n", f"{number}.a")
    settle(root)
    drop = await log_in()
    drop.shrink(list(drop.messages[:2]))
    assert await drop.delete(list(drop.messages[:2]), in_thread) == (2, 0)
    drop.close()
    deliver(root, b"new\n", "9.b")
    read: list[int] = []

    def note(*arguments: int | cached._Impatient) -> bytes:
        """Read as the eye does: the last two are a descriptor and how much at most."""
        eye, read_as = arguments[:-2], cached_read if len(arguments) == 3 else os.read
        chunk = read_as(*eye, *arguments[-2:])
        read.append(len(chunk))
        return chunk

    cached_read = cached._Impatient.read
    monkeypatch.setattr(listing.Patient, "read", staticmethod(note))
    monkeypatch.setattr(cached._Impatient, "read", note)
    drop = await log_in()
    assert uidls(drop) == ["2.a", "3.a", "4.a", "9.b"]
    assert read == [len(b"new\n")]
    drop.forget()
    drop.close()
    drop = await log_in()
    assert uidls(drop) == ["2.a", "3.a", "4.a", "9.b"]
    drop.close()


async def test_a_crowd_that_deletes_at_once_takes_few_descriptors(
    root: Path, maildrops: Maildrops
) -> None:
    drops = []
    for number in range(200):
        account = f"user{number}"
        make_folder(root, (account,))
        (root / account / "new" / "1.a").write_bytes(b"x\n")
        drops.append(await maildrops.open(account, in_thread))
    free = asyncio.Event()

    async def when_free(work: Callable[[], Any]) -> Any:
        await free.wait()
        return work()

    gc.collect()  # what earlier tests left open is closed now, and not meanwhile
    before = len(os.listdir("/proc/self/fd"))
    deletions = [asyncio.create_task(drop.delete(list(drop.messages), when_free)) for drop in drops]
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) - before <= 3 * module.DELETIONS_AHEAD
    free.set()
    assert await asyncio.gather(*deletions) == [(1, 0)] * len(drops)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_deletion_that_failed_leaves_its_message_in_the_next_listing(
    root: Path, log_in: LogIn
) -> None:
    deliver(root, b"one\n", "1.a")
    settle(root)
    drop = await log_in()
    drop.shrink(list(drop.messages))
    drop.close()  # nothing was deleted
    drop = await log_in()
    assert uidls(drop) == ["1.a"]
    drop.close()


async def test_what_is_listed_at_once_is_what_a_thread_would_list(
    root: Path, maildrops: Maildrops
) -> None:
    for number, message in enumerate(varied(40)):
        if len(message) < cached.SMALL:
            deliver(root, message, f"{number}.a", "cur" if number % 2 else "new")
    os.mkfifo(root / "ana/new/fifo")
    (root / "ana/cur/folder").mkdir()
    (root / "ana/cur/link").symlink_to(root / "ana/new")
    deliver(root, b"dup\n", "1.a:2,S", "cur")
    drop = maildrops.open_at_once("ana")
    assert drop is not None
    at_once = (drop.messages, drop.passed_over)
    drop.close()
    maildrops.forget("ana")
    drop = await opened(maildrops)
    assert (drop.messages, drop.passed_over) == at_once
    drop.close()


@pytest.mark.parametrize("why", ["many", "large", "link", "cold", "missing", "long"])
async def test_what_would_take_long_is_left_to_a_thread(
    root: Path, maildrops: Maildrops, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    for number in range(cached.AT_ONCE + (why == "many")):
        deliver(root, b"x\n", f"{number}.a")
    match why:
        case "large":
            deliver(root, b"x\n" * cached.SMALL, "0.a")
        case "link":
            (root / "ana/cur").rmdir()
            (root / "ana/cur").symlink_to("new")
        case "cold":
            monkeypatch.setattr(os, "preadv", lambda *_: 0)
        case "long":  # entries that are no mail, but have to be gone through
            monkeypatch.setattr(cached, "LONG_FOLDER", 4095)
        case "missing":
            (root / "ana").rename(root / "gone")
    before = len(os.listdir("/proc/self/fd"))
    assert maildrops.open_at_once("ana") is None
    assert len(os.listdir("/proc/self/fd")) == before
    maildrops._lock.acquire(lock_key(ANA))  # it was not left locked


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(
    root: Path, maildrops: Maildrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_MESSAGES", 3 * module.MAILDROP_MESSAGES + 3)
    names = [f"u{number}" for number in range(5)]
    for name in names:
        make_folder(root, (name,))
        (root / name / "new/1.a").write_bytes(b"x\n")
        settle(root, name)
        (await maildrops.open(name, in_thread)).close()
        first = maildrops.open_at_once("u0") if name == "u2" else None  # just used
        if first is not None:
            first.close()
    kept = []
    monkeypatch.setattr(os, "scandir", None)  # what is not kept would have to be looked at
    monkeypatch.setattr(MailRoot, "list_cached", lambda *_: None)
    for name in names:
        drop = maildrops.open_at_once(name)
        if drop is not None:
            kept.append(name)
            drop.close()
    assert kept == ["u0", "u3", "u4"]


async def test_a_large_maildrop_is_kept_in_the_index_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart, or another worker, needs no look at its folders."""
    lock = MaildropLock(root)
    for number in range(listing.LARGE):
        deliver(root, b"x\n", f"{number:05}.a", "cur")
    soon_ns = time.time_ns() + 60 * 10**9
    os.utime(root / "ana" / "cur", ns=(soon_ns, soon_ns))  # as if just delivered
    first = Maildrop.open(root, ANA, lock)
    end_session(first)
    assert first.snapshot.state is None
    settle(root)
    end_session(Maildrop.open(root, ANA, lock))
    monkeypatch.setattr(os, "scandir", None)
    again = Maildrop.open(root, ANA, lock)
    assert again.messages == first.messages
    again.close()
    lock.close()


def test_a_fault_while_listing_at_once_leaves_nothing_locked(
    maildrops: Maildrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(MailRoot, "list_cached", fault)
    with pytest.raises(ZeroDivisionError):
        maildrops.open_at_once("ana")
    maildrops._lock.acquire(lock_key(ANA))


async def test_names_that_are_no_utf8_cost_time_and_lose_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(b"2.\xff\xfe")
    deliver(root, b"x\n", "1.a")
    deliver(root, b"yy\n", odd)
    settle(root)
    lock = MaildropLock(root)
    first = Maildrop.open(root, ANA, lock)
    assert [message.octets for message in first.messages] == [3, 4]
    end_session(first)
    measured: list[str] = []
    monkeypatch.setattr(
        listing.Patient,
        "open",
        staticmethod(lambda fd, name: measured.append(name) or open_to_read(fd, name)),
    )
    again = Maildrop.open(root, ANA, lock)
    assert again.messages == first.messages
    assert measured == [odd]
    with open(again.open_message(again.messages[1]), "rb") as file:
        assert file.read() == b"yy\n"
    again.close()
    lock.close()


async def test_a_login_that_is_cancelled_while_it_lists_leaves_nothing_locked(
    root: Path, maildrops: Maildrops
) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def slowly(work: Callable[[], Any]) -> Any:
        started.set()
        await go.wait()
        return await asyncio.to_thread(work)

    login = asyncio.create_task(maildrops.open("ana", slowly))
    await started.wait()
    login.cancel()
    with pytest.raises(asyncio.CancelledError):
        await login
    go.set()
    async with asyncio.timeout(60):
        while True:
            try:
                (await opened(maildrops)).close()
                break
            except MaildropInUse:
                await asyncio.sleep(0)


async def test_a_message_whose_client_goes_while_it_is_opened_leaves_nothing_open(
    root: Path, maildrops: Maildrops
) -> None:
    deliver(root, b"x\n", "1.a")
    drop = await opened(maildrops)
    before = os.listdir("/proc/self/fd")
    started, go = asyncio.Event(), threading.Event()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Context:
        async def on_disk(self, work: Callable[[], int]) -> int:
            def slowly() -> int:
                go.wait(20)
                return work()

            opening = asyncio.get_running_loop().run_in_executor(None, slowly)
            started.set()
            try:
                return await opening
            finally:
                done.set_result(None)

    context: Any = Context()
    connection: Any = None
    command = asyncio.create_task(
        send_message(connection, context, drop, drop.messages[0], None, ENGLISH)
    )
    await started.wait()
    command.cancel()
    with pytest.raises(asyncio.CancelledError):
        await command
    go.set()
    await done
    await asyncio.get_running_loop().shutdown_default_executor()
    await asyncio.sleep(0)
    assert os.listdir("/proc/self/fd") == before
