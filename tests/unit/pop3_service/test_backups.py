"""Backups and restores on disk: all of one or all of the other, whatever goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from pop3_service.domain.errors import BackupInvalid, BackupNotFound, StoreUnavailable
from pop3_service.storage import backup, migrate, opening, restore
from pop3_service.storage.store import FILE, Store
from pop3_service.supervisor.backups import restore_cold
from pop3mgmt.backup_file import unpack
from support import old_databases
from support.backed_up import KEY, TIME, fill, forged, keys, made_of, marks
from support.old_databases import SETTINGS, USER, WRITTEN

OWN = {FILE, KEY, "valija.lock"}


def contents(folder: Path) -> dict[str, bytes]:
    found = {it.relative_to(folder): it for it in folder.rglob("*") if it.is_file()}
    return {str(name): it.read_bytes() for name, it in found.items() if "-shm" not in it.name}


@pytest.fixture
def new(tmp_path: Path) -> bytes:
    """A backup of other data."""
    return made_of(fill(tmp_path / "new", "new"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The data that are there."""
    return fill(tmp_path / "old", "old")


def test_a_backup_has_every_database_and_key_and_is_private(old: Path) -> None:
    with backup.work_folder(old) as work:
        manifest = backup.collect(old, work, keys(old), "1.2.3", TIME)
        assert [it.name for it in manifest.files] == [KEY, FILE]
        assert all(it.stat().st_mode & 0o077 == 0 for it in [work, *work.iterdir()])
        assert (manifest.schema, manifest.account_count) == (migrate.HEAD, 1)
    assert not work.exists()
    with backup.work_folder(old) as work:
        stored = backup.store(old, work, backup.collect(old, work, keys(old), "1.2.3", TIME))
    path = old / "backups" / stored.name
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert backup.stored(old) == [stored]


def test_what_was_deleted_is_in_no_backup(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(old / FILE)) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.execute("insert into secrets values ('x', ?)", (b"deleted secret",))
        database.commit()
        database.execute("delete from secrets")
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"deleted secret" in (old / FILE).read_bytes()
    assert b"deleted secret" not in made_of(old)


def named(folder: Path, *times: str) -> list[str]:
    """Put files there that are called as backups of these times are; give their names."""
    (folder / "backups").mkdir(exist_ok=True)
    names = [f"valija-{time}Z-{number:04x}.tar" for number, time in enumerate(times)]
    for name in names:
        (folder / "backups" / name).write_bytes(b"a backup")
    return names


def test_so_many_backups_are_kept_and_the_last_of_so_many_days(tmp_path: Path) -> None:
    days = named(
        tmp_path, *(f"2026010{day}T1{hour}0000" for day in (1, 2, 3, 4) for hour in (1, 2))
    )
    today = named(tmp_path, *(f"20260105T10000{number}" for number in range(5)))
    removed = backup.cut(tmp_path, 3, today[-1])
    left = {it.name for it in (tmp_path / "backups").iterdir()}
    # However many are made in a row, the last ones of the days before are there.
    assert left == {*today[-3:], days[7], days[5]}
    assert set(removed) == {*days, *today} - left
    assert removed == sorted(removed, reverse=True)
    assert backup.cut(tmp_path, 3, today[-1]) == []


def test_what_is_just_made_is_kept_whatever_the_clock_says(tmp_path: Path) -> None:
    [old, *later] = named(tmp_path, "20250101T000000", "20260101T000000", "20260102T000000")
    assert backup.cut(tmp_path, 1, old) == [later[0]]


def test_files_of_other_names_are_neither_removed_nor_counted(tmp_path: Path) -> None:
    kept, old = named(tmp_path, "20260102T000000", "20260101T000000")
    others = ["before-the-move.tar", "valija-20260101.tar", f"{old}.new", "notes.txt"]
    for name in others:
        (tmp_path / "backups" / name).write_bytes(b"")
    assert backup.cut(tmp_path, 1, kept) == [old]
    assert {it.name for it in (tmp_path / "backups").iterdir()} == {kept, *others}


def test_a_damaged_database_makes_no_backup(old: Path) -> None:
    with (old / FILE).open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))
    with pytest.raises(StoreUnavailable, match="the backup failed"):
        made_of(old)
    assert set(it.name for it in old.iterdir()) <= OWN | {f"{FILE}-wal", f"{FILE}-shm"}


