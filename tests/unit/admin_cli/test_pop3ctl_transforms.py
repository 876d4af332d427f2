from __future__ import annotations

import pytest

from pop3mgmt.v1.transforms_pb2 import (
    ON_FAILURE_ORIGINAL,
    ON_FAILURE_REFUSE,
)
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service

CHAIN = "strip-attachments | tr a-z A-Z"


@pytest.fixture
def loud(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("transform", "set", "loud", "tr", "a-z", "A-Z")
    words = ("transform", "set", "--on-failure", "original", "--note", "for phones", "loud", CHAIN)
    pop3ctl.ok(*words)
    service.transforms.versions["loud"][0].is_active = True


# --- the catalogue ---


def test_transforms_are_listed_with_what_is_active(pop3ctl: Tool, loud: None) -> None:
    assert pop3ctl.ok("transform", "list").splitlines() == [
        "NAME  LATEST  ACTIVE  ON FAILURE  MADE                 BY     COMMAND LINE",
        f"loud       2  1       original    2026-01-01 00:00:00  admin  {CHAIN}",
    ]
    [found] = pop3ctl.json("transform", "list")
    assert (found["name"], found["version"], found["active_versions"]) == ("loud", 2, [1])


def test_a_history_begins_with_the_newest(pop3ctl: Tool, loud: None) -> None:
    assert pop3ctl.ok("transform", "history", "loud").splitlines() == [
        "VERSION  ACTIVE  ON FAILURE  MADE                 BY     COMMAND LINE"
        "                    NOTE",
        f"      2  no      original    2026-01-01 00:00:00  admin  {CHAIN}  for phones",
        "      1  yes     refuse      2026-01-01 00:00:00  admin  tr a-z A-Z",
    ]
    assert [it["version"] for it in pop3ctl.json("transform", "history", "loud")] == [2, 1]
    assert pop3ctl("transform", "history", "none-such").exit_code == 6
    assert pop3ctl("transform", "history").exit_code == 6


def test_one_version_is_shown(pop3ctl: Tool, loud: None) -> None:
    facts = dict(
        line.split("  ", 1) for line in pop3ctl.ok("transform", "show", "loud@1").splitlines()
    )
    assert {key: value.strip() for key, value in facts.items()} == {
        "Name": "loud",
        "Version": "1",
        "Command line": "tr a-z A-Z",
        "On failure": "refuse",
        "Active": "yes",
        "Made": "2026-01-01 00:00:00",
        "By": "admin",
        "Note": "-",
    }
    assert pop3ctl.json("transform", "show", "loud") == {
        "name": "loud",
        "version": 2,
        "command_line": CHAIN,
        "on_failure": "original",
        "note": "for phones",
        "created_by": "admin",
        "create_time": "2026-01-01T00:00:00Z",
        "is_active": False,
    }


@pytest.mark.parametrize("what", ["loud@", "loud@0", "loud@x", ""])
def test_what_is_no_version_is_wrong_usage(pop3ctl: Tool, what: str) -> None:
    assert pop3ctl("transform", "show", what).exit_code == 2


def test_a_transform_is_deleted_with_its_versions(pop3ctl: Tool, loud: None) -> None:
    assert pop3ctl.ok("transform", "delete", "loud") == 'deleted "loud", 2 versions\n'
    assert pop3ctl("transform", "delete", "loud").exit_code == 6


def test_what_was_made_is_told(pop3ctl: Tool, service: Service) -> None:
    assert pop3ctl.ok("transform", "set", "lines", "wc", "-l") == (
        "lines@1 is wc -l, not active yet\n"
    )
    [made] = service.transforms.versions["lines"]
    assert (made.on_failure, made.note) == (ON_FAILURE_REFUSE, "")
    pop3ctl.ok("transform", "set", "--on-failure", "original", "lines", "wc")
    assert service.transforms.versions["lines"][1].on_failure == ON_FAILURE_ORIGINAL


@pytest.mark.attack(44, "pop3ctl")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((CHAIN,), CHAIN),
        (("sed 's/a  b/|;$(id)/' | tr a b",), "sed 's/a  b/|;$(id)/' | tr a b"),
        (("tr", "|", ";"), "tr '|' ';'"),
        (("tr", "a b", "it's"), "tr 'a b' 'it'\"'\"'s'"),
        (("echo", "$(id)", "`id`", "(x)", '"'), "echo '$(id)' '`id`' '(x)' '\"'"),
        (("wc", "--json"), "wc --json"),
        (("printf", "a\nb"), "printf 'a\nb'"),
    ],
)
def test_a_command_line_arrives_as_it_was_given(
    pop3ctl: Tool, service: Service, words: tuple[str, ...], line: str
) -> None:
    pop3ctl.ok("transform", "set", "odd", *words)
    assert service.transforms.versions["odd"][0].command_line == line


def test_a_blank_program_is_wrong_usage(pop3ctl: Tool) -> None:
    assert pop3ctl("transform", "set", "blank", "  ").exit_code == 2
    assert pop3ctl("transform", "set", "blank").exit_code == 2
