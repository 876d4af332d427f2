from __future__ import annotations

import re
from pathlib import Path

import pytest

from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import accounts_pb2
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import PASSWORD, Service, account


def test_accounts_are_listed_as_an_aligned_table(pop3ctl: Tool, service: Service) -> None:
    service.accounts["alice"] = account("alice")
    assert pop3ctl.ok("accounts", "list").splitlines() == [
        "NAME   ROLE   CREATED              SESSIONS  NOTE",
        "admin  admin  2026-01-01 00:00:00         0  default password",
        "alice  user   2026-01-01 00:00:00         0",
    ]


def test_accounts_are_listed_as_json(pop3ctl: Tool) -> None:
    assert pop3ctl.json("accounts", "list") == [
        {
            "name": "admin",
            "role": "admin",
            "create_time": "2026-01-01T00:00:00Z",
            "has_default_password": True,
            "session_count": 0,
            "has_apop_secret": False,
            "must_change_password": False,
            "password_time": None,
            "password_expire_time": None,
        }
    ]


def test_wide_letters_keep_the_table_aligned(pop3ctl: Tool, service: Service) -> None:
    service.accounts = {name: account(name) for name in ("日本", "ab")}
    header, ab, wide = pop3ctl.ok("accounts", "list").splitlines()
    assert ab.startswith("ab    user")
    assert wide.startswith("日本  user")
    assert header.startswith("NAME  ROLE")


def test_one_account_is_shown_and_without_a_name_the_own(pop3ctl: Tool, service: Service) -> None:
    service.accounts["alice"] = account("alice")
    assert pop3ctl.json("accounts", "show", "alice")["role"] == "user"
    said = pop3ctl.ok("accounts", "show").splitlines()
    assert said[:2] == ["Name              admin", "Role              admin"]
    assert said[4] == "Default password  yes"
    assert pop3ctl("accounts", "show", "nobody").exit_code == 6


def test_an_account_is_added(pop3ctl: Tool, service: Service) -> None:
    words = ("accounts", "add", "alice", "--password-stdin")
    assert pop3ctl.ok(*words, stdin="secret\n") == 'added account "alice" (user)\n'
    assert service.passwords["alice"] == "secret"
    assert service.accounts["alice"].role_name == "user"


def test_an_admin_is_added_as_json(pop3ctl: Tool, service: Service) -> None:
    words = ("accounts", "add", "root", "--role", "admin")
    added = pop3ctl.json(*words, POP3CTL_NEW_PASSWORD="secret")
    assert (added["name"], added["role"]) == ("root", "admin")
    assert service.accounts["root"].role_name == "admin"


def test_adding_twice_says_that_it_exists(pop3ctl: Tool) -> None:
    result = pop3ctl("accounts", "add", "admin", POP3CTL_NEW_PASSWORD="x")
    assert result.exit_code == 7
    assert result.stderr == 'pop3ctl: account "admin" already exists\n'
    assert result.stdout == ""


def test_deleting_without_a_terminal_needs_yes(pop3ctl: Tool, service: Service) -> None:
    service.accounts["alice"] = account("alice")
    result = pop3ctl("accounts", "delete", "alice")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert "alice" in service.accounts


def test_an_account_is_deleted_and_its_mail_kept(pop3ctl: Tool, service: Service) -> None:
    service.accounts["alice"] = account("alice")
    said = pop3ctl.ok("accounts", "delete", "alice", "--yes")
    assert said == 'deleted account "alice"; its mail is kept; sessions ended: 2\n'
    assert "alice" not in service.accounts
    assert "alice" in service.mail


def test_an_account_is_deleted_with_its_mail(pop3ctl: Tool, service: Service) -> None:
    service.accounts["alice"] = account("alice")
    done = pop3ctl.json("accounts", "delete", "alice", "--yes", "--delete-mail")
    assert done == {"name": "alice", "delete_mail": True, "ended_session_count": 2}
    assert "alice" not in service.mail


@pytest.mark.parametrize(("answer", "code", "kept"), [("y\n", 0, False), ("n\n", 130, True)])
def test_at_a_terminal_deleting_asks(
    pop3ctl: Tool, service: Service, at_terminal, answer: str, code: int, kept: bool
) -> None:
    at_terminal()
    service.accounts["alice"] = account("alice")
    result = pop3ctl("accounts", "delete", "alice", stdin=answer)
    assert result.exit_code == code
    assert "Delete account 'alice' (its mail is kept)?" in result.stderr
    assert ("alice" in service.accounts) == kept


def test_a_reset_password_is_all_of_stdout(pop3ctl: Tool) -> None:
    result = pop3ctl("accounts", "reset-password", "admin")
    assert result.stdout == "random-1\n"
    assert result.stderr == 'new password of "admin":\n'


def test_a_reset_password_as_json(pop3ctl: Tool) -> None:
    done = pop3ctl.json("accounts", "reset-password", "admin")
    assert done == {"name": "admin", "new_password": "random-1", "must_change_password": False}


def test_a_reset_password_may_have_to_be_changed(pop3ctl: Tool, service: Service) -> None:
    done = pop3ctl.json("accounts", "reset-password", "admin", "--must-change")
    assert done["must_change_password"]
    result = pop3ctl("accounts", "reset-password", "admin", "--must-change")
    assert (result.stdout, result.exit_code) == ("random-1\n", 0)
    assert "to be changed before anything else" in result.stderr


