from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest

from admin_cli.output import show_octets
from pop3mgmt.calls.base import CHUNK
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service

LETTER = b"Subject: hi\r\n\r\n.\r\n\x00\xff\n"


@pytest.fixture
def letter(service: Service) -> str:
    service.mail["alice"] = {"1767225600.M1": LETTER}
    return "1767225600.M1"


def test_messages_are_listed_as_a_table(pop3ctl: Tool, letter: str) -> None:
    assert pop3ctl.ok("maildrop", "list", "alice").splitlines() == [
        "NUMBER  UIDL           SIZE  DELIVERED",
        "     1  1767225600.M1  21 B  2026-01-01 00:00:00",
    ]


def test_the_own_messages_are_listed_as_json(pop3ctl: Tool, letter: str) -> None:
    assert pop3ctl.json("maildrop", "list") == [
        {
            "number": 1,
            "uidl": letter,
            "size_bytes": len(LETTER),
            "deliver_time": "2026-01-01T00:00:00Z",
        }
    ]


def test_a_file_is_stored_octet_by_octet(pop3ctl: Tool, service: Service, tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(LETTER)
    said = pop3ctl.ok("maildrop", "put", "bob", str(tmp_path / "letter"))
    assert said == 'stored 21 B for "bob" as 1767225600.M1\n'
    assert service.mail["bob"] == {"1767225600.M1": LETTER}


def test_stdin_is_stored_in_many_pieces(pop3ctl: Tool, service: Service) -> None:
    large = bytes(range(256)) * (CHUNK // 100)
    result = pop3ctl("--json", "maildrop", "put", "bob", stdin=large)
    assert result.exit_code == 0
    assert service.mail["bob"] == {"1767225600.M1": large}


def test_a_file_that_is_not_there_is_wrong_usage(pop3ctl: Tool, tmp_path: Path) -> None:
    assert pop3ctl("maildrop", "put", "bob", str(tmp_path / "none")).exit_code == 2


@pytest.mark.parametrize("which", ["1", "1767225600.M1"])
def test_a_message_is_shown_octet_by_octet(pop3ctl: Tool, letter: str, which: str) -> None:
    result = pop3ctl("maildrop", "show", "alice", which)
    assert result.exit_code == 0
    assert result.stdout_bytes == LETTER


def test_a_message_is_shown_as_json(pop3ctl: Tool, letter: str) -> None:
    shown = pop3ctl.json("maildrop", "show", "alice", "1")
    assert base64.b64decode(shown["content_base64"]) == LETTER


def test_digits_can_be_a_uidl(pop3ctl: Tool, service: Service) -> None:
    service.mail["alice"] = {"100": b"a", "200": b"b"}
    assert pop3ctl.ok("maildrop", "show", "alice", "2") == "b"
    assert pop3ctl.ok("maildrop", "show", "alice", "100") == "a"


@pytest.mark.parametrize("which", ["2", "nothing"])
def test_a_message_that_is_not_there_is_not_found(pop3ctl: Tool, letter: str, which: str) -> None:
    result = pop3ctl("maildrop", "show", "alice", which)
    assert result.exit_code == 6
    assert "maildrop list" in result.stderr


def test_on_a_terminal_a_message_cannot_steer_it(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", screen)
    show_octets([b"a\tb\r\n\x1b[2", b"J\xff \xc3", b"\xa9"])
    assert screen.getvalue() == "a\tb\n\\x1b[2J\\xff é\n"
