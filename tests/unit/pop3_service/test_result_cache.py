"""Results on the disk: bounded, shared, never half a one, whatever happens to the folder."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from pop3_service.domain.errors import TransformFailed
from pop3_service.transform import cache as cache_module
from pop3_service.transform import making as making_module
from pop3_service.transform.cache import PAUSE_S, Cache
from pop3_service.transform.results import VANISHED_S, Draft, Folder
from pop3_service.transform.sweeping import BLOCK, PERIOD_S, UNUSED_S
from unit.pop3_service.transforming import BOOT, Desk, read

MARK = "f" * 32
OTHER_BOOT = "00000000-0000-4000-8000-000000000002"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path, quota=10 * BLOCK)
    yield made
    await made.close()


@pytest.fixture
def cache(desk: Desk) -> Cache:
    return desk.cache


def lease(cache: Cache, account: str, mark: str = MARK) -> Folder:
    folder = cache.lease(account, mark)
    assert folder is not None
    return folder


def put(cache: Cache, folder: Folder, message: str, octets: bytes = b"x\r\n") -> bool:
    """Publish a result; whether it is there now."""
    draft = cache.open_draft()
    draft.file.write(octets)
    folder.publish(message, draft)
    draft.close()
    fd = folder.open(message)
    if fd is None:
        return False
    os.close(fd)
    return True


def fill(cache: Cache, account: str, count: int) -> None:
    folder = lease(cache, account)
    for number in range(count):
        assert put(cache, folder, f"{number:032x}")
    folder.close()


def sizes(cache: Cache, account: str) -> dict[str, int]:
    folder = lease(cache, account)
    found = folder.sizes()
    folder.close()
    return found


# --- what is kept ---


def test_all_sizes_are_told_at_once(cache: Cache, desk: Desk) -> None:
    desk.quota = 1 << 30
    folder = lease(cache, "ana")
    for number in range(500):
        put(cache, folder, f"{number:032x}", b"x" * number)
    assert folder.sizes() == {f"{number:032x}": number for number in range(500)}
    folder.close()


def test_of_two_results_of_a_message_the_first_counts(cache: Cache) -> None:
    folder = lease(cache, "ana")
    assert put(cache, folder, "a", b"first\r\n")
    used = cache.used()
    draft = cache.open_draft()
    draft.file.write(b"second\r\n")
    assert not folder.publish("a", draft)
    draft.close()
    fd = folder.open("a")
    assert fd is not None
    assert os.read(fd, 100) == b"first\r\n"
    os.close(fd)
    folder.close()
    assert cache.used() == used


def test_names_on_the_disk_tell_no_account_and_are_no_paths(cache: Cache, desk: Desk) -> None:
    for account in ("ana@example.org", "../../../tmp/x", "a/b", "\udcff", "x" * 300):
        fill(cache, account, 1)
    told = {part for path in desk.kept() for part in path.relative_to(desk.results).parts}
    assert len(desk.kept()) == 5
    assert all(set(part) <= set("0123456789abcdef-results") for part in told)


def test_nobody_else_can_look_into_it(cache: Cache, desk: Desk) -> None:
    desk.results.mkdir(mode=0o755)
    fill(cache, "ana", 1)
    assert desk.results.stat().st_mode & 0o777 == 0o700


def test_a_result_that_is_no_file_of_ours_is_none(cache: Cache, desk: Desk) -> None:
    folder = lease(cache, "ana")
    put(cache, folder, "a")
    place = desk.kept()[0].parent
    (place / "link").symlink_to("/etc/passwd")
    (place / "folder").mkdir()
    os.mkfifo(place / "fifo")
    for name in ("link", "folder", "fifo", "none"):
        assert folder.open(name) is None
    folder.close()


# --- the quota ---


@pytest.mark.parametrize("size", [1, BLOCK, 3 * BLOCK + 1])
def test_what_is_used_stays_within_the_quota(cache: Cache, desk: Desk, size: int) -> None:
    for number in range(40):
        folder = lease(cache, f"u{number}")
        assert put(cache, folder, "a", b"x" * size)
        folder.close()
        on_disk = sum(path.stat().st_blocks * 512 for path in desk.kept())
        assert on_disk <= cache.used() <= desk.quota


def test_the_account_that_was_there_last_goes_last(cache: Cache, desk: Desk) -> None:
    for account in ("ana", "bob", "eva"):
        fill(cache, account, 3)
        desk.clock.move(1)
    lease(cache, "ana").close()
    desk.clock.move(1)
    fill(cache, "new", 3)
    assert [len(sizes(cache, it)) for it in ("new", "eva", "ana")] == [3, 3, 3]
    assert len(sizes(cache, "bob")) < 3


def test_within_a_folder_what_was_sent_last_goes_last(cache: Cache, desk: Desk) -> None:
    fill(cache, "ana", 9)
    for number, path in enumerate(desk.kept()):
        os.utime(path, (number if number != 1 else 100, 0))
    folder = lease(cache, "new")
    put(cache, folder, "a")
    put(cache, folder, "b")
    folder.close()
    assert f"{1:032x}" in sizes(cache, "ana")
    assert f"{0:032x}" not in sizes(cache, "ana")


def test_nothing_that_a_session_holds_is_evicted(cache: Cache, desk: Desk) -> None:
    held = lease(cache, "ana")
    for number in range(6):
        assert put(cache, held, str(number))
    for number in range(20):
        desk.clock.move(60)
        fill(cache, f"u{number}", 2)
    assert len(held.sizes()) == 6
    held.close()
    desk.clock.move(60)
    fill(cache, "last", 8)
    assert len(sizes(cache, "ana")) < 6


async def test_with_all_held_and_no_room_results_are_sent_and_not_kept(desk: Desk) -> None:
    desk.quota = 2 * BLOCK
    session, originals = desk.session(("cat",)), desk.messages(5)
    await session.find_sizes(originals, 20)
    assert len(desk.kept()) == 2
    assert [session.octets(it) for it in originals] == [it.octets for it in originals]
    for number, original in enumerate(originals):
        result = await session.open(original)
        assert result is not None
        assert read(result) == b"Subject: %d\r\n\r\nx\r\n" % number
    assert len(desk.kept()) == 2
    assert len(desk.runs) == 5 + 3
    session.close()
    assert desk.left_over() == []


def test_where_nothing_can_be_evicted_it_is_not_tried_each_time(
    cache: Cache, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps = 0
    sweep = cache_module.sweeping.sweep

    def counted(*arguments: object) -> object:
        nonlocal sweeps
        sweeps += 1
        return sweep(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cache_module.sweeping, "sweep", counted)
    held = lease(cache, "ana")
    for number in range(30):
        assert put(cache, held, str(number)) is (number < 10)
    assert sweeps == 1
    desk.clock.move(PAUSE_S)
    put(cache, held, "30")
    assert sweeps == 2
    held.close()


def test_one_that_is_larger_than_the_quota_evicts_nothing(cache: Cache, desk: Desk) -> None:
    fill(cache, "ana", 9)
    folder = lease(cache, "bob")
    assert not put(cache, folder, "a", b"x" * (desk.quota + 1))
    folder.close()
    assert len(sizes(cache, "ana")) == 9


def test_a_quota_of_nothing_keeps_nothing(cache: Cache, desk: Desk) -> None:
    desk.quota = 0
    folder = lease(cache, "ana")
    assert not put(cache, folder, "a", b"")
    assert not put(cache, folder, "b")
    folder.close()


def test_a_lower_quota_counts_from_the_next_sweep_on(cache: Cache, desk: Desk) -> None:
    fill(cache, "ana", 9)
    desk.quota = 2 * BLOCK
    desk.clock.move(PERIOD_S)
    cache.sweep_if_due()
    assert cache.used() <= desk.quota


def test_a_wrong_count_is_put_right(cache: Cache, desk: Desk) -> None:
    fill(cache, "ana", 3)
    (desk.results / BOOT / "used").write_bytes((123_456).to_bytes(8, "little"))
    cache.sweep_if_due()
    assert cache.used() == 3 * BLOCK


# --- what nobody will use ---


def test_results_of_before_the_machine_started_go(cache: Cache, desk: Desk) -> None:
    older = Desk(desk.folder, boot=OTHER_BOOT, quota=desk.quota)
    fill(older.cache, "ana", 3)
    older.cache.close()
    (desk.results / "something else").mkdir()
    assert sizes(cache, "ana") == {}
    cache.sweep_if_due()
    assert {path.name for path in desk.results.iterdir()} == {BOOT, "something else"}


def test_results_of_messages_that_are_gone_go_after_an_hour(cache: Cache, desk: Desk) -> None:
    folder = lease(cache, "ana")
    for name in ("there", "gone", "new"):
        put(cache, folder, name)
    now_s = cache.now_s()
    for path in desk.kept():
        age_s = 0 if path.name == "new" else VANISHED_S + 1
        os.utime(path, (now_s, now_s - age_s))
    folder.keep_only({"there"})
    assert set(folder.sizes()) == {"there", "new"}
    assert cache.used() == 2 * BLOCK
    folder.close()


async def test_a_session_lets_results_of_mail_that_is_gone_go(desk: Desk) -> None:
    originals = desk.messages(3)
    for there in (originals, originals[:1]):
        session = desk.session(("cat",))
        await session.find_sizes(there, 20)
        session.close()
        for path in desk.kept():
            os.utime(path, (0, 0))
    desk.cache.close()
    assert [path.name for path in desk.kept()] == [originals[0].key]


def test_what_nobody_asked_for_in_a_month_goes(cache: Cache, desk: Desk) -> None:
    fill(cache, "ana", 2)
    held = lease(cache, "eva")
    put(cache, held, "a")
    desk.clock.move(UNUSED_S + 1)
    fill(cache, "bob", 1)
    cache.sweep_if_due()
    assert len(desk.kept()) == 2
    assert len(list((desk.results / BOOT / "results").iterdir())) == 2
    held.close()


def test_a_deleted_accounts_results_go_at_once(cache: Cache, desk: Desk) -> None:
    fill(cache, "ana", 2)
    fill(cache, "bob", 1)
    cache.forget("ana")
    cache.forget("nobody")
    assert len(desk.kept()) == 1
    assert cache.used() == BLOCK


def test_drafts_of_processes_that_were_killed_go(cache: Cache, desk: Desk) -> None:
    fill(cache, "ana", 1)
    spool = desk.results / BOOT / "spool"
    (spool / "1-abcdef").write_bytes(b"half")
    written = Draft.make_named(spool)
    cache.sweep_if_due()
    assert len(list(spool.iterdir())) == 1
    written.close()
    assert list(spool.iterdir()) == []


# --- odd folders ---


def test_a_file_system_without_nameless_files_will_do(
    cache: Cache, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def without(path: object, flags: int, *more: object, **named: object) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return really(path, flags, *more, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", without)
    folder = lease(cache, "ana")
    assert put(cache, folder, "a", b"first\r\n")
    assert put(cache, folder, "a", b"second\r\n")
    assert folder.sizes() == {"a": 7}
    folder.close()
    assert desk.left_over() == []


def _as_link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to("elsewhere")


def _as_file(folder: Path) -> None:
    folder.write_text("")


def _beneath_a_file(folder: Path) -> None:
    folder.mkdir()
    (folder / BOOT).write_text("")


@pytest.mark.parametrize("make", [_as_link, _as_file, _beneath_a_file])
async def test_where_nothing_can_be_kept_results_are_sent_all_the_same(
    desk: Desk, make: Callable[[Path], None]
) -> None:
    make(desk.results)
    await _send_twice_without_keeping(desk)
    assert not (desk.folder / "elsewhere" / BOOT).exists()


async def test_a_folder_of_somebody_else_is_not_used(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.results.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    await _send_twice_without_keeping(desk)
    assert list(desk.results.iterdir()) == []


async def _send_twice_without_keeping(desk: Desk) -> None:
    session, originals = desk.session(("cat",)), desk.messages(2)
    for _ in range(2):
        await session.find_sizes(originals, 20)
        for original in originals:
            result = await session.open(original)
            assert result is not None
            assert len(read(result)) == session.octets(original)
    session.close()


async def test_a_folder_that_is_removed_while_in_use_costs_runs_and_nothing_else(
    desk: Desk,
) -> None:
    session, originals = desk.session(("cat",)), desk.messages(3)
    await session.find_sizes(originals, 20)
    shutil.rmtree(desk.results)
    for original in originals:
        result = await session.open(original)
        assert result is not None
        assert len(read(result)) == session.octets(original)
    session.close()
    later = desk.session(("cat",))
    await later.find_sizes(originals, 20)
    assert len(desk.kept()) == 3
    later.close()


@pytest.mark.parametrize("where", ["open_draft", "converted"])
async def test_a_full_disk_refuses_the_message_and_leaves_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def full(*_: object) -> Iterator[None]:
        raise OSError(errno.ENOSPC, "No space left on device")

    place = desk.cache if where == "open_draft" else making_module
    session, original = desk.session(("cat",)), desk.message(b"x\n")
    with monkeypatch.context() as patch:
        patch.setattr(place, where, full)
        with pytest.raises(TransformFailed, match="no room"):
            await session.open(original)
    session.close()
    assert desk.kept() == desk.left_over() == []
    later = desk.session(("cat",))
    await later.find_sizes([original], 20)
    assert later.failure(original) == ""
    later.close()