def test_an_added_account_may_have_to_change_its_password(pop3ctl: Tool, service: Service) -> None:
    done = pop3ctl.json(
        "accounts", "add", "eva", "--must-change", "--password-stdin", stdin="secret"
    )
    assert done["must_change_password"]
    said = pop3ctl.ok("accounts", "show", "eva").splitlines()
    assert dict(re.split(" {2,}", line) for line in said)["Must change it"] == "yes"


def test_the_password_policy_is_shown(pop3ctl: Tool, service: Service) -> None:
    service.policy = accounts_pb2.PasswordPolicy(min_length=12, min_strength=3, refuse_name=True)
    assert pop3ctl.json("accounts", "password-policy") == {
        "min_length": 12,
        "min_strength": 3,
        "refuse_common": False,
        "refuse_name": True,
        "history": 0,
        "expire_days": 0,
        "reset_must_change": False,
    }
    said = pop3ctl.ok("accounts", "password-policy")
    told = dict(re.split(" {2,}", line) for line in said.splitlines())
    assert told["Characters at least"] == "12"
    assert told["Expires after days"] == "never"


def test_a_password_that_is_refused_is_told_with_its_rules(pop3ctl: Tool, service: Service) -> None:
    service.refusal = Reason.PASSWORD_REFUSED
    result = pop3ctl("accounts", "add", "eva", "--password-stdin", stdin="secret")
    assert result.exit_code == 3
    assert "refused as the test asked" in result.stderr


def test_resetting_an_unknown_account_says_where_to_look(pop3ctl: Tool) -> None:
    result = pop3ctl("accounts", "reset-password", "nobody")
    assert result.exit_code == 6
    assert "accounts list" in result.stderr


def test_the_own_password_is_changed(pop3ctl: Tool, service: Service, tmp_path: Path) -> None:
    (tmp_path / "old").write_text(PASSWORD + "\n", encoding="utf-8")
    words = ("accounts", "change-password", "--password-file", str(tmp_path / "old"))
    said = pop3ctl.ok(*words, "--new-password-stdin", stdin="better\n")
    assert said == "changed the password; sessions ended: 1\n"
    assert service.passwords["admin"] == "better"


def test_the_own_password_is_changed_by_environment(pop3ctl: Tool) -> None:
    done = pop3ctl.json(
        "accounts", "change-password", POP3CTL_PASSWORD=PASSWORD, POP3CTL_NEW_PASSWORD="n"
    )
    assert done == {"ended_session_count": 1}


def test_a_wrong_old_password_says_so(pop3ctl: Tool) -> None:
    result = pop3ctl(
        "accounts", "change-password", POP3CTL_PASSWORD="wrong", POP3CTL_NEW_PASSWORD="n"
    )
    assert result.exit_code == 4
    assert "check the old password" in result.stderr


def test_stdin_cannot_hold_both_passwords(pop3ctl: Tool) -> None:
    words = ("accounts", "change-password", "--password-stdin", "--new-password-stdin")
    assert pop3ctl(*words, stdin="a\nb\n").exit_code == 2


def test_names_cannot_steer_the_terminal(pop3ctl: Tool, service: Service) -> None:
    name = "a\x1b[2J\x9b\u202e\x7f"
    service.accounts = {name: account(name)}
    table = pop3ctl.ok("accounts", "list")
    assert r"a\x1b[2J\x9b\u202e\x7f" in table
    assert pop3ctl.ok("accounts", "list", "--json").isprintable() is False  # only newlines
    assert all(letter.isprintable() for letter in table.replace("\n", ""))
    assert pop3ctl.json("accounts", "list")[0]["name"] == name
    assert "\x7f" not in pop3ctl.ok("accounts", "list", "--json")


@pytest.mark.parametrize("name", ["", "\udcff"])
def test_a_name_that_cannot_be_sent_is_wrong_usage(pop3ctl: Tool, name: str) -> None:
    assert pop3ctl("accounts", "delete", name, "--yes").exit_code == 2


def test_a_random_apop_secret_is_all_of_stdout(pop3ctl: Tool, service: Service) -> None:
    result = pop3ctl("accounts", "apop", "set", "admin")
    assert result.stdout == "random-2\n"
    assert result.stderr == 'APOP secret of "admin":\n'
    done = pop3ctl.json("accounts", "apop", "set", "admin")
    assert done == {"name": "admin", "secret": "random-2"}


def test_an_apop_secret_of_ones_own_is_not_shown(pop3ctl: Tool, service: Service) -> None:
    said = pop3ctl("accounts", "apop", "set", "admin", "--secret-stdin", stdin="my own secret\n")
    assert said.stdout == 'set the APOP secret of "admin"\n'
    assert service.apop_secrets == {"admin": "my own secret"}


def test_an_apop_secret_is_taken_away(pop3ctl: Tool, service: Service) -> None:
    service.apop_secrets["admin"] = "x"
    said = pop3ctl.ok("accounts", "apop", "off", "admin")
    assert said == '"admin" has no APOP secret; sessions ended: 3\n'
    assert service.apop_secrets == {}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["apop", "on", "admin"], 2),
        (["apop", "set"], 2),
        (["apop", "off", "admin", "--secret-stdin"], 2),
        (["apop", "set", "nobody"], 6),
        (["apop", "off", "nobody"], 6),
    ],
)
def test_apop_used_wrongly_changes_nothing(
    pop3ctl: Tool, service: Service, words: list[str], code: int
) -> None:
    assert pop3ctl("accounts", *words).exit_code == code
    assert service.apop_secrets == {}
