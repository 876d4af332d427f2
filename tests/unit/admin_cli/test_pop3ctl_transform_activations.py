from __future__ import annotations

import pytest

from pop3mgmt.v1 import transform_activations_pb2 as pb2
from pop3mgmt.v1.transforms_pb2 import ON_FAILURE_ORIGINAL, ON_FAILURE_REFUSE, Transform
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import MADE, Service
from unit.admin_cli.transform_activations import activation


def test_a_version_is_on_for_everyone_unless_more_is_said(pop3ctl: Tool, service: Service) -> None:
    assert pop3ctl.ok("transform", "activate", "banner") == "everyone: banner@2\n"
    assert service.activations.asked == [
        pb2.ActivateTransformRequest(name="banner", subject="everyone", mode=pb2.TRANSFORM_MODE_ON)
    ]


def test_a_canary_has_accounts_a_share_and_a_limit(pop3ctl: Tool, service: Service) -> None:
    words = ("banner@2", "--canary", "10%,ana,bob", "--limit", "0%", "--for", "role:user")
    told = pop3ctl.ok("transform", "activate", *words)
    assert told == "role:user: banner@1, canary banner@2\n"
    assert service.activations.asked == [
        pb2.ActivateTransformRequest(
            name="banner",
            version=2,
            subject="role:user",
            mode=pb2.TRANSFORM_MODE_CANARY,
            account_names=["ana", "bob"],
            share_percent=10,
            failure_limit_percent=0,
        )
    ]
    assert service.activations.asked[0].HasField("failure_limit_percent")


def test_mail_as_it_is_can_be_active_too(pop3ctl: Tool) -> None:
    assert pop3ctl.json("transform", "activate", "none")["transform"] is None
    assert pop3ctl.ok("transform", "activate", "none", "--shadow") == (
        "everyone: banner@1, shadow off\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("banner@x",),
        ("banner", "--canary", "5%,6%"),
        ("banner", "--canary", "5%", "--shadow"),
        ("banner", "--limit", "5%"),
        ("banner", "--canary", "5%", "--limit", "5"),
    ],
)
def test_what_says_nothing_sensible_is_wrong_usage(
    pop3ctl: Tool, service: Service, words: tuple[str, ...]
) -> None:
    assert pop3ctl("transform", "activate", *words).exit_code == 2
    assert service.activations.asked == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("wc", "-l"), "wc -l"),
        (("tr a-z A-Z",), "tr a-z A-Z"),
        (("sed", "s/a b/c/"), "sed 's/a b/c/'"),
        (("cat | tr a b",), "cat | tr a b"),
        (("tr", "|", "x"), "tr '|' x"),
        (("--json", "cat"), "cat"),
        (("cat", "--help"), "cat --help"),
    ],
)
def test_a_command_line_is_words_or_one_string(
    pop3ctl: Tool, service: Service, words: tuple[str, ...], line: str
) -> None:
    told = pop3ctl.ok("transform", "use", *words)
    assert "--json" in words or told == f"everyone: {line}\n"
    assert service.activations.asked == [
        pb2.UseCommandLineRequest(command_line=line, on_failure=ON_FAILURE_REFUSE)
    ]


