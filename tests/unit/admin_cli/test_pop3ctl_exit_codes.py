from __future__ import annotations

import json
from pathlib import Path

import pytest

from admin_cli.exit_codes import DAMAGED, EXIT_CODES, MEANINGS
from pop3mgmt.reasons import Reason
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service

README = Path(__file__).parents[3] / "admin-cli" / "README.md"


def test_every_reason_has_an_exit_code() -> None:
    assert EXIT_CODES.keys() == set(Reason)


def test_every_exit_code_has_a_meaning() -> None:
    assert {0, 2, DAMAGED, 130, *EXIT_CODES.values()} == MEANINGS.keys()


@pytest.mark.parametrize("reason", list(Reason))
def test_a_refusal_ends_with_its_exit_code(pop3ctl: Tool, service: Service, reason: Reason) -> None:
    service.refusal = reason
    result = pop3ctl("status")
    assert result.exit_code == EXIT_CODES[reason]
    assert result.stdout == ""
    assert result.stderr.startswith("pop3ctl: refused as the test asked")
    assert result.stderr.count("\n") == 1


def test_a_refusal_as_json_has_its_reason(pop3ctl: Tool, service: Service) -> None:
    service.refusal = Reason.LAST_ADMIN
    for words in (("--json", "status"), ("status", "--json")):
        result = pop3ctl(*words)
        assert result.exit_code == 8
        assert json.loads(result.stderr)["error"] == {
            "reason": "LAST_ADMIN",
            "message": "refused as the test asked",
            "hint": "make another admin first",
        }


def test_a_service_that_is_away_is_told_with_its_address(pop3ctl: Tool) -> None:
    result = pop3ctl("--target", "127.0.0.1:1", "status")
    assert result.exit_code == 10
    assert result.stderr.startswith("pop3ctl: the service cannot be reached")
    assert "127.0.0.1:1" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["nonsense"],
        ["accounts"],
        ["accounts", "list", "extra"],
        ["--timeout", "0", "status"],
        ["--timeout", "nan", "status"],
        ["--nonsense"],
        ["accounts", "add"],
        ["completion", "tcsh"],
    ],
)
def test_wrong_usage_ends_with_2(pop3ctl: Tool, words: list[str]) -> None:
    assert pop3ctl(*words).exit_code == 2


def test_a_mistake_of_ours_ends_with_70(pop3ctl: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admin_cli.server.status_record", lambda _: {}[0])
    result = pop3ctl("status")
    assert result.exit_code == 70
    assert "KeyError" in result.stderr


def test_the_help_and_the_readme_tell_every_exit_code(pop3ctl: Tool) -> None:
    helped = " ".join(pop3ctl.ok("--help").split())
    readme = README.read_text(encoding="utf-8")
    for code, meaning in MEANINGS.items():
        assert f"{code} {meaning}" in helped
        assert f"| {code} | {meaning} |" in readme


def test_a_service_that_does_not_answer_is_given_up(pop3ctl: Tool, service: Service) -> None:
    service.stays_open = True
    result = pop3ctl("--timeout", "200ms", "status")
    assert result.exit_code == 10
    assert "try a longer --timeout" in result.stderr


def test_the_text_of_a_refusal_cannot_steer_the_terminal(pop3ctl: Tool) -> None:
    result = pop3ctl("accounts", "reset-password", "\x1b[2J")
    assert result.exit_code == 6
    assert r'no account "\x1b[2J"' in result.stderr
