"""Databases as each version of the service wrote them, from the first on.

``WRITTEN`` says what a version wrote that the one before it did not: a new migration needs a new
entry, and a test sees to that.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from argon2 import PasswordHasher

from pop3_service.domain.account import AccountName
from pop3_service.domain.scram import MadeUp, Verifier, make_verifier
from pop3_service.storage import opening
from pop3_service.storage.store import FILE
from pop3_service.supervisor.authentication.sealing import Sealer
from pop3_service.supervisor.key_file import load_key

PASSWORD = "secret"
ADMIN, USER = "default", "ana"
APOP_SECRET = b"a secret of APOP's own"
SALT_SECRET = bytes(range(32))
MAX_ACCOUNTS = 77
TRANSFORM = "tr 'a' \"b\""
SETTINGS = {"max_accounts": MAX_ACCOUNTS, "idle_timeout_s": 601.5}
KEY = "apop.key"
OLD_HASH = "the hash of a password before"
APP_PASSWORD_NAME = "phone"
NETWORK = "192.0.2.0/24"
ROLE = "helpdesk"
OLD_READER, READER = "old-reader", "reader"
"""Roles that read settings: made before transforms had a right of their own, and since."""
TOKEN = "ci"
TRANSFORM_NAME = "clean"
REVOKED = b"r" * 32


def verifier() -> Verifier:
    """The verifier of the user's password."""
    return make_verifier(PASSWORD.encode(), MadeUp(SALT_SECRET).salt(AccountName(USER)))


def _accounts_and_settings(database: sqlite3.Connection, folder: Path) -> None:
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    database.executemany(
        "insert into accounts (name, role, password_hash, create_time, has_default_password)"
        " values (?, ?, ?, ?, ?)",
        [
            (ADMIN, "admin", hashed, "2026-01-02 03:04:05.000006", 0),
            (USER, "user", hashed, "2026-02-03 04:05:06.000007", 0),
        ],
    )
    database.executemany(
        "insert into settings (name, value) values (?, ?)",
        [(name, json.dumps(value)) for name, value in {**SETTINGS, "transform": TRANSFORM}.items()],
    )


def _verifiers_and_secrets(database: sqlite3.Connection, folder: Path) -> None:
    made = verifier()
    database.execute(
        "insert into scram_verifiers (account, salt, iterations, stored_key, server_key)"
        " values (?, ?, ?, ?, ?)",
        (USER, made.salt, made.iterations, made.stored_key, made.server_key),
    )
    database.execute(
        "insert into secrets (name, value) values (?, ?)", ("scram salts", SALT_SECRET)
    )


def _apop_secrets(database: sqlite3.Connection, folder: Path) -> None:
    sealed = Sealer(load_key(folder / KEY)).seal(APOP_SECRET, USER)
    database.execute("insert into apop_secrets (account, sealed) values (?, ?)", (USER, sealed))
    database.execute("insert into settings (name, value) values (?, ?)", ("apop", json.dumps(True)))


def _own_account(database: sqlite3.Connection, folder: Path) -> None:
    made = verifier()
    database.execute(
        "insert into app_passwords (account, name, digest, salt, iterations, stored_key,"
        " server_key, create_time, last_use_time, last_use_peer)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (USER, APP_PASSWORD_NAME, bytes(32), made.salt, made.iterations, made.stored_key,
         made.server_key, "2026-03-04 05:06:07.000008", None, ""),
    )  # fmt: skip
    database.execute(
        "insert into preferences (account, language, retention_days, transform)"
        " values (?, ?, ?, ?)",
        (USER, "es", 30, 1),
    )


def _throttle(database: sqlite3.Connection, folder: Path) -> None:
    database.execute(
        "insert into login_failures (kind, key, failures, last_time) values (?, ?, ?, ?)",
        ("network", NETWORK, 7, 4_000_000_000.0),
    )
    database.execute(
        "insert into known_places (account, network, day) values (?, ?, ?)", (USER, NETWORK, 46_000)
    )


def _roles(database: sqlite3.Connection, folder: Path) -> None:
    database.executemany(
        "insert into roles (name, rights) values (?, ?)",
        [
            (ROLE, json.dumps(["accounts.read", "own"])),
            (OLD_READER, json.dumps(["settings.read"])),
        ],
    )


