"""Passwords that must be changed first, and first starts in earnest, as a client sees them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from component.conftest import Service, Start
from support import gateway
from support.pop3 import Pop3

STRONG = "CorrectHorseBatteryStaple"
FIRST = "-ERR [PASSWORD] your password must be changed before anything else; send CHANGE_PASSWORD"


@contextmanager
def scmp(service: Service) -> Iterator[Pop3]:
    """A connection to SCMP."""
    with gateway.running(service.daemon.grpc_target) as running, running.connect() as client:
        yield client


def listing(client: Pop3, command: str) -> list[str]:
    assert client.ask(command).startswith("+OK")
    return client.body().decode().splitlines()


def test_a_password_that_must_be_changed_is_changed_over_scmp_and_opens_mail_then(
    service: Service,
) -> None:
    with scmp(service) as admin:
        admin.log_in("default", "default")
        assert admin.ask("ADD_USER first secret MUST_CHANGE") == (
            "+OK account first created (to be changed before anything else)"
        )
        assert admin.ask("ADD_USER other secret AT_ONCE").startswith("-ERR [NOT-FOUND]")
        assert admin.ask("ADD_USER other secret user AT_ONCE").startswith("-ERR [INVALID]")
        assert admin.ask("RESET_USER_PASSWORD first AT_ONCE").startswith("-ERR [INVALID]")
    for _ in range(2):
        with service.connect() as client:
            assert client.log_in("first", "secret") == (
                "-ERR [AUTH] your password must be changed first, over SCMP or pop3ctl"
            )
            assert client.ask("LANG es").startswith("+OK")
            assert client.log_in("first", "secret") == (
                "-ERR [AUTH] antes debe cambiar su contraseña, por SCMP o pop3ctl"
            )
            assert client.log_in("first", "wrong").startswith("-ERR [AUTH]")
    with scmp(service) as user:
        reply = user.log_in("first", "secret")
        assert reply.startswith("+OK logged in as first (")
        assert reply.endswith("warning: your password must be changed before anything else")
        assert user.ask("CURR_CONNEC") == FIRST
        assert "min_length: 1" in listing(user, "PASSWORD_POLICY")
        assert user.ask("CHANGE_PASSWORD secret secret").startswith("-ERR [INVALID]")
        assert (
            user.ask("CHANGE_PASSWORD secret another") == "+OK password changed, 0 sessions ended"
        )
        assert listing(user, "CURR_CONNEC") == []
    with service.connect() as client:
        assert client.log_in("first", "another").startswith("+OK")


def test_a_reset_may_ask_for_a_change_over_scmp(service: Service) -> None:
    box = service.account(b"")
    with service.connect() as client:  # remembered, and forgotten by the reset
        assert client.log_in(box.name, "secret").startswith("+OK")
    with scmp(service) as admin:
        admin.log_in("default", "default")
        reply = admin.ask(f"RESET_USER_PASSWORD {box.name} MUST_CHANGE")
    words = reply.split()
    assert words[:4] == ["+OK", "new", "password", "of"]
    assert reply.endswith(" (to be changed before anything else)")
    with service.connect() as client:
        assert client.log_in(box.name, words[5]).startswith("-ERR [AUTH] your password must be")
        assert client.log_in(box.name, "secret") == "-ERR [AUTH] wrong name or password"


def test_a_password_that_is_not_taken_is_told_why_over_scmp(plain_service: Start) -> None:
    service = plain_service(
        POP3_PASSWORD_MIN_LENGTH="8",
        POP3_PASSWORD_REFUSE_NAME="on",
        POP3_PASSWORD_MIN_STRENGTH="2",
        POP3_DEMO="yes",
    )
    with service.connect() as client:  # what is shipped is there nevertheless
        assert client.log_in("user1", "pass1").startswith("+OK")
    with scmp(service) as admin:
        admin.log_in("default", "default")
        assert admin.ask("ADD_USER maria maria1") == (
            "-ERR [PASSWORD] this password is not taken: it has fewer than 8 characters; it holds"
            " the account's name; it is too easy to guess (strength 1 of 4, 2 is needed);"
            " PASSWORD_POLICY lists the rules"
        )
        assert admin.ask(f"ADD_USER maria {STRONG}").startswith("+OK")
        reply = admin.ask("RESET_USER_PASSWORD maria")
        assert reply.startswith("+OK new password of maria: ")


# --- the first start ---


@pytest.mark.attack(27)
def test_with_change_first_the_default_admin_can_do_nothing_but_change_its_password(
    plain_service: Start,
) -> None:
    service = plain_service(POP3_ADMIN_BOOTSTRAP="change-first")
    with scmp(service) as admin:
        assert "must be changed before anything else" in admin.log_in("default", "default")
        for line in (
            "ADD_USER eva secret",
            "USERS",
            "STATUS",
            "ALL_CONNEC",
            "MAX_USERS 5",
            "TRANSFORM wc",
            "DELETE_USER default",
            "RESET_USER_PASSWORD default",
            "RESTART_WORKERS",
            "CURR_CONNEC",
        ):
            assert admin.ask(line) == FIRST, line
        assert admin.ask(f"CHANGE_PASSWORD default {STRONG}").startswith("+OK")
        assert admin.ask("ADD_USER eva secret") == "+OK account eva created"
        assert listing(admin, "USERS")[0].startswith("default admin")
    with service.connect() as client:
        assert client.log_in("default", "default") == "-ERR [AUTH] wrong name or password"


@pytest.mark.attack(27)
def test_with_secret_nothing_starts_without_a_password_of_ones_own(
    plain_service: Start, tmp_path: Path
) -> None:
    for variables in (
        {},
        {"POP3_ADMIN_PASSWORD": "seen by all"},
        {"POP3_ADMIN_PASSWORD_FILE": str(_file(tmp_path, ""))},
        {"POP3_ADMIN_PASSWORD_FILE": str(_file(tmp_path, "default"))},
    ):
        with pytest.raises(RuntimeError, match="POP3_ADMIN_PASSWORD_FILE"):
            plain_service(POP3_ADMIN_BOOTSTRAP="secret", **variables)
    secret = str(_file(tmp_path, f"{STRONG}\n"))
    service = plain_service(POP3_ADMIN_BOOTSTRAP="secret", POP3_ADMIN_PASSWORD_FILE=secret)
    with scmp(service) as admin:
        assert admin.log_in("default", "default").startswith("-ERR [AUTH]")
        assert admin.log_in("default", STRONG).startswith("+OK logged in as default (admin)")
    service.daemon.stop()
    # Once there are accounts, the file is not needed any more.
    service = plain_service(POP3_ADMIN_BOOTSTRAP="secret")
    with scmp(service) as admin:
        assert admin.log_in("default", STRONG).startswith("+OK")


def test_the_first_admins_secret_keeps_to_the_policy(in_one_process: Start, tmp_path: Path) -> None:
    variables = {"POP3_ADMIN_BOOTSTRAP": "secret", "POP3_PASSWORD_MIN_LENGTH": "12"}
    short, long = (str(_file(tmp_path, text)) for text in ("short", STRONG))
    with pytest.raises(RuntimeError, match="it has fewer than 12 characters"):
        in_one_process(POP3_ADMIN_PASSWORD_FILE=short, **variables)
    in_one_process(POP3_ADMIN_PASSWORD_FILE=long, **variables)


def _file(folder: Path, text: str) -> Path:
    path = folder / f"secret-{text.strip() or 'empty'}"
    path.write_text(text)
    return path


# --- the cost of hashes ---


def test_a_hash_is_made_anew_at_the_next_login_after_its_cost_has_changed(
    in_one_process: Start, tmp_path: Path
) -> None:
    def costs() -> dict[str, str]:
        with sqlite3.connect(tmp_path / "data" / "valija.db") as database:
            rows = database.execute("select name, password_hash from accounts")
            return {name: hashed.split("$")[3] for name, hashed in rows}

    service = in_one_process()
    ana, eva = service.account(), service.account()
    assert {costs()[ana.name], costs()[eva.name]} == {"m=8,t=1,p=1"}
    service.daemon.stop()
    service = in_one_process(POP3_PASSWORD_MEMORY_KIB="16", POP3_PASSWORD_PASSES="2")
    for _ in range(2):
        with service.connect() as client:
            assert client.log_in(ana.name, "secret").startswith("+OK")
            assert client.ask("QUIT").startswith("+OK")
    assert (costs()[ana.name], costs()[eva.name]) == ("m=16,t=2,p=1", "m=8,t=1,p=1")


def test_the_estimator_is_never_loaded_by_the_service(in_one_process: Start) -> None:
    service = in_one_process(POP3_PASSWORD_MIN_STRENGTH="3")
    with scmp(service) as admin:
        admin.log_in("default", "default")
        assert admin.ask(f"ADD_USER eva {STRONG}").startswith("+OK")
    maps = Path(f"/proc/{service.daemon.process.pid}/maps").read_text()
    assert "argon2" in maps
    assert "zxcvbn" not in maps


# --- expiry ---


def test_a_password_expires_for_who_logged_in_a_moment_ago_too(
    own_service: Start, tmp_path: Path
) -> None:
    service = own_service()
    box = service.account(b"")
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    with sqlite3.connect(tmp_path / "data" / "valija.db", timeout=30) as database:
        database.execute(
            "update accounts set password_time = ? where name = ?",
            (two_days_ago.strftime("%Y-%m-%d %H:%M:%S.%f"), box.name),
        )

    def logs_in() -> str:
        with service.connect() as client:
            reply = client.log_in(box.name, "secret")
            assert client.ask("QUIT").startswith("+OK")
            return reply

    for _ in range(2):
        assert logs_in().startswith("+OK")
    service.change(password_expire_days=1)
    for _ in range(2):
        assert logs_in() == (
            "-ERR [AUTH] your password has expired, change it over SCMP or pop3ctl first"
        )
    service.change(password_expire_days=3)
    assert logs_in().startswith("+OK")
    service.change(password_expire_days=1)
    with scmp(service) as user:
        assert user.log_in(box.name, "secret").endswith("must be changed before anything else")
        assert user.ask("CHANGE_PASSWORD secret another").startswith("+OK")
    with service.connect() as client:
        assert client.log_in(box.name, "another").startswith("+OK")
