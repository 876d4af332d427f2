from __future__ import annotations

import pytest

from unit.admin_cli.conftest import Tool
from unit.admin_cli.own_account import PASSWORD
from unit.admin_cli.service import Service, session


def test_app_passwords_are_listed_with_their_last_use(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("me", "add-app-password", "laptop")
    assert pop3ctl.ok("me", "app-passwords").splitlines() == [
        "NAME    CREATED              LAST USED            FROM",
        "phone   2026-01-01 00:00:00  2026-01-01 00:01:00  192.0.2.1:5",
        "laptop  2026-01-01 00:00:00  -                    -",
    ]
    assert pop3ctl.json("me", "app-passwords", "--account", "alice")[1] == {
        "name": "laptop",
        "create_time": "2026-01-01T00:00:00Z",
        "last_use_time": None,
        "last_use_peer": "",
    }
    assert service.own.asked == [("", "app passwords"), ("alice", "app passwords")]


def test_an_app_password_alone_goes_to_stdout(pop3ctl: Tool) -> None:
    result = pop3ctl("me", "add-app-password", "laptop")
    assert result.stdout == f"{PASSWORD}\n"
    assert result.stderr == 'app password "laptop", with its hyphens:\n'
    made = pop3ctl.json("me", "add-app-password", "tablet")
    assert (made["name"], made["password"]) == ("tablet", PASSWORD)
    assert pop3ctl("me", "add-app-password", "tablet").exit_code == 7


def test_one_app_password_is_revoked_or_all(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("me", "add-app-password", "laptop")
    told = "app passwords revoked: 1; sessions ended: 2\n"
    assert pop3ctl.ok("me", "revoke-app-password", "phone") == told
    assert pop3ctl("me", "revoke-app-password", "phone").exit_code == 6
    assert pop3ctl.json("me", "revoke-app-password", "--all", "--account", "alice") == {
        "name": None,
        "revoked_count": 1,
        "ended_session_count": 2,
    }
    assert service.own.asked == [("", "phone"), ("", "phone"), ("alice", True)]


@pytest.mark.parametrize("words", [(), ("phone", "--all")])
def test_what_is_to_be_revoked_is_said_in_one_way(pop3ctl: Tool, words: tuple[str, ...]) -> None:
    assert pop3ctl("me", "revoke-app-password", *words).exit_code == 2


def test_preferences_are_shown_and_only_those_given_are_set(
    pop3ctl: Tool, service: Service
) -> None:
    assert pop3ctl.ok("me", "show").splitlines() == [
        "language         default",
        "retention, days  default",
        "transform        on",
    ]
    assert pop3ctl.json("me", "set", "--language", "es", "--retention", "90") == {
        "language": "es",
        "retention_days": 90,
        "transform": True,
    }
    assert service.own.asked[-1] == ("", ["language", "retention_days"])
    words = ("--language", "default", "--retention", "default", "--transform", "off")
    assert pop3ctl.json("me", "set", *words, "--account", "alice") == {
        "language": "",
        "retention_days": 0,
        "transform": False,
    }
    assert service.own.asked[-1] == ("alice", ["language", "retention_days", "transform"])


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--language", "fr"),
        ("--retention", "0"),
        ("--retention", "-1"),
        ("--retention", "36501"),
        ("--retention", "²"),
        ("--transform", "maybe"),
    ],
)
def test_a_preference_that_cannot_be_is_wrong_usage(pop3ctl: Tool, words: tuple[str, ...]) -> None:
    assert pop3ctl("me", "set", *words).exit_code == 2


def test_logins_are_listed_refused_ones_too(pop3ctl: Tool, service: Service) -> None:
    assert [line.split()[2:] for line in pop3ctl.ok("me", "logins").splitlines()[1:]] == [
        ["192.0.2.1", "pop3", "PASS", "TLSv1.3", "ok", "1", "phone"],
        ["192.0.2.9", "scmp", "-", "-", "INVALID_CREDENTIALS", "12", "-"],
    ]
    found = pop3ctl.json("me", "logins", "--limit", "5", "--account", "alice")
    assert found[1] == {
        "login_time": "2026-01-01T00:00:00Z",
        "address": "192.0.2.9",
        "via": "scmp",
        "mechanism": "",
        "tls_version": "",
        "refusal_reason": "INVALID_CREDENTIALS",
        "app_password_name": "",
        "attempt_count": 12,
    }
    assert service.own.asked == [("", 20), ("alice", 5)]
    assert pop3ctl("me", "logins", "--limit", "0").exit_code == 2


def test_sessions_are_the_callers_own(pop3ctl: Tool, service: Service) -> None:
    service.sessions += [session("8", "192.0.2.2:1", "admin"), session("9", "192.0.2.2:2", "admin")]
    assert [it["id"] for it in pop3ctl.json("me", "sessions")] == ["8", "9"]
    assert pop3ctl.ok("me", "end-session", "8") == "sessions ended: 1\n"
    assert pop3ctl.json("me", "end-session", "--all") == {
        "session_id": None,
        "ended_session_count": 1,
    }
    assert [it.id for it in service.sessions] == ["7"]
    assert pop3ctl("me", "end-session").exit_code == 2
    assert pop3ctl("me", "end-session", "7", "--all").exit_code == 2
