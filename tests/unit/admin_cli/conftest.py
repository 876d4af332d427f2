from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from admin_cli.main import cli
from unit.admin_cli.service import TOKEN, Service


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


@dataclass(frozen=True)
class Tool:
    """pop3ctl as a user has it: a target, a state directory, an environment."""

    state: Path
    environment: dict[str, str | None]

    def __call__(self, *words: str, stdin: str | bytes | None = None, **variables: str) -> Result:
        """Run it in this process; logged in unless POP3CTL_TOKEN is given empty."""
        env = {"POP3CTL_TOKEN": TOKEN, **self.environment, **variables}
        return CliRunner().invoke(cli, list(words), input=stdin, env=env)

    def ok(self, *words: str, stdin: str | bytes | None = None, **variables: str) -> str:
        result = self(*words, stdin=stdin, **variables)
        assert (result.exit_code, result.exception) == (0, None), result.output
        return result.stdout

    def json(self, *words: str, **variables: str) -> Any:
        return json.loads(self.ok(*words, "--json", **variables))

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Run it as a process of its own, without a terminal unless one is given."""
        kept = {name: value for name, value in self.environment.items() if value is not None}
        variables = options.pop("variables", {"POP3CTL_TOKEN": TOKEN})
        clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        program = Path(sys.executable).with_name("pop3ctl")
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **options,
        }
        return subprocess.Popen([program, *words], env={**clean, **kept, **variables}, **options)


@pytest.fixture
def pop3ctl(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Tool:
    for name in list(os.environ):
        if name.startswith("POP3CTL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    state = tmp_path / "state"
    return Tool(state, {"POP3CTL_TARGET": service.target, "XDG_STATE_HOME": str(state)})


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the commands believe that a person can answer."""

    def sit_down() -> None:
        for module in ("accounts", "login", "passwords"):
            monkeypatch.setattr(f"admin_cli.{module}.at_terminal", lambda: True)

    return sit_down
