"""Moving in from Dovecot and Courier: the same ids, the same passwords.

The other servers are Debian's own: they store the mail and give the ids, and hash the passwords.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from component.conftest import Service, Start
from pop3mgmt.client import Caller
from pop3mgmt.v1.accounts_pb2 import IMPORT_OUTCOME_IMPORTED
from pop3mgmt.v1.maildrop_pb2 import (
    ID_SOURCE_COURIER,
    ID_SOURCE_DOVECOT,
    ImportUniqueIdsResponse,
)
from support import dovecot
from support.events import wait_for
from support.pop3 import Pop3

FORMATS = {
    "plain": ("%08Xu%08Xv", ""),
    "named": ("%08Xu%08Xv", "dovecot"),
    "guid": ("%g", "%g"),
    "file": ("%f", "%f"),
    "cyrus": ("%v.%u", "cyrus"),
    "uid": ("%u", "%u"),
    "cut": ("%u-%4v", "%u-%4v"),
    "courier": ("UID%u-%v", "courier-2"),
    "tpop3d": ("%Mf", "tpop3d"),
    "uw": ("%08Xv%08Xu", "uw"),
    "upper": ("%UMf%Lg", "%UMf%Lg"),
}
"""Formats by user: as Dovecot has it, and as it is given to us."""
SAVED = "saved"
"""Whose ids Dovecot has written down, so that the format of now does not count."""


SCHEMES = ("ARGON2ID", "ARGON2I", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT.b64",
           "BLF-CRYPT.hex", "PLAIN", "CLEARTEXT")  # fmt: skip


@dataclass
class OldServer:
    """What a server left behind: its mail, its passwd-file, and what it told its clients."""

    mail: Path
    passwd: bytes = b""
    ids: dict[str, list[str]] = field(default_factory=dict)


def password(name: str) -> str:
    return f"secret of {name}, ñandú"


def message(number: int) -> bytes:
    return b"Subject: %d\n\n" % number + b"text\n" * number


@pytest.fixture(scope="module")
def old_dovecot(tmp_path_factory: pytest.TempPathFactory) -> OldServer:
    if not dovecot.IS_INSTALLED:
        pytest.skip("Dovecot is missing: apt install dovecot-pop3d")
    formats = {**{name: theirs for name, (theirs, _) in FORMATS.items()}, SAVED: "old-%u"}
    schemes = itertools.cycle(SCHEMES)
    users = {}
    for name, uidl_format in formats.items():
        hashed = dovecot.password_hash(next(schemes), password(name))
        # A percent sign in this file is Dovecot's own escape.
        users[name] = f"{hashed}::::::userdb_pop3_uidl_format={uidl_format.replace('%', '%%')}"
    users[SAVED] += " userdb_pop3_save_uidl=yes"
    kept = OldServer(tmp_path_factory.mktemp("dovecot") / "mail")
    with dovecot.running(users) as server:
        for name in users:
            for number in range(1, 4):
                server.deliver(name, message(number))
            with Pop3(server.port) as client:
                client.log_in(name, password(name))
                client.ask("DELE 2")
                client.ask("QUIT")
            server.deliver(name, message(4))
            with Pop3(server.port) as client:
                client.log_in(name, password(name))
                kept.ids[name] = client.listing("UIDL")
                client.ask_many("RETR 1")  # which sets a flag
                client.ask("QUIT")
        shutil.copytree(server.mail, kept.mail)
        kept.passwd = server.passwd.read_bytes()
    return kept


def move_in(start: Start, tmp_path: Path, old: OldServer) -> Service:
    shutil.copytree(old.mail, tmp_path / "mail")
    service = start(POP3_MIN_LOGIN_DELAY="0", POP3_MAX_LOGIN_DELAY="0")
    told = service.manage(lambda admin: admin.import_accounts([old.passwd]))
    assert {line.name for line in told if line.outcome == IMPORT_OUTCOME_IMPORTED} == {*old.ids}
    return service


def uidl(service: Service, name: str) -> list[str]:
    with service.connect() as client:
        assert client.log_in(name, password(name)).startswith("+OK")
        found = client.listing("UIDL")
        assert client.ask("QUIT").startswith("+OK")  # so that it is free for the next
        return found


def test_dovecots_ids_are_ours_in_every_format(
    own_service: Start, tmp_path: Path, old_dovecot: OldServer
) -> None:
    service = move_in(own_service, tmp_path, old_dovecot)
    formats: Mapping[str, str] = {name: ours for name, (_, ours) in FORMATS.items()}

    async def import_all(admin: Caller, dry_run: bool) -> dict[str, ImportUniqueIdsResponse]:
        return {
            name: await admin.import_unique_ids(
                name, ID_SOURCE_DOVECOT, formats.get(name, "%g"), dry_run=dry_run
            )
            for name in old_dovecot.ids
        }

    before = {name: uidl(service, name) for name in old_dovecot.ids}
    told = service.manage(lambda admin: import_all(admin, dry_run=True))
    assert {name: uidl(service, name) for name in old_dovecot.ids} == before
    done = service.manage(lambda admin: import_all(admin, dry_run=False))
    assert done == told
    assert {name: uidl(service, name) for name in old_dovecot.ids} == old_dovecot.ids
    for name, result in done.items():
        same = name in ("guid", "file")  # these are our own ids as well
        assert before[name] == old_dovecot.ids[name] or not same
        assert result.source_found
        assert (result.all.message_count, result.kept.message_count) == (3, 3)
        assert result.changed.message_count == (0 if same else 3)
        assert result.changed.size_bytes == (0 if same else result.all.size_bytes)
        assert (result.refused.message_count, result.missing.message_count) == (0, 0)


def test_everybody_logs_in_with_the_old_password_and_is_hashed_by_argon2id(
    plain_service: Start, tmp_path: Path, old_dovecot: OldServer
) -> None:
    service = move_in(plain_service, tmp_path, old_dovecot)
    assert len(SCHEMES) < len(old_dovecot.ids)
    for name in old_dovecot.ids:
        with service.connect() as client:
            assert client.log_in(name, "secret of another").startswith("-ERR [AUTH]")
            assert client.log_in(name, password(name)).startswith("+OK")
    service.daemon.stop()
    with sqlite3.connect(tmp_path / "data/valija.db") as database:
        found = dict(database.execute("select name, password_hash from accounts").fetchall())
    assert found.keys() == {*old_dovecot.ids, "default"}
    assert all(it.startswith("$argon2id$v=19$m=8,t=1,p=1$") for it in found.values())
    again = plain_service()
    for name in old_dovecot.ids:
        assert uidl(again, name)
    log = "".join(service.daemon.log)
    assert "secret of" not in log
    assert "{" not in log


def test_imported_ids_stay_over_a_restart_new_mail_and_a_second_import(
    plain_service: Start, tmp_path: Path, old_dovecot: OldServer
) -> None:
    service = move_in(plain_service, tmp_path, old_dovecot)

    async def import_one(admin: Caller) -> ImportUniqueIdsResponse:
        return await admin.import_unique_ids("plain", ID_SOURCE_DOVECOT)

    service.manage(import_one)
    old = old_dovecot.ids["plain"]
    service.manage(lambda admin: admin.put_message("plain", [b"Subject: new\n\n"]))
    now = uidl(service, "plain")
    assert now[:3] == old
    assert len(now) == 4
    service.daemon.stop()
    again = plain_service()
    assert uidl(again, "plain") == now
    assert again.manage(import_one).changed.message_count == 0
    assert uidl(again, "plain") == now
    index = tmp_path / "mail/plain/.valija-index"
    wait_for(index.exists)  # it is written when the session has ended
    index.unlink()
    assert uidl(again, "plain") == now


def test_an_import_waits_for_no_session(
    own_service: Start, tmp_path: Path, old_dovecot: OldServer
) -> None:
    service = move_in(own_service, tmp_path, old_dovecot)

    async def refused(admin: Caller) -> str:
        try:
            await admin.import_unique_ids("plain", ID_SOURCE_DOVECOT)
        except Exception as error:
            return str(error)
        return ""

    with service.connect() as client:
        client.log_in("plain", password("plain"))
        assert "in use" in service.manage(refused)
        shown = client.listing("UIDL")
        client.ask("QUIT")
    assert uidl(service, "plain") == shown
    assert service.manage(refused) == ""
    assert uidl(service, "plain") == old_dovecot.ids["plain"]


# --- Courier --------------------

COURIER = shutil.which(
    "courierpop3d", path=os.environ.get("COURIER_BIN", "/usr/lib/courier/courier:/usr/sbin")
)


def courier(folder: Path, *commands: str) -> list[str]:
    """Speak to Courier as its login program would; gives its lines."""
    assert COURIER is not None
    variables = {**os.environ, "TCPREMOTEIP": "127.0.0.1", "AUTHENTICATED": folder.name}
    words = "".join(f"{command}\r\n" for command in (*commands, "QUIT"))
    done = subprocess.run(
        [COURIER, "."], input=words, env=variables, cwd=folder, text=True, capture_output=True
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def old_courier(tmp_path_factory: pytest.TempPathFactory) -> OldServer:
    if COURIER is None:
        pytest.skip("Courier is missing: apt install courier-pop")
    kept = OldServer(tmp_path_factory.mktemp("courier") / "mail")
    folder = kept.mail / "ana"
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    for number in range(1, 4):
        (folder / "new" / f"{1000 + number}.M1P{number}.host").write_bytes(message(number))
    courier(folder, "UIDL", "RETR 1", "DELE 2")
    (folder / "new" / "1009.M1P9.host").write_bytes(message(4))
    lines = courier(folder, "UIDL")
    kept.ids["ana"] = lines[2 : lines.index(".")]
    kept.passwd = f"ana:{{PLAIN}}{password('ana')}\n".encode()
    return kept


def test_couriers_ids_are_ours(own_service: Start, tmp_path: Path, old_courier: OldServer) -> None:
    assert len(old_courier.ids["ana"]) == 3
    service = move_in(own_service, tmp_path, old_courier)
    assert uidl(service, "ana") != old_courier.ids["ana"]
    result = service.manage(lambda admin: admin.import_unique_ids("ana", ID_SOURCE_COURIER))
    assert (result.kept.message_count, result.changed.message_count) == (3, 3)
    assert uidl(service, "ana") == old_courier.ids["ana"]
