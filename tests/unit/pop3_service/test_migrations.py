"""The schema, from the first version up: what was stored is there after every migration."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest
from sqlalchemy import inspect

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import StoreUnavailable
from pop3_service.domain.rights import RoleName
from pop3_service.domain.subject import EVERYONE
from pop3_service.domain.transforms import ActivationEnd, EndReason, Mode
from pop3_service.storage import migrate, opening, tables
from pop3_service.storage.store import FILE, Store
from pop3_service.supervisor.authentication.sealing import Sealer
from pop3_service.supervisor.key_file import load_key
from support import old_databases
from support.old_databases import (
    ADMIN,
    APOP_SECRET,
    APP_PASSWORD_NAME,
    KEY,
    NETWORK,
    OLD_READER,
    READER,
    REVOKED,
    ROLE,
    SALT_SECRET,
    SETTINGS,
    TOKEN,
    TRANSFORM,
    TRANSFORM_NAME,
    USER,
    WRITTEN,
)

VERSIONS = files("pop3_service.storage.migrations") / "versions"
REVISIONS = sorted(it.name[1:5] for it in VERSIONS.iterdir() if it.name.startswith("v"))
OLD = [it for it in REVISIONS if it != migrate.HEAD]


def dumped(path: Path) -> list[str]:
    """All that is in a database, as SQL."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())


def copies(folder: Path) -> list[str]:
    return sorted(it.name for it in folder.iterdir() if ".before-v" in it.name)


def test_every_migration_has_rows_that_its_version_wrote() -> None:
    assert list(WRITTEN) == REVISIONS
    assert migrate.HEAD == REVISIONS[-1]


@pytest.mark.parametrize("revision", REVISIONS)
async def test_what_each_version_wrote_is_there_after_the_migration(
    tmp_path: Path, revision: str
) -> None:
    started = datetime.now(UTC)
    old_databases.write(tmp_path, revision)
    store = await Store.open(tmp_path)
    accounts = store.accounts
    ana = await accounts.get(USER)
    assert isinstance(ana, Account)
    assert (ana.name, ana.role, ana.has_default_password) == (
        AccountName(USER),
        RoleName.USER,
        False,
    )
    assert ana.password_hash.startswith("$argon2id$")
    assert ana.create_time == datetime(2026, 2, 3, 4, 5, 6, 7, UTC)
    admin = await accounts.get(ADMIN)
    assert admin is not None
    assert admin.role == RoleName.ADMIN
    assert await accounts.count() == 2
    assert (await store.settings.load()).items() >= SETTINGS.items()
    if revision >= "0002":
        assert await accounts.verifier(USER) == old_databases.verifier()
        assert await store.secrets.get("scram salts") == SALT_SECRET
    if revision >= "0003":
        sealed = await accounts.apop_secret(USER)
        assert sealed is not None
        assert Sealer(load_key(tmp_path / KEY)).open(sealed, USER) == APOP_SECRET
        assert ana.has_apop_secret
    if revision >= "0004":
        assert [it.name for it in await store.app_passwords.list(USER)] == [APP_PASSWORD_NAME]
        assert (await store.preferences.get(USER)).language == "es"
    if revision >= "0005":
        assert [it.key for it in await store.throttle.load_failures(0)] == [NETWORK]
        assert [it.account for it in await store.throttle.load_places(0, 9)] == [USER]
    if revision >= "0006":
        roles = {it.name: it.rights for it in await store.roles.all()}
        assert roles[ROLE] == {"accounts.read", "own"}
        # The transform was one of the settings: who could read it still can.
        assert roles[OLD_READER] == {"settings.read", "transform.read"}
        # What was made since is as it was meant.
        assert roles.get(READER, {"settings.read"}) == {"settings.read"}
        assert (READER in roles) is (revision >= "0011")
    if revision >= "0007":
        assert ana.must_change_password
        assert ana.password_time == datetime(2026, 4, 5, 6, 7, 8, 9, UTC)
        assert await accounts.old_passwords(USER) == [old_databases.OLD_HASH]
    if revision < "0007":
        # Nobody knows how old it is: it counts from the migration, and does not expire at once.
        assert started <= ana.password_since <= datetime.now(UTC)
        assert not ana.must_change_password
        assert await accounts.old_passwords(USER) == []
    if revision >= "0008":
        table = await store.access.load()
        assert [str(it) for it in table.rules] == [f"rule 1: deny {NETWORK} for account:{USER}"]
        assert [(it.network, it.end_time_s) for it in table.bans] == [(NETWORK, None)]
        [suspension] = table.suspensions
        assert (suspension.account, suspension.set_by) == (USER, ADMIN)
        end = datetime(2036, 3, 4, 5, 6, 7, 8, UTC)
        assert suspension.end_time_s == end.timestamp()
    if revision >= "0009":
        [token] = await store.tokens.all()
        assert (token.name, token.networks) == (TOKEN, ("192.0.2.0/24",))
        assert (token.expire_time, token.last_use_time) == (
            None,
            datetime(2026, 3, 5, 5, 6, 7, 8, UTC),
        )
    [active] = [it.activation for it in await store.transforms.in_force()]
    assert active.subject == EVERYONE
    assert active.transform is not None
    if revision >= "0010":
        assert (active.mode, active.accounts, active.share) == (Mode.CANARY, (USER,), 20)
        assert str(active.transform) == f"{TRANSFORM_NAME}@1"
        assert str(active.former) == TRANSFORM
        [[past], count] = await store.transforms.past(None, 0, 9)
        assert (past.count.runs, past.count.failures, count) == (7, 2, 1)
        assert past.end == ActivationEnd(EndReason.REPLACED, ADMIN, active.set_time_s)
    else:
        # What was a setting holds for everyone as it did.
        made = active.transform
        assert (made.command_line, made.programs) == (TRANSFORM, (("tr", "a", "b"),))
        assert (active.mode, active.set_by, made.created_by) == (Mode.ON, "migration", "migration")
    assert "transform" not in await store.settings.load()
    async with store._engine.connect() as connection:
        rows = await connection.execute(tables.revoked_secrets.select())
        assert [it.digest for it in rows] == ([REVOKED] if revision >= "0012" else [])
    await store.close()
    assert opening.examine(tmp_path / FILE) == migrate.HEAD


