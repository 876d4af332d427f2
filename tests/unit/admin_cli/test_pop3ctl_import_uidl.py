from __future__ import annotations

import json

import pytest

from pop3mgmt.reasons import Reason
from pop3mgmt.v1.maildrop_pb2 import ImportUniqueIdsResponse, MessageTotal
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service, account


def total(count: int) -> MessageTotal:
    return MessageTotal(message_count=count, size_bytes=1024 * count)


@pytest.fixture
def moved(service: Service) -> None:
    """Two accounts that moved in, and one without anything to import."""
    service.accounts = {name: account(name) for name in ("alice", "bob", "carol")}
    service.imported = {
        "alice": ImportUniqueIdsResponse(
            source_found=True,
            all=total(10),
            kept=total(7),
            changed=total(5),
            refused=total(2),
            missing=total(1),
            gone_count=4,
            broken_line_count=3,
            problems=["'1.a': \x1b is not 1 to 70 visible ASCII characters"],
        ),
        "bob": ImportUniqueIdsResponse(source_found=True, all=total(3), kept=total(3)),
        "carol": ImportUniqueIdsResponse(all=total(2), missing=total(2)),
    }


def test_a_dry_run_tells_who_would_download_how_much_again(
    pop3ctl: Tool, service: Service, moved: None
) -> None:
    said = pop3ctl.ok("maildrop", "import-uidl", "--from", "dovecot", "--all", "--dry-run")
    assert said.splitlines() == [
        "NAME   ALL  KEPT  CHANGED  REFUSED  MISSING  GONE  NOTE",
        "alice   10     7        5        2        1     4  3 lines cannot be read",
        "bob      3     3        0        0        0     0",
        "2 of 3 accounts have a dovecot-uidlist",
        "without the import, 1 users download 7 messages (7.0 KiB) again",
        "with it, 1 users download 2 messages (2.0 KiB) again",
        "1 messages (1.0 KiB) are not in the files: new since, or downloaded again",
    ]
    assert [(it.account_name, it.dry_run) for it in service.imports] == [
        ("alice", True),
        ("bob", True),
        ("carol", True),
    ]


def test_an_import_tells_what_is_kept(pop3ctl: Tool, service: Service, moved: None) -> None:
    result = pop3ctl("maildrop", "import-uidl", "--from", "courier", "bob", "alice")
    assert result.exit_code == 0
    assert (
        "10 messages in 2 accounts have their old id; 1 users download 2 messages (2.0 KiB) again\n"
    ) in result.stdout
    assert result.stderr == "alice: '1.a': \\x1b is not 1 to 70 visible ASCII characters\n"
    assert [(it.account_name, it.source, it.dry_run) for it in service.imports] == [
        ("bob", 2, False),
        ("alice", 2, False),
    ]


def test_a_format_is_passed_on(pop3ctl: Tool, service: Service, moved: None) -> None:
    pop3ctl.ok("maildrop", "import-uidl", "--from", "dovecot", "--format", "%v.%u", "bob")
    assert [it.format for it in service.imports] == ["%v.%u"]


def test_all_is_told_as_json(pop3ctl: Tool, moved: None) -> None:
    found = pop3ctl.json("maildrop", "import-uidl", "--from", "dovecot", "--all", "--dry-run")
    assert found["dry_run"] is True
    assert [it["name"] for it in found["accounts"]] == ["alice", "bob", "carol"]
    assert found["accounts"][0]["refused"] == {"message_count": 2, "size_bytes": 2048}
    assert found["total"]["again_without_import"] == {
        "account_count": 1,
        "message_count": 7,
        "size_bytes": 7168,
    }
    assert found["total"]["again_with_import"]["message_count"] == 2
    assert (found["total"]["account_count"], found["total"]["source_count"]) == (3, 2)


def test_an_account_in_use_does_not_hold_up_the_others(
    pop3ctl: Tool, service: Service, moved: None
) -> None:
    del service.imported["alice"]
    result = pop3ctl("maildrop", "import-uidl", "--from", "dovecot", "--all")
    assert result.exit_code == 10
    assert "alice    0     0        0        0        0     0  maildrop is in use" in result.stdout
    assert "3 messages in 1 accounts have their old id" in result.stdout
    assert "1 of 3 accounts failed; alice: maildrop is in use" in result.stderr
    told = pop3ctl("maildrop", "import-uidl", "--from", "dovecot", "--all", "--json")
    assert json.loads(told.stdout)["accounts"][0]["error"]["reason"] == "MAILDROP_IN_USE"
    assert json.loads(told.stderr)["error"]["reason"] == "MAILDROP_IN_USE"


def test_a_service_that_is_away_ends_it_at_once(
    pop3ctl: Tool, service: Service, moved: None
) -> None:
    service.refusal = Reason.SERVICE_UNAVAILABLE
    result = pop3ctl("maildrop", "import-uidl", "--from", "dovecot", "alice", "bob")
    assert (result.exit_code, result.stdout, service.imports) == (10, "", [])


@pytest.mark.parametrize(
    "words",
    [
        ["alice"],
        ["--from", "exchange", "alice"],
        ["--from", "dovecot"],
        ["--from", "dovecot", "--all", "alice"],
        ["--from", "courier", "--format", "%u", "alice"],
    ],
)
def test_wrong_usage_is_told(pop3ctl: Tool, service: Service, words: list[str]) -> None:
    assert pop3ctl("maildrop", "import-uidl", *words).exit_code == 2
    assert service.imports == []
