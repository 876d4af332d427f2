from __future__ import annotations

import json

import pytest

from pop3mgmt.v1.sessions_pb2 import SessionEvent
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import MADE, Service, event, session


def test_sessions_are_listed_as_a_table(pop3ctl: Tool, service: Service) -> None:
    service.sessions.append(session("8", "[2001:db8::1]:51000", ""))
    assert pop3ctl.ok("sessions", "list").splitlines() == [
        "ID  PEER                 ACCOUNT  CONNECTED             IDLE  MESSAGES     SENT",
        "7   192.0.2.1:51000      alice    2026-01-01 00:00:00  1m30s         3  2.0 KiB",
        "8   [2001:db8::1]:51000  -        2026-01-01 00:00:00  1m30s         3  2.0 KiB",
    ]


def test_sessions_of_one_account_are_listed_as_json(pop3ctl: Tool, service: Service) -> None:
    service.sessions.append(session("8", "192.0.2.2:1", "bob"))
    assert pop3ctl.json("sessions", "list", "--account", "alice") == [
        {
            "id": "7",
            "peer": "192.0.2.1:51000",
            "account_name": "alice",
            "connect_time": "2026-01-01T00:00:00Z",
            "sent_bytes": 2048,
            "sent_message_count": 3,
            "idle_seconds": 90,
        }
    ]


@pytest.fixture
def watched(service: Service) -> Service:
    one = service.sessions[0]
    service.events = [
        event(SessionEvent.KIND_LOGGED_IN, one),
        event(SessionEvent.KIND_ENDED, one, skipped=4),
    ]
    return service


def test_events_are_table_lines(pop3ctl: Tool, watched: Service) -> None:
    result = pop3ctl("sessions", "watch")
    header, login, ended = result.stdout.splitlines()
    assert header.split() == ["TIME", "EVENT", "ID", "PEER", "ACCOUNT", "MESSAGES", "SENT"]
    assert login.startswith("2026-01-01 00:00:00  logged in  7             192.0.2.1:51000")
    assert ended.startswith("2026-01-01 00:00:00  ended      7")
    assert result.stderr.splitlines() == [
        "watching sessions; Ctrl-C ends it",
        "events left out: 4",
    ]


def test_events_are_one_json_object_a_line(pop3ctl: Tool, watched: Service) -> None:
    lines = [json.loads(line) for line in pop3ctl.ok("--json", "sessions", "watch").splitlines()]
    assert [line["kind"] for line in lines] == ["watching", "logged_in", "ended"]
    assert [line["skipped_count"] for line in lines] == [0, 0, 4]
    assert {tuple(sorted(line)) for line in lines} == {
        ("event_time", "kind", "session", "skipped_count", "text")
    }
    assert lines[1]["session"]["peer"] == "192.0.2.1:51000"


def test_a_rollback_is_told_among_the_sessions_and_is_about_none(
    pop3ctl: Tool, watched: Service
) -> None:
    told = SessionEvent(kind=SessionEvent.KIND_TRANSFORM_ROLLED_BACK, text="banner@2 for everyone")
    told.event_time.seconds = MADE
    watched.events.insert(0, told)
    rollback, header, *_ = pop3ctl.ok("sessions", "watch").splitlines()
    assert rollback == "2026-01-01 00:00:00  transform rolled back  banner@2 for everyone"
    assert header.startswith("TIME ")
    line = json.loads(pop3ctl.ok("--json", "sessions", "watch").splitlines()[1])
    assert (line["kind"], line["session"], line["text"]) == (
        "transform_rolled_back",
        None,
        "banner@2 for everyone",
    )


def test_one_session_is_ended(pop3ctl: Tool, service: Service) -> None:
    assert pop3ctl.ok("sessions", "disconnect", "7") == "sessions ended: 1\n"
    assert service.sessions == []


def test_all_sessions_of_an_account_are_ended(pop3ctl: Tool) -> None:
    assert pop3ctl.json("sessions", "disconnect", "--account", "alice") == {
        "session_id": None,
        "account_name": "alice",
        "ended_session_count": 1,
    }


def test_an_unknown_session_is_not_found(pop3ctl: Tool) -> None:
    assert pop3ctl("sessions", "disconnect", "99").exit_code == 6


@pytest.mark.parametrize("words", [[], ["7", "--account", "alice"]])
def test_ending_needs_exactly_one_way_to_say_which(pop3ctl: Tool, words: list[str]) -> None:
    assert pop3ctl("sessions", "disconnect", *words).exit_code == 2
