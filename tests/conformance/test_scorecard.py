"""The scorecard on the real service: every MUST, SHOULD and hostile rule is kept."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from component.conftest import Service
from conformance.scorecard.card import BINDING, Result, exit_status, play
from conformance.scorecard.catalogue import RULES
from conformance.scorecard.mail import Maildir, letter
from conformance.scorecard.probe import Target
from conformance.scorecard.rules import Verdict
from support import daemon
from support.certificates import authority

TESTS = Path(__file__).parents[1]
PASSWORD = "two  blanks inside"

NOT_OFFERED = {
    "the greeting has no timestamp for APOP",
    "CAPA does not name LOGIN-DELAY",
    # What is offered, where the rule is about a server without it:
    "there are response codes",
    "AUTH-RESP-CODE is announced",
    "a message that vanished brings no SYS code",
}
"""Why rules are passed over, by default but with SCRAM; nothing else may be a reason."""


@contextlib.contextmanager
def served(folder: Path, workers: int, **more: str) -> Iterator[Target]:
    """The real service with an account whose Maildir the scorecard may fill."""
    chain, key = authority().issue("pop.test").write(folder / "tls")
    settings = {
        "POP3_MIN_LOGIN_DELAY": "0",
        "POP3_MAX_LOGIN_DELAY": "0",
        "POP3_TLS_CERT": str(chain),
        "POP3_TLS_KEY": str(key),
        "POP3_SCRAM": "on",
        **more,
    }
    with daemon.running(folder, workers=workers, environment=settings) as running:
        service = Service(running)
        service.manage(lambda admin: admin.create_account("ana", PASSWORD))
        if "POP3_APOP" in more:
            service.manage(lambda admin: admin.set_apop_secret("ana", PASSWORD))
        maildir = Maildir(running.mail / "ana")
        yield Target("127.0.0.1", running.pop3, "ana", PASSWORD, running.pop3_tls, maildir=maildir)


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def target(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Target]:
    with served(tmp_path_factory.mktemp("service"), request.param) as made:
        yield made


@pytest.fixture(scope="module")
def results(target: Target) -> list[Result]:
    return list(play(target, RULES.values()))


def told(results: list[Result]) -> str:
    return "\n".join(it.line() for it in results)


def test_every_binding_rule_is_kept(results: list[Result]) -> None:
    broken = [it for it in results if it.level in BINDING and it.verdict is Verdict.FAIL]
    assert not broken, told(broken)


def test_nothing_is_left_unsure(results: list[Result]) -> None:
    unsure = [it for it in results if it.verdict is Verdict.UNSURE]
    assert not unsure, told(unsure)
    assert exit_status(results) == 0


def test_what_may_be_kept_is_kept_too(results: list[Result]) -> None:
    broken = [it for it in results if it.verdict is Verdict.FAIL]
    assert not broken, told(broken)


def test_nothing_is_passed_over_unseen(results: list[Result]) -> None:
    assert {it.told for it in results if it.verdict is Verdict.NOT_OFFERED} == NOT_OFFERED


# --- the program itself --------------------


def run(target: Target, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The program as anybody starts it: no library of ours, nor of anybody else's."""
    secret = folder / "password"
    secret.write_text(target.password + "\n")
    given = [target.host, str(target.port), "--user", target.user, "--password-file", str(secret)]
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", START, str(TESTS), *given, *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONUTF8": "1"},
    )


START = """\
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("conformance.scorecard", run_name="__main__", alter_sys=True)
"""


def test_the_program_needs_nothing_but_python(target: Target, tmp_path: Path) -> None:
    assert target.maildir is not None
    where = ("--maildir", str(target.maildir.path), "--tls-port", str(target.tls_port))
    found = run(target, tmp_path, *where, "--json", "--only", "1939-*")
    assert found.returncode == 0, found.stdout + found.stderr
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [it["name"] for it in lines] == [name for name in RULES if name.startswith("1939-")]
    assert {it["verdict"] for it in lines} == {"PASS", "NOT OFFERED"}


def test_without_known_mail_it_says_what_it_cannot_tell(target: Target, tmp_path: Path) -> None:
    assert target.maildir is not None
    target.maildir.empty()
    kept = [target.maildir.deliver(letter(number)) for number in (1, 2, 3, 4)]
    found = run(target, tmp_path, "--only", "1939-*")
    assert found.returncode == 3, found.stdout + found.stderr
    assert "give --maildir or --delete" in found.stdout
    assert not [it for it in found.stdout.splitlines() if it.startswith("FAIL")]
    assert [it.read_bytes() for it in kept] == [letter(number) for number in (1, 2, 3, 4)]
    target.maildir.empty()


def test_mail_of_others_is_not_deleted_without_leave(target: Target, tmp_path: Path) -> None:
    assert target.maildir is not None
    precious = target.maildir.deliver(b"Subject: precious\n\nmail\n", name="1.M1P1.host")
    found = run(target, tmp_path, "--maildir", str(target.maildir.path))
    assert (found.returncode, precious.exists()) == (2, True)
    assert "only with --delete" in found.stderr
    precious.unlink()


def test_a_wrong_password_ends_it_at_once(target: Target, tmp_path: Path) -> None:
    wrong = Target(target.host, target.port, target.user, "wrong")
    found = run(wrong, tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert "the login was refused" in found.stderr
