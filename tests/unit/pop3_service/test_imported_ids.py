"""Unique ids that came from another server: kept, durable, and never silently others."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from pop3_service.domain.errors import MaildropDamaged, MaildropUnavailable
from pop3_service.maildir import imported, importing, index
from pop3_service.maildir.cached import MailRoot
from pop3_service.maildir.delivery import list_maildir, open_stored
from pop3_service.maildir.lock import MaildropLock
from pop3_service.maildir.maildrop import Maildrop
from pop3_service.maildir.message import unique_id
from pop3_service.maildir.old_ids import IdSource
from pop3_service.maildir.paths import MailPaths, make_folder
from pop3_service.worker.maildrops import Maildrops, OpenMaildrop
from support.maildrops import end_session

ANA = ("ana",)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_folder(tmp_path, ANA)
    for number in range(1, 4):
        (tmp_path / "ana" / "cur" / f"{number}.a:2,S").write_bytes(b"x\n")
    return tmp_path


@pytest.fixture
def lock(root: Path) -> Iterator[MaildropLock]:
    made = MaildropLock(root)
    yield made
    made.close()


@pytest.fixture
def maildrops(root: Path) -> Iterator[Maildrops]:
    made = Maildrops(MailPaths(root))
    yield made
    made.close()


def import_ids(root: Path, ids: dict[str, str]) -> None:
    fd = os.open(root / "ana", os.O_RDONLY)
    imported.save(fd, ids)
    os.close(fd)


def read_ids(root: Path) -> dict[str, str]:
    fd = os.open(root / "ana", os.O_RDONLY)
    try:
        return imported.load(fd)
    finally:
        os.close(fd)


def shown(root: Path, lock: MaildropLock) -> list[str]:
    drop = Maildrop.open(root, ANA, lock)
    end_session(drop)
    return [message.uidl for message in drop.messages]


async def log_in(maildrops: Maildrops) -> list[str]:
    """Open as a worker does, at once where that is possible."""

    async def on_disk(work: Callable[[], Maildrop]) -> Maildrop:
        return work()

    opened: OpenMaildrop | None = maildrops.open_at_once("ana")
    if opened is None:
        opened = await maildrops.open("ana", on_disk)
    opened.close()
    return [message.uidl for message in opened.messages]


def test_an_imported_id_is_shown_and_others_stay(root: Path, lock: MaildropLock) -> None:
    import_ids(root, {"2.a": "of-old", "9.gone": "x"})
    assert shown(root, lock) == ["1.a", "of-old", "3.a"]
    assert [it.uidl for it in list_maildir(root, ANA).messages] == ["1.a", "of-old", "3.a"]
    with open_stored(root, ANA, "of-old") as file:
        assert file.read() == b"x\n"


def test_an_imported_id_outlives_flags_the_index_and_a_move(root: Path, lock: MaildropLock) -> None:
    import_ids(root, {"2.a": "of-old"})
    assert shown(root, lock)[1] == "of-old"
    assert shown(root, lock)[1] == "of-old"
    (root / "ana" / "cur" / "2.a:2,S").rename(root / "ana" / "new" / "2.a")
    assert shown(root, lock)[1] == "of-old"
    (root / "ana" / index.INDEX_FILE).unlink()
    assert shown(root, lock)[1] == "of-old"


def test_names_that_are_no_text_can_have_an_imported_id(root: Path, lock: MaildropLock) -> None:
    name = os.fsdecode(b"4.\xff")
    (root / "ana" / "cur" / name).write_bytes(b"x\n")
    import_ids(root, {name: "of-old"})
    assert shown(root, lock)[3] == "of-old"


def test_two_messages_never_share_an_imported_id(root: Path, lock: MaildropLock) -> None:
    (root / "ana" / "new" / "2.a").write_bytes(b"y\n")
    import_ids(root, {"2.a": "1.a"})
    ids = shown(root, lock)
    assert len(set(ids)) == 4
    assert ids.count("1.a") == 1
    assert ids[0] == unique_id("1.a", -1)


def test_files_of_one_name_whose_id_was_imported_by_another_have_ids_of_their_own(
    root: Path, lock: MaildropLock
) -> None:
    (root / "ana" / "new" / "1.a").write_bytes(b"y\n")
    import_ids(root, {"2.a": "1.a"})
    ids = shown(root, lock)
    assert len(set(ids)) == 4
    assert ids[2:] == ["1.a", "3.a"]


async def test_what_a_failed_import_wrote_is_not_confirmed_before_it_is_durable(
    root: Path, maildrops: Maildrops, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "ana" / "dovecot-uidlist").write_text("3 V9\n2 Pof-old :2.a\n")
    for folder in ("new", "cur"):
        os.utime(root / "ana" / folder, (1.5, 1.5))  # what is known of it holds
    assert await log_in(maildrops) == ["1.a", "2.a", "3.a"]
    sync, maildir = os.fsync, os.stat(root / "ana")

    def fails(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), maildir):
            raise OSError(errno.EIO, "input/output error")
        sync(fd)

    with monkeypatch.context() as patched:
        patched.setattr("pop3_service.maildir.imported.os.fsync", fails)
        for _ in range(2):  # there is nothing left to write for the second
            with pytest.raises(MaildropUnavailable):
                importing.import_ids(root, ANA, IdSource.DOVECOT)
    importing.import_ids(root, ANA, IdSource.DOVECOT)
    assert await log_in(maildrops) == ["1.a", "of-old", "3.a"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"valija-uidl 1\n",
        b"valija-uidl 2\n00000000\n",
        b"valija-uidl 1\n00000000\n\x80",
        b"valija-uidl 1\nffffffff\n\x81\xc4\x03x.a\xa1x",
        b"\0" * 100,
    ],
)
def test_a_damaged_file_shuts_the_maildrop_rather_than_showing_other_ids(
    root: Path, lock: MaildropLock, content: bytes
) -> None:
    (root / "ana" / imported.IMPORTED_FILE).write_bytes(content)
    with pytest.raises(MaildropDamaged, match="damaged"):
        shown(root, lock)
    with pytest.raises(MaildropDamaged):
        list_maildir(root, ANA)


@pytest.mark.parametrize("uidl", ["1\r\n.\r\n+OK", "\u00e9"])
def test_an_id_that_no_import_lets_through_is_damage(
    root: Path, lock: MaildropLock, uidl: str
) -> None:
    import_ids(root, {"2.a": uidl})
    with pytest.raises(MaildropDamaged):
        shown(root, lock)


def test_each_single_octet_that_changes_is_noticed(root: Path, lock: MaildropLock) -> None:
    import_ids(root, {"2.a": "of-old"})
    path = root / "ana" / imported.IMPORTED_FILE
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(MaildropDamaged):
            read_ids(root)
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(MaildropDamaged):
            read_ids(root)


@pytest.mark.parametrize("kind", ["link", "dangling", "folder", "fifo"])
def test_what_is_no_file_is_not_taken_for_no_import(
    root: Path, lock: MaildropLock, kind: str
) -> None:
    path = root / "ana" / imported.IMPORTED_FILE
    match kind:
        case "link":
            path.symlink_to("/etc/passwd")
        case "dangling":
            path.symlink_to("nowhere")
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
    with pytest.raises(MaildropDamaged):
        shown(root, lock)


def test_too_many_open_files_are_no_damage(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ids(root, {"2.a": "of-old"})
    real = os.open

    def fail(path: str, *arguments: Any, **options: Any) -> int:
        if path == imported.IMPORTED_FILE:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        with pytest.raises(MaildropUnavailable, match="Too many"):
            shown(root, lock)
    assert shown(root, lock)[1] == "of-old"


def test_an_import_that_fails_leaves_the_ids_of_before(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_ids(root, {"2.a": "of-old"})

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            import_ids(root, {"2.a": "another"})
    assert shown(root, lock)[1] == "of-old"
    import_ids(root, {"2.a": "another"})  # what was cut off before is no hindrance
    assert shown(root, lock)[1] == "another"


async def test_a_worker_that_remembers_the_maildrop_shows_imported_ids_at_the_next_login(
    root: Path, maildrops: Maildrops
) -> None:
    assert await log_in(maildrops) == ["1.a", "2.a", "3.a"]
    with structlog.testing.capture_logs() as logs:
        import_ids(root, {"2.a": "of-old"})
        assert await log_in(maildrops) == ["1.a", "of-old", "3.a"]
    assert logs == []  # an import is no alarm


def test_an_index_written_late_by_a_session_of_before_does_not_count(
    root: Path, lock: MaildropLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if the power fails just when the ids are in their place."""
    for folder in ("new", "cur"):
        os.utime(root / "ana" / folder, (1000, 1000.5))
    drop = Maildrop.open(root, ANA, lock)
    assert drop.snapshot.state is not None
    drop.close()
    real = os.rename

    def cut_off(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", cut_off)
        with pytest.raises(KeyboardInterrupt):
            import_ids(root, {"2.a": "of-old"})
    drop.save_index()
    assert shown(root, lock) == ["1.a", "of-old", "3.a"]


async def test_ids_that_change_by_themselves_are_an_alarm(root: Path, maildrops: Maildrops) -> None:
    import_ids(root, {"1.a": "one", "2.a": "two"})
    assert await log_in(maildrops) == ["one", "two", "3.a"]
    (root / "ana" / imported.IMPORTED_FILE).unlink()
    (root / "ana" / "new" / "4.a").write_bytes(b"x\n")
    with structlog.testing.capture_logs() as logs:
        assert await log_in(maildrops) == ["1.a", "2.a", "3.a", "4.a"]
        await log_in(maildrops)
    assert logs == [
        {"event": "unique ids changed", "account": "ana", "count": 2, "log_level": "error"}
    ]


async def test_ids_that_changed_while_no_worker_ran_are_an_alarm_too(
    root: Path, maildrops: Maildrops, lock: MaildropLock
) -> None:
    import_ids(root, {"1.a": "one"})
    shown(root, lock)
    (root / "ana" / imported.IMPORTED_FILE).unlink()
    (root / "ana" / "cur" / "2.a:2,S").rename(root / "ana" / "cur" / "5.b:2,S")
    maildrops.forget("ana")
    with structlog.testing.capture_logs() as logs:
        await maildrops.open("ana", lambda work: _done(work()))
    assert [(it["event"], it["count"]) for it in logs] == [("unique ids changed", 2)]


async def test_a_flag_that_changes_is_no_alarm(root: Path, maildrops: Maildrops) -> None:
    await log_in(maildrops)
    (root / "ana" / "cur" / "2.a:2,S").rename(root / "ana" / "cur" / "2.a:2,RS")
    (root / "ana" / "cur" / "3.a:2,S").rename(root / "ana" / "new" / "3.a")
    with structlog.testing.capture_logs() as logs:
        assert await log_in(maildrops) == ["1.a", "2.a", "3.a"]
    assert logs == []


async def test_a_shut_maildrop_is_told_in_the_log(root: Path, maildrops: Maildrops) -> None:
    (root / "ana" / imported.IMPORTED_FILE).write_bytes(b"")
    with structlog.testing.capture_logs() as logs, pytest.raises(MaildropDamaged):
        await log_in(maildrops)
    assert [(it["event"], it["account"]) for it in logs] == [("maildrop is shut", "ana")]


def test_a_maildrop_without_imported_ids_is_listed_at_once_and_one_with_them_is_not(
    root: Path,
) -> None:
    mail = MailRoot(root)
    if mail._open_cached is None:  # a kernel without RESOLVE_CACHED lists nothing at once
        assert mail.list_cached(b"ana", ()) is None
        return
    assert mail.list_cached(b"ana", ()) is not None
    import_ids(root, {"1.a": "one"})
    assert mail.list_cached(b"ana", ()) is None
    mail.close()


async def _done(drop: Maildrop) -> Maildrop:
    return drop
