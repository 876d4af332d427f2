from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pop3mgmt.calls.transforms import MAX_MESSAGE
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.transforms_pb2 import (
    ON_FAILURE_ORIGINAL,
    ON_FAILURE_REFUSE,
    StoredMessage,
    TransformProgramReport,
    TransformVersion,
)
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service
from unit.admin_cli.transforms import chunk, report

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


def test_a_history_says_how_much_of_it_is_not_kept(
    pop3ctl: Tool, service: Service, loud: None
) -> None:
    assert pop3ctl("transform", "history", "loud").stderr == ""
    service.transforms.removed = 3
    assert pop3ctl("transform", "history", "loud").stderr == "3 older versions are not kept\n"
    assert pop3ctl("transform", "history", "loud", "--json").stderr == ""


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


# --- tests ---


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.eml"
    path.write_bytes(b"A: b\n\nc\n")
    return path


def test_the_result_is_all_of_stdout(pop3ctl: Tool, service: Service, letter: Path) -> None:
    service.transforms.parts = [report(result_bytes=9), chunk(b"A: B\r\n"), chunk(b"\r\n\xff\0")]
    ended = pop3ctl("transform", "test", "loud@2", "--message", str(letter))
    assert (ended.exit_code, ended.stdout_bytes) == (0, b"A: B\r\n\r\n\xff\0")
    assert ended.stderr == (
        "message: 2.0 KiB became 9 B in 0.012 s (CPU 0.008 s, memory 3.0 MiB)\n"
    )
    [asked] = service.transforms.tested
    assert asked.transform == TransformVersion(name="loud", version=2)
    assert asked.message == b"A: b\n\nc\n"


def test_the_result_goes_to_a_file(
    pop3ctl: Tool, service: Service, letter: Path, tmp_path: Path
) -> None:
    large = bytes(range(256)) * 8192
    service.transforms.parts = [
        report(result_bytes=len(large)),
        *(chunk(large[at : at + 65536]) for at in range(0, len(large), 65536)),
    ]
    file = tmp_path / "result.eml"
    words = ("transform", "test", "--run", CHAIN, "--message", "-", "--output", str(file))
    said = pop3ctl.ok(*words, stdin=b"A: b\n\nc\n")
    assert said == "message: 2.0 KiB became 2.0 MiB in 0.012 s (CPU 0.008 s, memory 3.0 MiB)\n"
    assert file.read_bytes() == large
    [asked] = service.transforms.tested
    assert (asked.command_line, asked.message) == (CHAIN, b"A: b\n\nc\n")


def test_a_message_of_an_account_is_named(pop3ctl: Tool, service: Service) -> None:
    service.transforms.parts = [report()]
    pop3ctl.ok("transform", "test", "loud", "--account", "alice", "--uidl", "1.M1")
    pop3ctl.ok("transform", "test", "loud", "--uidl", "1.M1")
    assert [it.stored_message for it in service.transforms.tested] == [
        StoredMessage(account_name="alice", uidl="1.M1"),
        StoredMessage(uidl="1.M1"),
    ]


def test_samples_are_told_one_by_one(pop3ctl: Tool, service: Service) -> None:
    service.transforms.parts = [
        report(sample_name="plain", result_bytes=3), chunk(b"a\r\n"),
        report(sample_name="html", result_bytes=3), chunk(b"b\r\n"),
    ]  # fmt: skip
    ended = pop3ctl("transform", "test", "loud")
    assert ended.stdout_bytes == b"--- sample:plain\na\r\n--- sample:html\nb\r\n"
    assert [it.split(":")[:2] for it in ended.stderr.splitlines()] == [
        ["sample", "plain"],
        ["sample", "html"],
    ]
    [asked] = service.transforms.tested
    assert asked.WhichOneof("on") is None


def test_a_test_as_json(pop3ctl: Tool, service: Service, letter: Path) -> None:
    service.transforms.parts = [report(result_bytes=3), chunk(b"a\r\n")]
    assert pop3ctl.json("transform", "test", "loud", "--message", str(letter)) == {
        "works": True,
        "messages": [
            {
                "sample_name": "",
                "has_failed": False,
                "failure_text": "",
                "message_bytes": 2048,
                "result_bytes": 3,
                "run_seconds": 0.012,
                "cpu_seconds": 0.008,
                "peak_memory_bytes": 3 << 20,
                "programs": [{"program": "tr", "exit_status": 0, "signal": None}],
                "error_text": "",
                "content_base64": base64.b64encode(b"a\r\n").decode(),
            }
        ],
    }


def test_a_failure_is_told_and_is_the_exit_code(
    pop3ctl: Tool, service: Service, letter: Path, tmp_path: Path
) -> None:
    service.transforms.parts = [
        report(
            has_failed=True,
            failure_text="sed ended with status 1",
            programs=[TransformProgramReport(program="sed", exit_status=1)],
            error_text="sed: bad\x1b[2J\nmore\n",
        )
    ]
    file = tmp_path / "result.eml"
    for more in ((), ("--output", str(file))):
        ended = pop3ctl("transform", "test", "loud", "--message", str(letter), *more)
        assert ended.exit_code == 10
        assert (
            "  1 tr: status 0\n  2 sed: status 1\n  error output: sed: bad\\x1b[2J\n"
            in ended.output
        )
        assert ended.stderr.endswith("pop3ctl: message: sed ended with status 1\n")
    assert not file.exists()
    as_json = pop3ctl("transform", "test", "loud", "--message", str(letter), "--json")
    assert as_json.exit_code == 10
    assert '"works": false' in as_json.stdout
    assert Reason.TRANSFORM_FAILED in as_json.stderr


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("loud", "--run", "wc"),
        ("loud", "--account", "alice"),
        ("loud", "--message", "{letter}", "--uidl", "1.M1"),
        ("loud", "--output", "x"),
        ("loud", "--message", "/none/such"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(
    pop3ctl: Tool, service: Service, letter: Path, words: tuple[str, ...]
) -> None:
    given = [word.format(letter=letter) for word in words]
    assert pop3ctl("transform", "test", *given).exit_code == 2
    assert service.transforms.tested == []


def test_a_message_that_is_too_large_is_not_sent(
    pop3ctl: Tool, service: Service, letter: Path
) -> None:
    letter.write_bytes(bytes(MAX_MESSAGE + 1))
    ended = pop3ctl("transform", "test", "loud", "--message", str(letter))
    assert ended.exit_code == 2
    assert "--message takes 3.0 MiB; put a larger one into a maildrop" in ended.stderr
    assert service.transforms.tested == []
