"""pop3ctl as a process of its own: pipes, signals, a terminal and none."""

from __future__ import annotations

import json
import os
import pty
import signal

import pytest

from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import PASSWORD, Service

WAIT_S = 60


def test_a_command_runs_as_a_process(pop3ctl: Tool) -> None:
    process = pop3ctl.start("accounts", "list", "--json")
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (0, b"")
    assert json.loads(out)[0]["name"] == "admin"


def test_a_login_without_a_terminal_does_not_wait(pop3ctl: Tool) -> None:
    process = pop3ctl.start("login", "admin", variables={})
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 2
    assert b"--password-stdin" in err


def test_a_message_goes_through_pipes_unchanged(pop3ctl: Tool, service: Service) -> None:
    octets = bytes(range(256)) * 300
    put = pop3ctl.start("maildrop", "put", "alice", stdin=-1)
    put.communicate(octets, timeout=WAIT_S)
    assert put.returncode == 0
    show = pop3ctl.start("maildrop", "show", "alice", "1")
    out, err = show.communicate(timeout=WAIT_S)
    assert (show.returncode, out, err) == (0, octets, b"")


def test_ctrl_c_ends_a_watch_quietly(pop3ctl: Tool, service: Service) -> None:
    service.stays_open = True
    process = pop3ctl.start("sessions", "watch", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["kind"] == "watching"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
    assert err.strip() == b""


@pytest.mark.parametrize(
    "words",
    [["--help"], ["accounts", "list"], ["status", "--watch"], ["maildrop", "show", "a", "m"]],
)
def test_a_closed_pipe_ends_quietly(pop3ctl: Tool, service: Service, words: list[str]) -> None:
    service.mail["a"] = {"m": b"x" * 300_000}
    reader, writer = os.pipe()
    os.close(reader)
    process = pop3ctl.start(*words, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (130, b"")


def test_a_password_is_typed_unseen_at_a_terminal(pop3ctl: Tool, service: Service) -> None:
    ours, theirs = pty.openpty()
    process = pop3ctl.start(
        "login", "admin", variables={}, stdin=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    seen = b""
    while b"Password:" not in seen:
        seen += os.read(ours, 1024)
    os.write(ours, PASSWORD.encode() + b"\n")
    out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert out.startswith(b"logged in to ")
    assert PASSWORD.encode() not in seen + os.read(ours, 1024)
    os.close(ours)


def test_the_terminals_encoding_does_not_matter(pop3ctl: Tool, service: Service) -> None:
    service.accounts["日本"] = service.accounts.pop("admin")
    service.accounts["日本"].name = "日本"
    variables = {"POP3CTL_TOKEN": "token-of-admin", "PYTHONIOENCODING": "latin-1"}
    process = pop3ctl.start("accounts", "list", variables=variables)
    out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert rb"\u65e5\u672c" in out


def test_a_message_is_not_awaited_from_a_terminal(pop3ctl: Tool) -> None:
    ours, theirs = pty.openpty()
    process = pop3ctl.start("maildrop", "put", "alice", stdin=theirs)
    _, err = process.communicate(timeout=WAIT_S)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 2
    assert b"stdin is a terminal" in err