def _password_policy(database: sqlite3.Connection, folder: Path) -> None:
    database.execute(
        "update accounts set must_change_password = 1, password_time = ? where name = ?",
        ("2026-04-05 06:07:08.000009", USER),
    )
    database.execute(
        "insert into old_passwords (account, age, password_hash) values (?, ?, ?)",
        (USER, 1, OLD_HASH),
    )


def _access(database: sqlite3.Connection, folder: Path) -> None:
    when = "2026-03-04 05:06:07.000008"
    database.execute(
        "insert into address_rules (effect, network, scope, subject, service, note, set_by,"
        " set_time) values (?, ?, ?, ?, ?, ?, ?, ?)",
        ("deny", NETWORK, "account", USER, "pop3", "a note", ADMIN, when),
    )
    database.execute(
        "insert into bans (network, reason, end_time, set_by, set_time) values (?, ?, ?, ?, ?)",
        (NETWORK, "a reason", None, ADMIN, when),
    )
    database.execute(
        "insert into suspensions (account, reason, end_time, set_by, set_time)"
        " values (?, ?, ?, ?, ?)",
        (USER, "a reason", "2036-03-04 05:06:07.000008", ADMIN, when),
    )


def _automation_tokens(database: sqlite3.Connection, folder: Path) -> None:
    database.execute(
        "insert into automation_tokens (name, digest, role, networks, created_by, create_time,"
        " expire_time, last_use_time, last_use_address) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (TOKEN, bytes(32), ROLE, json.dumps(["192.0.2.0/24"]), ADMIN, "2026-03-04 05:06:07.000008",
         None, "2026-03-05 05:06:07.000008", "192.0.2.7"),
    )  # fmt: skip


def _transforms(database: sqlite3.Connection, folder: Path) -> None:
    when = "2026-03-04 05:06:07.000008"
    # From this version on it is no setting any more.
    database.execute("delete from settings where name = ?", ("transform",))
    database.executemany(
        "insert into transforms (name, version, command_line, programs, on_failure, note,"
        " created_by, create_time) values (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            ("", 1, TRANSFORM, json.dumps([["tr", "a", "b"]]), "refuse", "", "migration", when),
            (TRANSFORM_NAME, 1, "cat", json.dumps([["cat"]]), "original", "a note", ADMIN, when),
        ],
    )
    database.executemany(
        "insert into transform_activations (scope, subject, transform, mode, former, inherits,"
        " before, accounts, share, failure_limit, set_by, set_time, end_time, ended_by,"
        " end_reason, counts)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            ("everyone", "", 1, "on", None, 1, None, "[]", 0, 5, "migration", when, when, ADMIN,
             "replaced", json.dumps({"runs": 7, "failures": 2})),
            ("everyone", "", 2, "canary", 1, 0, 1, json.dumps([USER]), 20, 7, ADMIN, when, None, "",
             "", "{}"),
        ],
    )  # fmt: skip


def _transform_read(database: sqlite3.Connection, folder: Path) -> None:
    database.execute(
        "update roles set rights = ? where name = ?",
        (json.dumps(["settings.read", "transform.read"]), OLD_READER),
    )
    values = (READER, json.dumps(["settings.read"]))
    database.execute("insert into roles (name, rights) values (?, ?)", values)


def _revoked_secrets(database: sqlite3.Connection, folder: Path) -> None:
    values = (REVOKED, USER)
    database.execute("insert into revoked_secrets (digest, account) values (?, ?)", values)


WRITTEN: dict[str, Callable[[sqlite3.Connection, Path], None]] = {
    "0001": _accounts_and_settings,
    "0002": _verifiers_and_secrets,
    "0003": _apop_secrets,
    "0004": _own_account,
    "0005": _throttle,
    "0006": _roles,
    "0007": _password_policy,
    "0008": _access,
    "0009": _automation_tokens,
    "0010": _transforms,
    "0011": _transform_read,
    "0012": _revoked_secrets,
}
"""What the version of each migration wrote first. It gets the database and the data folder."""


def write(folder: Path, revision: str) -> Path:
    """Make a data folder as the version of that revision left it; give the database's path."""
    folder.mkdir(mode=0o700, exist_ok=True, parents=True)
    path = folder / FILE
    opening.make(path, revision)
    with contextlib.closing(sqlite3.connect(path)) as database:
        for version, rows in WRITTEN.items():
            if version <= revision:
                rows(database, folder)
        database.commit()
    return path
