from __future__ import annotations

import json
from pathlib import Path

import pytest

from pop3mgmt.reasons import Reason
from pop3mgmt.v1.accounts_pb2 import ImportedLine
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service

GOOD = [
    ImportedLine(number=1, name="ana", outcome=1, scheme="BLF-CRYPT"),
    ImportedLine(number=2, name="eva", outcome=1, scheme="SHA512-CRYPT"),
    ImportedLine(number=4, name="bob", outcome=1, scheme="SHA512-CRYPT"),
    ImportedLine(number=5, name="there", outcome=2),
]
BAD = ImportedLine(number=6, name="o\x1bld", outcome=3, why="scheme MD5 is not taken")
IMPORT = ("accounts", "import", "--from", "dovecot-passwd")


@pytest.fixture
def users(tmp_path: Path) -> str:
    path = tmp_path / "users"
    path.write_bytes(b"ana:{PLAIN}x\n" * 100_000)
    return str(path)


def test_a_file_is_sent_whole_and_its_accounts_are_told(
    pop3ctl: Tool, service: Service, users: str
) -> None:
    service.imported_lines = GOOD
    said = pop3ctl.ok(*IMPORT, users)
    assert said.splitlines() == [
        "LINE  NAME   OUTCOME  WHY",
        "   5  there  exists",
        "3 accounts imported (BLF-CRYPT 1, SHA512-CRYPT 2), 1 exist already, 0 refused",
    ]
    assert service.accounts_file == Path(users).read_bytes()
    request = service.accounts_request
    assert (request.source, request.dry_run, request.default_domain) == (1, False, "")


def test_a_dry_run_and_a_domain_are_passed_on(pop3ctl: Tool, service: Service, users: str) -> None:
    service.imported_lines = GOOD[:1]
    said = pop3ctl.ok(*IMPORT, "--dry-run", "--domain", "example.org", users)
    assert said == "1 accounts would be imported (BLF-CRYPT 1), 0 exist already, 0 refused\n"
    assert service.accounts_request.dry_run
    assert service.accounts_request.default_domain == "example.org"


def test_a_refused_line_is_told_and_makes_the_exit_code(
    pop3ctl: Tool, service: Service, users: str
) -> None:
    service.imported_lines = [*GOOD, BAD]
    result = pop3ctl(*IMPORT, users)
    assert result.exit_code == 3
    assert "   6  o\\x1bld  refused  scheme MD5 is not taken" in result.stdout
    assert "1 lines are refused; line 6: scheme MD5 is not taken" in result.stderr


def test_all_is_told_as_json(pop3ctl: Tool, service: Service, users: str) -> None:
    service.imported_lines = [GOOD[0], BAD]
    result = pop3ctl(*IMPORT, "--json", users)
    found = json.loads(result.stdout)
    assert (found["imported_count"], found["exists_count"], found["refused_count"]) == (1, 0, 1)
    assert found["lines"][0] == {
        "number": 1,
        "name": "ana",
        "outcome": "imported",
        "scheme": "BLF-CRYPT",
        "why": "",
    }
    assert json.loads(result.stderr)["error"]["reason"] == "INVALID_ARGUMENT"


def test_stdin_is_a_file_too(pop3ctl: Tool, service: Service) -> None:
    service.imported_lines = GOOD[:1]
    assert pop3ctl(*IMPORT, "-", stdin=b"ana:{PLAIN}x\n").exit_code == 0
    assert service.accounts_file == b"ana:{PLAIN}x\n"


def test_a_refusal_of_the_whole_file_is_told(pop3ctl: Tool, service: Service, users: str) -> None:
    service.refusal = Reason.ACCOUNT_LIMIT
    assert pop3ctl(*IMPORT, users).exit_code == 8


@pytest.mark.parametrize("words", [["nofile"], ["--from", "passwd", "-"], []])
def test_wrong_usage_is_told(pop3ctl: Tool, words: list[str]) -> None:
    assert pop3ctl(*IMPORT, *words).exit_code == 2