def test_a_restore_replaces_all_and_keeps_what_was_there(old: Path, new: bytes) -> None:
    staged = restore.stage(old, io.BytesIO(new), keys(old))
    assert (staged.account_count, staged.warnings) == (1, ())
    assert marks(old) == (["old"], "old")
    restore.put_in_force(old)
    assert marks(old) == (["new"], "new")
    assert {(old / name).stat().st_mode & 0o777 for name in (FILE, KEY)} == {0o600}
    kept = old.parent / "kept"
    kept.mkdir()
    for name in (FILE, KEY):
        shutil.copy(old / f"{name}.before-restore", kept / name)
    assert marks(kept) == (["old"], "old")
    assert not (old / restore.STAGED).exists()
    assert not (old / restore.READY).exists()


def test_a_restore_leaves_a_key_that_is_not_in_the_backup(old: Path, tmp_path: Path) -> None:
    octets = made_of(fill(tmp_path / "new", "new", with_key=False))
    restore_cold(old, keys(old), io.BytesIO(octets))
    assert marks(old) == (["new"], "old")


def test_a_key_that_is_elsewhere_is_neither_backed_up_over_nor_restored(
    old: Path, new: bytes, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("its own")
    staged = restore_cold(old, {KEY: elsewhere}, io.BytesIO(new))
    assert staged.warnings == (f"{KEY} in it is left out: this service has its own elsewhere",)
    assert elsewhere.read_text() == "its own"
    assert marks(old) == (["new"], "old")


def test_the_audit_is_restored_only_where_there_is_none(tmp_path: Path) -> None:
    fill(tmp_path / "new", "new")
    with contextlib.closing(sqlite3.connect(tmp_path / "new" / "audit.db")) as audit:
        audit.execute("create table entries (number integer primary key)")
        audit.execute("insert into entries values (1)")
        audit.commit()
    (tmp_path / "new" / "audit.key").write_text("of the audit")
    names = {KEY: KEY, "audit.key": "audit.key"}
    source = {name: tmp_path / "new" / it for name, it in names.items()}
    with backup.work_folder(tmp_path) as work:
        manifest = backup.collect(tmp_path / "new", work, source, "1", TIME)
        octets = b"".join(backup.pack(manifest, work))
    empty, has = tmp_path / "empty", fill(tmp_path / "has", "old")
    (has / "audit.db").write_bytes(b"an audit")
    (has / "audit.key").write_text("its own")
    for folder in (empty, has):
        mine = {name: folder / it for name, it in names.items()}
        assert restore_cold(folder, mine, io.BytesIO(octets)).warnings == ()
        assert marks(folder)[0] == ["new"]
    assert (empty / "audit.key").read_text() == "of the audit"
    opening.examine_structure(empty / "audit.db")
    assert (has / "audit.db").read_bytes() == b"an audit"
    assert (has / "audit.key").read_text() == "its own"


@pytest.mark.parametrize("revision", WRITTEN)
async def test_a_backup_of_every_version_can_be_restored(tmp_path: Path, revision: str) -> None:
    folder = tmp_path / "then"
    old_databases.write(folder, revision)
    source = {it.name: it for it in folder.iterdir() if it.name == KEY}
    with backup.work_folder(tmp_path) as work:
        octets = b"".join(backup.pack(backup.collect(folder, work, source, "0.1", TIME), work))
    now = tmp_path / "now"
    restore_cold(now, keys(now), io.BytesIO(octets))
    assert {it.name for it in now.iterdir()} <= OWN
    store = await Store.open(now)
    assert await store.accounts.get(USER) is not None
    assert (await store.settings.load()).items() >= SETTINGS.items()
    await store.close()


def _without_admin(folder: Path) -> None:
    _sql(folder, "update accounts set role = 'user'")


def _newer(folder: Path) -> None:
    _sql(folder, "update alembic_version set version_num = '9999'")


def _spying(folder: Path) -> None:
    _sql(folder, "create view spy as select * from accounts")


def _foreign(folder: Path) -> None:
    _sql(folder, "drop table alembic_version")


def _lacking(folder: Path) -> None:
    _sql(folder, "drop table secrets")


def _damaged(folder: Path) -> None:
    with (folder / FILE).open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))


def _gone(folder: Path) -> None:
    (folder / FILE).unlink()


def _empty(folder: Path) -> None:
    os.truncate(folder / FILE, 0)


def _unknown(folder: Path) -> None:
    (folder / "other.db").write_bytes(b"?")


def _large_key(folder: Path) -> None:
    (folder / KEY).write_bytes(bytes(100_000))


def _sql(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / FILE)) as database:
        database.execute(statement)
        database.commit()