@pytest.mark.parametrize("stored", ['""', '"wc \'"', "7", "null", "wc", None])
async def test_a_transform_that_was_none_is_none(tmp_path: Path, stored: str | None) -> None:
    path = old_databases.write(tmp_path, "0009")
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("delete from settings where name = 'transform'")
        if stored is not None:
            database.execute("insert into settings values ('transform', ?)", (stored,))
        database.commit()
    store = await Store.open(tmp_path)
    assert await store.transforms.in_force() == []
    assert "transform" not in await store.settings.load()
    await store.close()


@pytest.mark.parametrize("revision", OLD)
async def test_a_copy_of_the_old_database_is_kept_and_the_last_one_alone(
    tmp_path: Path, revision: str
) -> None:
    before = dumped(old_databases.write(tmp_path, revision))
    (tmp_path / f"{FILE}.before-v0000").write_bytes(b"of an earlier migration")
    await (await Store.open(tmp_path)).close()
    assert copies(tmp_path) == [f"{FILE}.before-v{migrate.HEAD}"]
    copy = tmp_path / copies(tmp_path)[0]
    assert dumped(copy) == before
    assert copy.stat().st_mode & 0o777 == 0o600
    # What nothing is migrated for makes no copy.
    await (await Store.open(tmp_path)).close()
    assert copies(tmp_path) == [copy.name]


async def test_a_copy_put_back_is_migrated_again(tmp_path: Path) -> None:
    path = old_databases.write(tmp_path, "0001")
    await (await Store.open(tmp_path)).close()
    migrated = dumped(path)
    shutil.copy(tmp_path / copies(tmp_path)[0], path)
    await (await Store.open(tmp_path)).close()
    assert without_times(dumped(path)) == without_times(migrated)


def without_times(lines: list[str]) -> list[str]:
    """A migration writes when it was."""
    return [re.sub(r"'\d{4}-\d\d-\d\d [\d:.]+'", "'a time'", line) for line in lines]


FAILING = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{new}", "{old}"
branch_labels = depends_on = None

