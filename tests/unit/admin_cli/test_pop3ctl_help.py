from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from admin_cli import __version__
from admin_cli.commands import Command
from admin_cli.errors import HINTS
from admin_cli.main import COMMANDS, ENVIRONMENT, cli
from unit.admin_cli.conftest import Tool
from unit.admin_cli.service import TOKEN

README = Path(__file__).parents[3] / "admin-cli" / "README.md"


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, lazy in COMMANDS.items():
        loaded = lazy.load()
        if isinstance(loaded, click.Group):
            found += [(name, child) for child in sorted(loaded.commands)]
        else:
            found.append((name,))
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_help_with_examples(pop3ctl: Tool, words: tuple[str, ...]) -> None:
    said = pop3ctl.ok(*words, "--help")
    assert "\nExamples:\n" in said
    examples = said.partition("\nExamples:\n")[2].splitlines()
    assert any(" ".join(("pop3ctl", *words)) in line for line in examples) or words == ("login",)
    assert "--json" in said


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS), *commands()], ids=" ".join)
def test_help_is_whole_on_a_terminal_of_80_columns(
    pop3ctl: Tool, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for line in pop3ctl.ok(*words, "--help").splitlines():
        assert len(line) <= 80, line
        assert not line.endswith("...") or "Usage:" in line, "a sentence is cut"


def test_every_option_says_what_it_is_for() -> None:
    for words in commands():
        found = COMMANDS[words[0]].load()
        command = found.commands[words[1]] if isinstance(found, click.Group) else found
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, (words, option.name)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_lazy_table_is_true(name: str) -> None:
    loaded = COMMANDS[name].load()
    assert loaded.name == name
    if not isinstance(loaded, click.Group):
        assert isinstance(loaded, Command)


def test_the_readme_shows_every_command_and_variable() -> None:
    readme = README.read_text(encoding="utf-8")
    for words in commands():
        assert " ".join(("pop3ctl", *words)) in readme
    for name in ENVIRONMENT:
        assert name.removesuffix("[_FILE]") in readme


def test_the_readme_shows_no_command_and_no_variable_that_there_is_not() -> None:
    readme = README.read_text(encoding="utf-8")
    there = [" ".join(words) for words in commands()]
    for row in re.findall(r"^\| `pop3ctl ([a-z -]+)", readme, re.MULTILINE):
        assert row.strip().startswith(tuple(there)), row
    variables = {name.removesuffix("[_FILE]") for name in ENVIRONMENT}
    for name in re.findall(r"POP3CTL_[A-Z_]+", readme):
        assert name in variables or name.removesuffix("_FILE") in variables, name


def test_a_hint_names_commands_that_there_are() -> None:
    named = [hint.split("'pop3ctl ")[1] for hint in HINTS.values() if "'pop3ctl " in hint]
    there = [" ".join(words) for words in commands()]
    assert named
    for hint in named:
        assert hint.partition("'")[0].startswith(tuple(there))


def test_the_version_is_the_distributions(pop3ctl: Tool) -> None:
    assert pop3ctl.ok("--version") == f"pop3ctl {__version__}\n"
    assert version("admin-cli") == __version__


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["accounts", "add", "--help"]])
def test_help_imports_no_more_than_it_needs(words: list[str]) -> None:
    program = (
        "import sys\n"
        "from admin_cli.main import main\n"
        f"sys.argv = ['pop3ctl', *{words!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print(*sorted(sys.modules), sep='\\n', file=sys.stderr)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0
    loaded = set(run.stderr.splitlines())
    assert "admin_cli.main" in loaded
    heavy = {"grpc", "asyncio", "google.protobuf", "pop3mgmt.client", "importlib.metadata"}
    assert loaded & heavy == set()
    if len(words) == 1:
        nouns = {lazy.where.partition(":")[0] for lazy in COMMANDS.values()}
        assert loaded & nouns == set()


def test_a_call_loads_no_other_noun(pop3ctl: Tool) -> None:
    program = (
        "import sys\n"
        "from admin_cli.main import main\n"
        "sys.argv = ['pop3ctl', 'accounts', 'list']\n"
        "try:\n    main()\n"
        "finally:\n    print(*sorted(sys.modules), sep='\\n', file=sys.stderr)\n"
    )
    kept = {name: value for name, value in pop3ctl.environment.items() if value}
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**kept, "POP3CTL_TOKEN": TOKEN},
    )
    assert run.returncode == 0
    loaded = set(run.stderr.splitlines())
    assert {"grpc", "admin_cli.accounts"} <= loaded
    assert loaded & {"admin_cli.sessions", "admin_cli.server", "admin_cli.maildrop"} == set()


@pytest.mark.parametrize(
    ("shell", "word"),
    [("bash", "complete -o"), ("zsh", "#compdef pop3ctl"), ("fish", "complete --no-files")],
)
def test_completion_is_printed(pop3ctl: Tool, shell: str, word: str) -> None:
    script = pop3ctl.ok("completion", shell)
    assert word in script
    assert "_POP3CTL_COMPLETE" in script


@pytest.mark.parametrize(
    ("line", "at", "expected"),
    [
        ("pop3ctl acc", 1, {"plain,accounts"}),
        ("pop3ctl accounts res", 2, {"plain,reset-password", "plain,resume"}),
        (
            "pop3ctl accounts add --role ",
            4,
            {f"plain,{it}" for it in ("user", "auditor", "operator", "admin")},
        ),
    ],
)
def test_completion_completes(line: str, at: int, expected: set[str]) -> None:
    run = subprocess.run(
        [Path(sys.executable).with_name("pop3ctl")],
        capture_output=True,
        text=True,
        env={"_POP3CTL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(at)},
    )
    assert set(run.stdout.splitlines()) == expected


def test_nothing_is_named_that_does_not_exist() -> None:
    assert cli.get_command(click.Context(cli), "nothing") is None