def test_what_a_failure_means_comes_before_the_program(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("transform", "use", "--on-failure", "original", "wc", "--on-failure", "x")
    assert service.activations.asked == [
        pb2.UseCommandLineRequest(command_line="wc --on-failure x", on_failure=ON_FAILURE_ORIGINAL)
    ]


def test_a_blank_command_line_says_how_to_turn_it_off(pop3ctl: Tool) -> None:
    result = pop3ctl("transform", "use", "  ")
    assert result.exit_code == 2
    assert "transform off" in result.stderr


def test_a_rollback_tells_what_holds_now(pop3ctl: Tool, service: Service) -> None:
    assert pop3ctl.ok("transform", "rollback", "role:user") == "role:user: inherited\n"
    service.activations.active = [activation("everyone", pb2.TRANSFORM_MODE_ON)]
    assert pop3ctl.ok("transform", "rollback") == "everyone: banner@1\n"
    record = pop3ctl.json("transform", "rollback")
    assert record["rolled_back"]["transform"]["version"] == 2
    assert record["activation"]["transform"]["version"] == 1
    assert [it.subject for it in service.activations.asked] == ["role:user", "everyone", "everyone"]


def test_off_is_for_everyone_or_a_subject(pop3ctl: Tool, service: Service) -> None:
    assert pop3ctl.ok("transform", "off") == "everyone: off\n"
    assert pop3ctl.ok("transform", "off", "account:ana") == "account:ana: inherited\n"
    assert [it.subject for it in service.activations.asked] == ["everyone", "account:ana"]


@pytest.fixture
def canary(service: Service) -> pb2.TransformActivation:
    made = activation("everyone", pb2.TRANSFORM_MODE_CANARY)
    made.share_percent, made.failure_limit_percent = 10, 5
    made.account_names.append("ana")
    made.counts.run_count, made.counts.failure_count = 30, 1
    made.counts.last_failure = "it ended with status 1"
    made.counts.run_duration.FromMilliseconds(1500)
    service.activations.active = [made, activation("role:user", pb2.TRANSFORM_MODE_ON)]
    return made


def test_what_is_active_is_listed_as_a_table(
    pop3ctl: Tool, canary: pb2.TransformActivation
) -> None:
    result = pop3ctl("transform", "active")
    day = "2026-01-01 00:00:00"
    assert result.stdout.splitlines() == [
        "FOR        TRANSFORM  MODE            BEFORE    RUNS  FAILED  DIFFER  SET BY  SET",
        f"everyone   banner@2   canary 10%,ana  banner@1    30       1       0  admin   {day}",
        f"role:user  banner@2   on              banner@1     0       0       0  admin   {day}",
    ]
    assert result.stderr == "everyone: the last that failed: it ended with status 1\n"


def test_what_is_active_is_listed_as_json(pop3ctl: Tool, canary: pb2.TransformActivation) -> None:
    assert pop3ctl.json("transform", "active")[0] == {
        "id": 3,
        "subject": "everyone",
        "transform": {
            "name": "banner",
            "version": 2,
            "command_line": "cat -A",
            "on_failure": "refuse",
        },
        "mode": "canary",
        "former": {
            "name": "banner",
            "version": 1,
            "command_line": "cat",
            "on_failure": "refuse",
        },
        "inherits": False,
        "account_names": ["ana"],
        "share_percent": 10,
        "failure_limit_percent": 5,
        "run_count": 30,
        "failure_count": 1,
        "difference_count": 0,
        "skipped_count": 0,
        "run_seconds": 1.5,
        "last_failure": "it ended with status 1",
        "set_by": "admin",
        "set_time": "2026-01-01T00:00:00Z",
        "end_time": None,
        "end_reason": None,
        "ended_by": "",
    }


def test_a_long_command_line_is_cut_in_tables_alone(pop3ctl: Tool, service: Service) -> None:
    made = activation("everyone", pb2.TRANSFORM_MODE_ON)
    line = f"sed {'x' * 100}"
    made.transform.CopyFrom(Transform(version=7, command_line=line))
    service.activations.active = [made]
    row = pop3ctl.ok("transform", "active").splitlines()[1]
    assert row.split("  ")[1] == f"{line[:37]}..."
    assert pop3ctl.json("transform", "active")[0]["transform"]["command_line"] == line


def test_what_was_active_tells_when_and_why_it_ended(
    pop3ctl: Tool, service: Service, canary: pb2.TransformActivation
) -> None:
    canary.end_time.seconds = MADE + 60
    canary.end_reason, canary.ended_by = pb2.TRANSFORM_END_REASON_ROLLED_BACK, "admin"
    service.activations.active[0].CopyFrom(canary)
    result = pop3ctl("transform", "active", "--past", "--for", "everyone")
    assert result.stdout.splitlines()[1].endswith("2026-01-01 00:01:00  rolled back by admin")
    assert result.stderr == "7 older ones, of all subjects, are not kept\n"
    service.activations.active[0].end_reason = pb2.TRANSFORM_END_REASON_GIVEN_UP
    service.activations.active[0].ended_by = ""
    told = pop3ctl.ok("transform", "active", "--past").splitlines()[1]
    assert told.endswith("2026-01-01 00:01:00  given up: it ended with status 1")
    assert service.activations.asked[:1] == [
        pb2.ListTransformActivationsRequest(subject="everyone", include_past=True)
    ]
