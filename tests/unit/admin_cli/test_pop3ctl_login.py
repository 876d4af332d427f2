from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from admin_cli import tokens
from admin_cli.tokens import Token
from pop3mgmt.reasons import Reason
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import PASSWORD, TOKEN, Service

NO_TOKEN = {"POP3CTL_TOKEN": ""}
LOG_IN = {**NO_TOKEN, "POP3CTL_PASSWORD": PASSWORD}


def kept(pop3ctl: Tool) -> Path:
    (file,) = (pop3ctl.state / "valija").iterdir()
    return file


def test_a_login_is_kept_for_the_next_commands(pop3ctl: Tool, service: Service) -> None:
    said = pop3ctl.ok("login", "admin", **LOG_IN)
    assert said.startswith(f"logged in to {service.target} as admin until 2")
    assert '"admin"' in pop3ctl.ok("accounts", "list", "--json", **NO_TOKEN)
    assert service.logins == ["admin"]


def test_a_login_as_json_never_has_the_token(pop3ctl: Tool, service: Service) -> None:
    service.warnings = ["default password"]
    found = pop3ctl.json("login", "admin", **LOG_IN)
    assert found.keys() == {"target", "name", "role", "expire_time", "warnings"}
    assert (found["name"], found["role"]) == ("admin", "admin")
    assert found["warnings"] == ["default password"]
    assert "token-1" not in json.dumps(found)


