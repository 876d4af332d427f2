"""A database that is damaged, lost, or not ours: refused in words, and left as it is."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pop3_service.domain.errors import StoreUnavailable
from pop3_service.storage import migrate, opening
from pop3_service.storage.store import FILE, Store
from support import old_databases

ACCOUNTS = 400


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a database of some pages, closed in order."""
    path = old_databases.write(tmp_path / "data", migrate.HEAD)
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executemany(
            "insert into accounts (name, role, password_hash, create_time, has_default_password)"
            " values (?, 'user', ?, '2026-01-01 00:00:00.000000', 0)",
            [(f"user{number:04}", "h" * 90) for number in range(ACCOUNTS)],
        )
        database.commit()
    return path.parent


def contents(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but for the lock and what SQLite shares between its readers."""
    found = {it.name: it.read_bytes() for it in folder.iterdir() if it.is_file()}
    own = (".lock", "-shm")
    return {
        name: octets
        for name, octets in found.items()
        if not name.endswith(own) and (octets or not name.endswith("-wal"))
    }


async def refused(folder: Path, why: str) -> None:
    """Open a store that cannot be used; nothing in its folder is to be another then."""
    before = contents(folder)
    with pytest.raises(StoreUnavailable, match=f"cannot use {folder / FILE}: .*{why}"):
        await Store.open(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("left", [0.3, 0.5, 0.9])
async def test_a_truncated_database_is_refused(data: Path, left: float) -> None:
    path = data / FILE
    os.truncate(path, int(path.stat().st_size * left))
    await refused(data, "damaged|malformed")


async def test_a_database_of_less_than_a_page_is_refused(data: Path) -> None:
    os.truncate(data / FILE, 1000)
    await refused(data, "damaged|malformed|not a database")


@pytest.mark.parametrize("seed", range(8))
async def test_a_page_of_random_octets_is_found_wherever_it_is(data: Path, seed: int) -> None:
    path, random_ = data / FILE, random.Random(seed)
    pages = path.stat().st_size // 4096
    assert pages > 20
    with path.open("r+b") as file:
        file.seek(4096 * random_.randrange(1, pages))
        file.write(random_.randbytes(4096))
    await refused(data, "damaged|malformed|another program|newer version")


async def test_a_name_that_differs_from_its_index_is_found(data: Path) -> None:
    path = data / FILE
    octets = path.read_bytes()
    at = octets.index(b"user0123")
    path.write_bytes(octets[:at] + b"user9123" + octets[at + 8 :])
    await refused(data, "damaged .*restore a backup")


async def test_a_row_whose_account_is_gone_is_found(data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data / FILE)) as database:
        database.execute("delete from accounts where name = 'ana'")
        database.commit()
    await refused(data, r"damaged \(a row of \w+ names one of accounts that is gone\)")


async def test_a_database_without_a_table_of_its_version_is_refused(data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data / FILE)) as database:
        database.execute("drop table settings")
    await refused(data, r"damaged \(table settings has no name\)")


async def test_a_database_with_a_trigger_is_refused(data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data / FILE)) as database:
        database.execute(
            "create trigger spy after update on accounts begin delete from settings; end"
        )
    await refused(data, "it holds a trigger that is not ours: spy")


async def test_a_database_that_does_not_say_its_version_is_refused(data: Path) -> None:
    with contextlib.closing(sqlite3.connect(data / FILE)) as database:
        database.execute("delete from alembic_version")
        database.commit()
    await refused(data, "does not say its version")


async def test_an_empty_file_is_no_new_database(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    await refused(tmp_path, "it is empty: .*restore a backup, or move it away")
    (tmp_path / FILE).unlink()
    await (await Store.open(tmp_path)).close()


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "gone"])
async def test_a_log_whose_database_is_lost_is_kept(data: Path, empty: bool) -> None:
    path, log = data / FILE, data / f"{FILE}-wal"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("update accounts set role = 'admin'")
        database.commit()
        octets = log.read_bytes()
    assert octets
    log.write_bytes(octets)
    path.unlink()
    if empty:
        path.touch()
    await refused(data, "it is empty" if empty else f"it is gone, but {FILE}-wal is there")


async def test_what_a_killed_process_left_in_its_log_is_read(data: Path) -> None:
    program = (
        "import os, signal, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        "database.execute('PRAGMA journal_mode = WAL')\n"
        "database.execute('delete from accounts where name >= ?', ('user',))\n"
        "database.commit()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, data / FILE], check=False)
    assert (data / f"{FILE}-wal").stat().st_size
    store = await Store.open(data)
    assert await store.accounts.count() == 2
    await store.close()


async def test_a_damaged_log_loses_what_is_in_it_alone(data: Path) -> None:
    """SQLite's log has checksums: what is not whole was never committed."""
    (data / f"{FILE}-wal").write_bytes(random.Random(1).randbytes(9000))
    (data / f"{FILE}-shm").write_bytes(random.Random(2).randbytes(32768))
    store = await Store.open(data)
    assert await store.accounts.count() == ACCOUNTS + 2
    await store.close()


async def test_a_transaction_cut_off_in_a_journal_is_undone(data: Path) -> None:
    program = (
        "import os, signal, sqlite3, sys\n"
        "database = sqlite3.connect(sys.argv[1])\n"
        "database.execute('PRAGMA journal_mode = DELETE')\n"
        "database.execute('PRAGMA cache_size = 1')\n"  # so that pages are written early
        "database.execute('update accounts set password_hash = password_hash || ?', ('x' * 99,))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, data / FILE], check=False)
    assert (data / f"{FILE}-journal").stat().st_size
    store = await Store.open(data)
    account = await store.accounts.get("user0123")
    assert account is not None
    assert account.password_hash == "h" * 90
    await store.close()


async def test_a_folder_or_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    await refused(tmp_path, "it is no file")
    (tmp_path / FILE).rmdir()
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(StoreUnavailable, match="it is no file"):
        await Store.open(tmp_path)


async def test_a_link_to_nowhere_is_no_new_database(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere" / FILE)
    with pytest.raises(StoreUnavailable, match="No such file"):
        await Store.open(tmp_path)
    assert (tmp_path / FILE).is_symlink()


async def test_a_database_that_another_process_has_locked_is_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "BUSY_S", 0.05)
    with contextlib.closing(sqlite3.connect(data / FILE)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        await refused(data, "database is locked")
    await (await Store.open(data)).close()


async def test_a_file_that_may_not_be_read_is_refused(data: Path) -> None:
    path = data / FILE
    path.chmod(0)
    root = os.geteuid() == 0
    if root:  # who may read everything
        for folder in (data, *data.parents):
            if not folder.stat().st_mode & 0o001:
                folder.chmod(0o711)
        (data / "valija.lock").touch()
        (data / "valija.lock").chmod(0o666)
        os.seteuid(65534)
    try:
        with pytest.raises(StoreUnavailable, match=f"cannot use {path}: Permission denied"):
            await Store.open(data)
    finally:
        if root:
            os.seteuid(0)
    path.chmod(0o600)
    await (await Store.open(data)).close()


async def test_a_new_database_that_could_not_be_finished_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.new").write_bytes(b"half of a database")
    await (await Store.open(tmp_path)).close()
    assert not (tmp_path / f"{FILE}.new").exists()
    assert opening.examine(tmp_path / FILE) == migrate.HEAD