REFUSED = {
    _without_admin: "there is no admin in it",
    _newer: "written by a newer version",
    _spying: "a view that is not ours: spy",
    _foreign: "another program",
    _lacking: "table secrets has no",
    _damaged: "damaged|malformed",
    _gone: f"{FILE} is missing",
    _empty: "it is empty",
    _unknown: "other.db in it is of a newer version",
    _large_key: "too long for a key",
}


@pytest.mark.parametrize("spoil", REFUSED, ids=lambda it: it.__name__)
def test_a_backup_that_cannot_be_used_changes_nothing(
    old: Path, tmp_path: Path, spoil: object
) -> None:
    folder = fill(tmp_path / "bad", "bad")
    spoil(folder)  # type: ignore[operator]
    for path in folder.glob("*-*"):
        path.unlink()
    before = contents(old)
    with pytest.raises(BackupInvalid, match=REFUSED[spoil]) as raised:  # type: ignore[index]
        restore_cold(old, keys(old), io.BytesIO(forged(folder)))
    assert str(tmp_path) not in str(raised.value)
    assert {k: v for k, v in contents(old).items() if k != "valija.lock"} == before


def test_half_a_backup_changes_nothing(old: Path, new: bytes) -> None:
    before = contents(old)
    for end in (0, 100, 700, len(new) // 2, len(new) - 2000):
        with pytest.raises(BackupInvalid):
            restore.stage(old, io.BytesIO(new[:end]), keys(old))
        assert contents(old) == before


def test_a_disk_without_room_is_not_the_backups_fault(
    old: Path, new: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(old)

    def full(path: Path) -> None:
        raise StoreUnavailable("cannot use it") from sqlite3.OperationalError(
            "database or disk is full"
        )

    monkeypatch.setattr(opening, "make_ready", full)
    with pytest.raises(StoreUnavailable, match="No space left on device"):
        restore.stage(old, io.BytesIO(new), keys(old))
    assert contents(old) == before


def revoked(folder: Path, *digests: bytes) -> None:
    with contextlib.closing(sqlite3.connect(folder / FILE)) as database:
        for digest in digests:
            database.execute(
                "insert into revoked_secrets (digest, account) values (?, '')", (digest,)
            )
        database.commit()


def tokens(folder: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(folder / FILE)) as database:
        query = "select name from automation_tokens order by name"
        return [row[0] for row in database.execute(query)]


def with_tokens(folder: Path, *names: str) -> Path:
    with contextlib.closing(sqlite3.connect(folder / FILE)) as database:
        for name in names:
            database.execute(
                "insert into automation_tokens (name, digest, role, networks, created_by,"
                " create_time, last_use_address) values (?, ?, 'admin', '[]', 'ana',"
                " '2026-01-01 00:00:00.000000', '')",
                (name, name.encode()),
            )
        database.commit()
    return folder


def test_what_was_revoked_while_a_backup_was_staged_stays_revoked(
    old: Path, tmp_path: Path
) -> None:
    sent = made_of(with_tokens(fill(tmp_path / "new", "new"), "a", "b", "c"))
    revoked(old, b"a")
    staged = restore.stage(old, io.BytesIO(sent), keys(old))
    assert len(staged.warnings) == 1
    revoked(old, b"b")
    restore.put_in_force(old)
    assert tokens(old) == ["c"]
    # What the backup itself knows of is known still.
    restore.stage(old, io.BytesIO(sent), keys(old))
    restore.put_in_force(old)
    assert tokens(old) == ["c"]
    assert set(it.name for it in (old / restore.STAGED).parent.iterdir()) >= OWN - {"valija.lock"}


@pytest.mark.parametrize("present", [None, b"", b"no database at all" * 400, "older"])
def test_where_nothing_is_known_of_what_was_revoked_all_is_restored(
    tmp_path: Path, present: bytes | str | None
) -> None:
    folder = tmp_path / "data"
    if present == "older":
        old_databases.write(folder, "0009")
    else:
        folder.mkdir()
        if isinstance(present, bytes):
            (folder / FILE).write_bytes(present)
    sent = made_of(with_tokens(fill(tmp_path / "new", "new"), "a"))
    assert restore_cold(folder, keys(folder), io.BytesIO(sent)).warnings == ()
    assert tokens(folder) == ["a"]


def test_an_empty_folder_gets_all(tmp_path: Path, new: bytes) -> None:
    folder = tmp_path / "fresh"
    restore_cold(folder, keys(folder), io.BytesIO(new))
    assert marks(folder) == (["new"], "new")
    assert {it.name for it in folder.iterdir()} <= OWN


def test_a_damaged_database_is_replaced_and_kept(old: Path, new: bytes) -> None:
    (old / FILE).write_bytes(b"damaged")
    (old / f"{FILE}-wal").write_bytes(b"its log")
    restore_cold(old, keys(old), io.BytesIO(new))
    assert marks(old) == (["new"], "new")
    assert (old / f"{FILE}.before-restore").read_bytes() == b"damaged"
    assert (old / f"{FILE}.before-restore-wal").read_bytes() == b"its log"
    assert not (old / f"{FILE}-wal").exists()


async def test_a_folder_in_use_is_not_restored_to(old: Path, new: bytes) -> None:
    store = await Store.open(old)
    with pytest.raises(StoreUnavailable, match="another process uses"):
        restore_cold(old, keys(old), io.BytesIO(new))
    await store.close()
    assert marks(old) == (["old"], "old")


@pytest.mark.parametrize("name", ["..", "../old/valija.db", "/etc/passwd", "a/b.tar", "", ".tar",
                                  "x.tar\n", "x.tar\0", "-x.tar", "gone.tar", "folder.tar",
                                  "link.tar", "pipe.tar", "x" * 200 + ".tar"])  # fmt: skip
def test_a_backups_name_is_no_path(old: Path, name: str, tmp_path: Path) -> None:
    (old / "backups").mkdir()
    (old / "backups" / "folder.tar").mkdir()
    (old / "backups" / "link.tar").symlink_to(tmp_path / "new" / FILE)
    os.mkfifo(old / "backups" / "pipe.tar")
    with pytest.raises((BackupNotFound, BackupInvalid)):
        with backup.open_stored(old, name) as file:
            restore.stage(old, file, keys(old))
    assert backup.stored(old) == []


async def test_transactions_wait_while_the_database_is_replaced(old: Path, new: bytes) -> None:
    store = await Store.open(old)
    entered, go_on, changed = asyncio.Event(), asyncio.Event(), []
    loop = asyncio.get_running_loop()
    restore.stage(old, io.BytesIO(new), keys(old))

    def change() -> None:
        loop.call_soon_threadsafe(entered.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)
        restore.put_in_force(old)

    reading_before = [asyncio.create_task(store.accounts.get("old")) for _ in range(20)]
    replacing = asyncio.create_task(store.replace(change, lambda: changed.append(1)))
    await entered.wait()
    waiting = [asyncio.create_task(store.accounts.get("new")) for _ in range(20)]
    await asyncio.sleep(0)
    assert not any(it.done() for it in waiting)
    assert not changed
    go_on.set()
    await replacing
    assert changed == [1]
    assert all(await asyncio.gather(*waiting))
    assert await store.accounts.get("old") is None
    await asyncio.gather(*reading_before)
    await store.close()
    assert marks(old) == (["new"], "new")


async def test_a_replacement_that_fails_leaves_the_old_open(old: Path) -> None:
    store = await Store.open(old)
    changed: list[int] = []

    def fail() -> None:
        raise StoreUnavailable("no")

    with pytest.raises(StoreUnavailable, match="no"):
        await store.replace(fail, lambda: changed.append(1))
    assert not changed
    assert await store.accounts.get("old") is not None
    await store.close()


async def test_a_replacement_cut_off_halfway_stops_the_store(old: Path) -> None:
    store = await Store.open(old)

    def tear() -> None:
        raise restore.Torn("a restore was cut off")

    with pytest.raises(StoreUnavailable, match="cut off"):
        await store.replace(tear, lambda: None)
    with pytest.raises(StoreUnavailable, match="cut off"):
        await store.accounts.get("old")
    await store.close()


def test_what_a_killed_process_left_is_cleared_up(old: Path) -> None:
    for name in (restore.STAGED, f"{backup.WORK}1234"):
        (old / name).mkdir()
        (old / name / FILE).write_bytes(b"half")
    [whole] = named(old, "20260101T000000")
    (old / "backups" / "valija-20260102T000000Z-0000.tar.new").write_bytes(b"half")
    asyncio.run(_open_and_close(old))
    assert {it.name for it in old.iterdir()} <= OWN | {"backups"}
    assert [it.name for it in (old / "backups").iterdir()] == [whole]


async def _open_and_close(folder: Path) -> None:
    await (await Store.open(folder)).close()


def test_a_backup_can_be_read_as_a_stream(new: bytes) -> None:
    """From a pipe: nothing is looked for backwards."""
    reading, writing = os.pipe()
    with open(reading, "rb") as source, open(writing, "wb") as target:
        import threading

        thread = threading.Thread(target=lambda: (target.write(new), target.close()))
        thread.start()
        assert unpack(source, lambda _: None).account_count == 1
        thread.join()