def test_only_the_owner_can_read_a_kept_login(pop3ctl: Tool) -> None:
    before = os.umask(0)
    try:
        pop3ctl.ok("login", "admin", **LOG_IN)
    finally:
        os.umask(before)
    file = kept(pop3ctl)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_each_target_has_its_own_login(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("login", "admin", **LOG_IN)
    port = service.target.rpartition(":")[2]
    result = pop3ctl("--target", f"localhost:{port}", "status", **NO_TOKEN)
    assert result.exit_code == 4
    assert result.stderr == f"pop3ctl: not logged in to localhost:{port}; run 'pop3ctl login'\n"


def test_without_a_state_variable_the_login_is_kept_at_home(
    pop3ctl: Tool, tmp_path: Path, service: Service
) -> None:
    pop3ctl.ok("login", "admin", **LOG_IN, XDG_STATE_HOME="", HOME=str(tmp_path))
    assert len(list((tmp_path / ".local/state/valija").iterdir())) == 1


def test_logout_ends_and_forgets_the_login(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("login", "admin", **LOG_IN)
    assert pop3ctl.ok("logout", **NO_TOKEN) == f"logged out of {service.target}\n"
    assert service.tokens == {TOKEN}
    assert list((pop3ctl.state / "valija").iterdir()) == []
    assert pop3ctl("status", **NO_TOKEN).exit_code == 4
    assert pop3ctl.json("logout", **NO_TOKEN) == {"target": service.target, "logged_out": False}


def test_logout_forgets_a_login_that_the_service_has_ended(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("login", "admin", **LOG_IN)
    service.tokens.clear()
    pop3ctl.ok("logout", **NO_TOKEN)
    assert list((pop3ctl.state / "valija").iterdir()) == []


def test_a_wrong_password_does_not_say_to_log_in(pop3ctl: Tool) -> None:
    result = pop3ctl("login", "admin", **{**LOG_IN, "POP3CTL_PASSWORD": "wrong"})
    assert result.exit_code == 4
    assert "check the name and the password" in result.stderr
    assert not (pop3ctl.state / "valija").exists()


def test_a_login_that_ended_says_to_log_in(pop3ctl: Tool, service: Service) -> None:
    result = pop3ctl("status", POP3CTL_TOKEN="old")
    assert result.exit_code == 4
    assert "run 'pop3ctl login'" in result.stderr


def test_a_token_file_of_ones_own_is_used(pop3ctl: Tool, tmp_path: Path) -> None:
    file = str(tmp_path / "token")
    pop3ctl.ok("--token-file", file, "login", "admin", **LOG_IN)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    pop3ctl.ok("status", **NO_TOKEN, POP3CTL_TOKEN_FILE=file)
    pop3ctl.ok("--token-file", file, "logout", **NO_TOKEN)
    assert not os.path.exists(file)


def test_a_bare_token_in_a_file_is_used(pop3ctl: Tool, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    pop3ctl.ok("--token-file", str(tmp_path / "token"), "status", **NO_TOKEN)


def test_a_token_and_a_token_file_are_one_too_many(pop3ctl: Tool, tmp_path: Path) -> None:
    assert pop3ctl("--token-file", str(tmp_path / "token"), "status").exit_code == 2


@pytest.mark.parametrize("content", [b"{", b'{"token": 1}', b"[]\xff", b'{"token":"a"'])
def test_a_damaged_token_file_says_to_log_in(pop3ctl: Tool, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    result = pop3ctl("--token-file", str(tmp_path / "token"), "status", **NO_TOKEN)
    assert result.exit_code == 4
    assert "damaged; run 'pop3ctl login'" in result.stderr


def test_a_token_is_renewed_once_half_of_its_life_is_over(
    pop3ctl: Tool, service: Service, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    file = tmp_path / "token"
    old = Token(TOKEN, "admin", now + timedelta(minutes=10), now - timedelta(minutes=1))
    tokens.save(file, old)
    pop3ctl.ok("--token-file", str(file), "status", **NO_TOKEN)
    pop3ctl.ok("--token-file", str(file), "status", **NO_TOKEN)
    assert service.renewals == 1
    renewed = tokens.load(file)
    assert renewed is not None
    assert renewed.text == TOKEN
    assert not renewed.renewal_due


def test_an_expired_login_is_no_login(pop3ctl: Tool, service: Service) -> None:
    service.token_life_s = -1
    pop3ctl.ok("login", "admin", **LOG_IN)
    result = pop3ctl("status", **NO_TOKEN)
    assert result.exit_code == 4
    assert "not logged in" in result.stderr


def test_a_name_and_a_password_log_in_for_one_command(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("status", **LOG_IN, POP3CTL_USER="admin")
    assert service.logins == ["admin"]
    assert service.tokens == {TOKEN}
    assert not (pop3ctl.state / "valija").exists()


def test_a_login_for_one_command_ends_when_the_command_fails(
    pop3ctl: Tool, service: Service
) -> None:
    words = ("accounts", "reset-password", "nobody")
    assert pop3ctl(*words, **LOG_IN, POP3CTL_USER="admin").exit_code == 6
    assert service.tokens == {TOKEN}


def test_a_name_without_a_password_is_wrong_usage(pop3ctl: Tool) -> None:
    result = pop3ctl("status", **NO_TOKEN, POP3CTL_USER="admin")
    assert result.exit_code == 2
    assert "POP3CTL_PASSWORD_FILE" in result.stderr


def test_a_kept_login_goes_before_the_environment(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("login", "admin", **LOG_IN)
    pop3ctl.ok("status", **LOG_IN, POP3CTL_USER="admin")
    assert service.logins == ["admin"]


def test_a_token_file_that_cannot_be_written_is_told(pop3ctl: Tool, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = str(tmp_path / "file" / "token")
    result = pop3ctl("--token-file", file, "login", "admin", **LOG_IN)
    assert result.exit_code == 2
    assert result.stderr.startswith("pop3ctl: ")


def test_the_secrets_of_a_login_do_not_print() -> None:
    assert TOKEN not in repr(Token(TOKEN, "admin"))


def test_logout_keeps_the_login_while_the_service_is_away(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("login", "admin", **LOG_IN)
    service.refusal = Reason.SERVICE_UNAVAILABLE
    assert pop3ctl("logout", **NO_TOKEN).exit_code == 10
    assert kept(pop3ctl).exists()


def test_logout_ends_the_token_of_the_environment(pop3ctl: Tool, service: Service) -> None:
    pop3ctl.ok("login", "admin", **LOG_IN)
    pop3ctl.ok("logout")
    assert service.tokens == {"token-1"}
    assert kept(pop3ctl).exists()


def test_a_token_that_cannot_be_kept_again_still_serves(
    pop3ctl: Tool, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    old = Token(TOKEN, "admin", now + timedelta(minutes=10), now - timedelta(minutes=1))
    tokens.save(tmp_path / "token", old)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    pop3ctl.ok("--token-file", str(tmp_path / "token"), "status", **NO_TOKEN)
    assert tokens.load(tmp_path / "token") == old
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_login_under_another_one_is_told(pop3ctl: Tool) -> None:
    result = pop3ctl("login", "admin", POP3CTL_PASSWORD=PASSWORD)
    assert result.exit_code == 0
    assert "POP3CTL_TOKEN is set" in result.stderr