def upgrade():
    op.create_table("things", sa.Column("name", sa.String(9), primary_key=True))
    op.execute("insert into things values ('one')")
    op.execute("update accounts set role = 'nobody'")
    op.drop_table("settings")
    op.execute("{last}")
"""


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A newest migration that changes much; gives its file, which is to be formatted."""
    scripts = tmp_path / "migrations"
    shutil.copytree(migrate.SCRIPTS, scripts)
    monkeypatch.setattr(migrate, "SCRIPTS", str(scripts))
    monkeypatch.setattr(migrate, "HEAD", "9999")
    return scripts / "versions" / "v9999_failing.py"


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("insert into nowhere values (1)", "no such table"),
        ("insert into apop_secrets values ('nobody', x'00')", "names one of accounts"),
    ],
    ids=["error", "reference"],
)
async def test_a_migration_that_fails_in_its_middle_leaves_the_database_as_it_was(
    tmp_path: Path, failing: Path, last: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = REVISIONS[-1]
    failing.write_text(FAILING.format(new="9999", old=newest, last=last))
    folder = tmp_path / "data"
    before = dumped(old_databases.write(folder, newest))
    with pytest.raises(StoreUnavailable, match=told):
        await Store.open(folder)
    assert dumped(folder / FILE) == before
    assert copies(folder) == [f"{FILE}.before-v9999"]
    monkeypatch.setattr(migrate, "HEAD", newest)
    store = await Store.open(folder)  # the version before goes on with it
    assert await store.accounts.count() == 2
    await store.close()


async def test_a_table_that_is_rebuilt_keeps_what_names_its_rows(
    tmp_path: Path, failing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing.write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f'revision, down_revision = "9999", "{REVISIONS[-1]}"\n'
        "branch_labels = depends_on = None\n"
        "def upgrade():\n"
        '    with op.batch_alter_table("accounts", recreate="always") as accounts:\n'
        '        accounts.alter_column("role", type_=sa.String(99))\n'
    )
    folder = tmp_path / "data"
    old_databases.write(folder, REVISIONS[-1])
    store = await Store.open(folder)
    assert await store.accounts.verifier(USER) == old_databases.verifier()
    assert await store.accounts.apop_secret(USER) is not None
    await store.close()


async def test_without_room_for_the_copy_nothing_is_migrated(tmp_path: Path) -> None:
    path = old_databases.write(tmp_path, "0001")
    before = dumped(path)
    program = (
        "import asyncio, sys, pathlib\n"
        "from pop3_service.storage.store import Store\n"
        "asyncio.run(Store.open(pathlib.Path(sys.argv[1])))\n"
    )
    told = subprocess.run(
        [sys.executable, "-B", "-c", program, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)),
    )
    assert told.returncode == 1
    assert "StoreUnavailable: cannot use" in told.stderr
    assert copies(tmp_path) == []
    assert dumped(path) == before
    assert opening.examine(path) == "0001"


async def test_the_migrations_leave_the_tables_that_the_store_uses(tmp_path: Path) -> None:
    await (await Store.open(tmp_path)).close()
    engine = migrate.create_engine(f"sqlite:///{tmp_path / FILE}")
    found = inspect(engine)
    assert set(found.get_table_names()) == {*tables.metadata.tables, "alembic_version"}
    for name, table in tables.metadata.tables.items():
        columns = {item["name"]: item for item in found.get_columns(name)}
        assert columns.keys() == {column.name for column in table.columns}
        for column in table.columns:
            migrated = columns[column.name]
            compiled = column.type.compile(engine.dialect)
            assert (str(migrated["type"]), migrated["nullable"]) == (compiled, column.nullable)
        keys = found.get_pk_constraint(name)["constrained_columns"]
        assert keys == [column.name for column in table.primary_key]
    engine.dispose()


async def test_alembic_is_imported_only_when_there_is_something_to_do(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys, pathlib\n"
        "from pop3_service.storage.store import Store\n"
        "async def main():\n"
        "    await (await Store.open(pathlib.Path(sys.argv[1]))).close()\n"
        "asyncio.run(main())\n"
        "print('alembic' in sys.modules)\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert told == ["True\n", "False\n"]
