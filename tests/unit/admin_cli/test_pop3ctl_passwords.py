from __future__ import annotations

from pathlib import Path

import click
import pytest

from admin_cli.main import COMMANDS, cli
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import Service

ADD = ("accounts", "add", "alice")


def walk(command: click.Command) -> list[click.Command]:
    if not isinstance(command, click.Group):
        return [command]
    context = click.Context(command)
    children = (command.get_command(context, name) for name in command.list_commands(context))
    return [command, *(found for child in children if child for found in walk(child))]


def test_no_option_takes_a_password_or_a_token() -> None:
    for command in walk(cli):
        for option in command.params:
            takes_value = isinstance(option, click.Option) and not option.is_flag
            names = " ".join(option.opts)
            if takes_value and ("password" in names or "token" in names):
                assert names.endswith("-file"), f"{command.name} {names}"
    assert set(COMMANDS) == set(cli.list_commands(click.Context(cli)))


@pytest.mark.parametrize(
    ("given", "password"),
    [
        ("secret\n", "secret"),
        ("secret\r\n", "secret"),
        ("secret\n\n", "secret\n"),
        ("  s e c \n", "  s e c "),
        ("pässword", "pässword"),
    ],
)
def test_one_trailing_newline_is_not_part_of_a_password(
    pop3ctl: Tool, service: Service, tmp_path: Path, given: str, password: str
) -> None:
    pop3ctl.ok(*ADD, "--password-stdin", stdin=given.encode())
    assert service.passwords.pop("alice") == password
    del service.accounts["alice"]
    (tmp_path / "secret").write_bytes(given.encode())
    pop3ctl.ok(*ADD, "--password-file", str(tmp_path / "secret"))
    assert service.passwords.pop("alice") == password
    del service.accounts["alice"]
    pop3ctl.ok(*ADD, POP3CTL_NEW_PASSWORD_FILE=str(tmp_path / "secret"))
    assert service.passwords["alice"] == password


def test_two_sources_are_wrong_usage(pop3ctl: Tool, service: Service, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    file = str(tmp_path / "secret")
    for words, variables in [
        (["--password-stdin", "--password-file", file], {}),
        (["--password-stdin"], {"POP3CTL_NEW_PASSWORD": "x"}),
        (["--password-file", file], {"POP3CTL_NEW_PASSWORD_FILE": file}),
        ([], {"POP3CTL_NEW_PASSWORD": "x", "POP3CTL_NEW_PASSWORD_FILE": file}),
    ]:
        result = pop3ctl(*ADD, *words, stdin="x", **variables)
        assert result.exit_code == 2
        assert "more than one password source" in result.stderr
    assert "alice" not in service.accounts


def test_without_a_terminal_nothing_is_asked(pop3ctl: Tool) -> None:
    result = pop3ctl(*ADD, stdin="secret\nsecret\n")
    assert result.exit_code == 2
    for way in ("--password-stdin", "--password-file", "POP3CTL_NEW_PASSWORD_FILE"):
        assert way in result.stderr
    assert pop3ctl("login", "admin").exit_code == 2
    assert pop3ctl("login").exit_code == 2


@pytest.mark.parametrize("octets", [b"", b"\n", b"\xff\n"])
def test_what_cannot_be_a_password_is_wrong_usage(pop3ctl: Tool, octets: bytes) -> None:
    assert pop3ctl(*ADD, "--password-stdin", stdin=octets).exit_code == 2


def test_a_password_file_that_is_not_there_is_told(pop3ctl: Tool, tmp_path: Path) -> None:
    result = pop3ctl(*ADD, "--password-file", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "No such file" in result.stderr


def test_at_a_terminal_a_new_password_is_asked_for_twice(
    pop3ctl: Tool, service: Service, at_terminal
) -> None:
    at_terminal()
    result = pop3ctl(*ADD, stdin="secret\nother\nsecret\nsecret\n")
    assert result.exit_code == 0
    assert service.passwords["alice"] == "secret"
    assert "secret" not in result.output


def test_at_a_terminal_login_asks_for_name_and_password(
    pop3ctl: Tool, service: Service, at_terminal
) -> None:
    at_terminal()
    assert pop3ctl("login", stdin="admin\npässword\n".encode()).exit_code == 0
    assert service.logins == ["admin"]
