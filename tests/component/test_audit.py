"""The audit of the real service: logins at every worker, kills, restarts, what others change."""

from __future__ import annotations

import re
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from component.conftest import Service
from pop3mgmt.v1.audit_pb2 import AuditEntry, AuditFilter, VerifyAuditResponse
from support.events import wait_for

Start = Callable[..., Service]
MAIL = b"Subject: hello\n\nsome mail\n"
NO_DELAY = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0"}


def entries(service: Service, **meant: str) -> list[AuditEntry]:
    """Entries, the oldest first."""

    async def collect(admin) -> list[AuditEntry]:
        return [it async for it in admin.list_audit_entries(AuditFilter(**meant))]

    return list(reversed(service.manage(collect)))


def verified(service: Service, head: str = "") -> VerifyAuditResponse:
    return service.manage(lambda admin: admin.verify_audit(head))


def told_heads(log: list[str]) -> list[str]:
    """The heads that the log tells, in order."""
    return re.findall(r'event="audit head" head=(\S+)', "".join(log))


def database(folder: Path) -> Path:
    return folder / "data" / "audit.db"


def change(folder: Path, *statements: str) -> None:
    """Change the file without the key, while nobody has it open."""
    with closing(sqlite3.connect(database(folder))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_every_login_and_refusal_is_told_whoever_decided_it(own_service: Start) -> None:
    service = own_service(**NO_DELAY)
    box = service.account(MAIL)
    with service.connect() as first:
        assert first.log_in(box.name) == "+OK Logged in"
        with service.connect() as second:  # remembered, and refused by the worker
            assert second.log_in(box.name).startswith("-ERR [IN-USE]")
        with service.connect() as wrong:  # refused by the supervisor
            assert wrong.log_in(box.name, "wrong").startswith("-ERR [AUTH]")
        assert first.ask("QUIT").startswith("+OK")
    with service.connect() as again:  # remembered
        assert again.log_in(box.name) == "+OK Logged in"
        assert again.ask("QUIT").startswith("+OK")
    wait_for(lambda: len(entries(service, actor=box.name, action="login")) == 4)
    found = entries(service, actor=box.name, action="login")
    outcomes = [it.outcome for it in found]
    assert sorted(outcomes) == ["INVALID_CREDENTIALS", "MAILDROP_IN_USE", "ok", "ok"]
    assert {it.address for it in found} == {"127.0.0.1"}
    assert {it.after_json for it in found} == {'{"mechanism": "PASS"}'}
    assert not verified(service).damage


def test_an_act_outlives_a_kill_right_after_its_reply(plain_service: Start, tmp_path: Path) -> None:
    service = plain_service(**NO_DELAY)
    box = service.account(MAIL)
    service.daemon.process.send_signal(signal.SIGKILL)
    service.daemon.process.wait(30)
    again = plain_service(**NO_DELAY)
    assert [it.target for it in entries(again, action="accounts.create")][-1] == box.name
    assert not verified(again).damage


def test_logins_that_wait_are_written_at_a_stop(own_service: Start) -> None:
    service = own_service(**NO_DELAY)
    box = service.account(MAIL)
    for _ in range(5):
        with service.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("QUIT").startswith("+OK")
    assert service.daemon.stop() == 0
    again = own_service(**NO_DELAY)
    assert len(entries(again, actor=box.name, action="login.pop3")) == 5
    starts = [it.action for it in entries(again, action="service.")]
    assert starts == ["service.start", "service.stop", "service.start"]


def test_a_changed_row_a_removed_row_and_a_cut_end_are_all_found(
    plain_service: Start, tmp_path: Path
) -> None:
    service = plain_service(**NO_DELAY)
    boxes = service.accounts(3, MAIL)
    for box in boxes:
        with service.connect() as client:
            assert client.log_in(box.name) == "+OK Logged in"
            assert client.ask("QUIT").startswith("+OK")
    assert service.daemon.stop() == 0
    head = told_heads(service.daemon.log)[-1]
    whole = database(tmp_path).read_bytes()
    assert not Path(f"{database(tmp_path)}-wal").exists()

    def found_after(*statements: str, given: str = "") -> list[tuple[int, int, str]]:
        change(tmp_path, *statements)
        with_damage = plain_service(**NO_DELAY)
        damage = verified(with_damage, given).damage
        assert with_damage.daemon.stop() == 0
        for name in ("audit.db", "audit.db-wal", "audit.db-shm"):
            (tmp_path / "data" / name).unlink(missing_ok=True)
        database(tmp_path).write_bytes(whole)
        return [(it.first_sequence, it.last_sequence, it.text) for it in damage]

    created = "(SELECT min(sequence) FROM entries WHERE action = 'accounts.create')"
    with closing(sqlite3.connect(database(tmp_path))) as connection:
        [number] = connection.execute(f"SELECT {created}").fetchone()
        [login] = connection.execute(
            "SELECT max(sequence) FROM entries WHERE via = 'pop3'"
        ).fetchone()
    [changed] = found_after(f"UPDATE entries SET actor = 'eve' WHERE sequence = {number}")
    assert changed == (number, number, "an entry was changed")
    [removed] = found_after(f"DELETE FROM entries WHERE sequence = {login}")
    assert removed == (login, login, "the entry was removed")
    # Whoever cuts the end off and puts the kept head back too is found out by the log alone.
    last = "(SELECT max(number) FROM batches)"
    (tmp_path / "data" / "audit.head").unlink()
    cut = found_after(
        f"DELETE FROM entries WHERE batch = {last}",
        f"DELETE FROM batches WHERE number = {last}",
        given=head,
    )
    assert len(cut) == 1
    assert cut[0][2] == "it is not the batch that the expected head names"


def test_the_head_is_told_at_the_stop_and_found_again_at_the_start(plain_service: Start) -> None:
    service = plain_service()
    service.account(MAIL)
    assert service.daemon.stop() == 0
    head = told_heads(service.daemon.log)[-1]
    again = plain_service()
    assert not verified(again, head).damage
    assert entries(again, action="audit.check") == []


def test_flags_that_are_settings_and_the_first_accounts_are_told(plain_service: Start) -> None:
    service = plain_service(POP3_MAX_ACCOUNTS="77")
    [settings] = entries(service, action="server.update_settings")
    assert (settings.via, settings.actor_kind) == ("command-line", AuditEntry.ACTOR_KIND_SERVICE)
    assert settings.after_json == '{"max_accounts": 77}'
    [first] = entries(service, action="accounts.bootstrap")
    assert (first.target, first.via) == ("default", "start")
