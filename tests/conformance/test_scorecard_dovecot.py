"""The scorecard on a real server that is not ours: Debian's Dovecot, and what it misses.

The list is in README.md beside this file too. A check that no longer finds a fault that is there,
or finds one that is not, fails here.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from conformance.scorecard.card import Result, exit_status, play
from conformance.scorecard.catalogue import RULES
from conformance.scorecard.mail import Maildir
from conformance.scorecard.probe import Target
from conformance.scorecard.rules import Verdict
from performance.certificate import make_certificate
from performance.dovecot import PROGRAM, Dovecot
from performance.mailboxes import MAIL_USER, Mailboxes, user_name
from performance.servers import CannotStart

PASSWORD = "two  blanks inside"
VERSION = "2.3."

# As Debian installs it, but for mechanisms that it has and a delay of wrong logins.
EXTRA = """\
auth_mechanisms = plain login scram-sha-256
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
"""

MISSES = {
    "1939-arguments-are-needed-before-login",
    "1939-no-argument-where-none-is-taken",
    "1939-maildrop-is-locked",
    "1939-dot-first",
    "1939-top-stuffs",
    "2449-capabilities-stay",
    "2449-capa-arguments",
    "2595-stls-arguments",
    "2595-stls-forgets-the-name",
    "hostile-scram-salt-of-nobody",
    "hostile-nul-in-commands",
    "hostile-nul-in-a-name",
    "hostile-nul-in-a-password",
    "hostile-controls-are-not-echoed",
    "hostile-message-no-final-newline",
    "hostile-message-no-final-newline-crlf",
    "hostile-message-one-octet",
    "hostile-message-empty",
    "hostile-fifo-in-the-maildir",
    "hostile-socket-in-the-maildir",
    "hostile-dangling-link-in-the-maildir",
    "hostile-link-gives-nothing-away",
    "hostile-false-size-in-a-name",
}
UNSURE = {  # they need a second session to be refused
    "2449-in-use",
    "3206-lock-is-no-matter-of-credentials",
    "hostile-losers-do-no-harm",
}
NOT_OFFERED = {
    "the greeting has no timestamp for APOP",
    "CAPA does not name UTF8",
    "CAPA does not name LANG",
    "CAPA does not name LOGIN-DELAY",
    "CAPA does not name EXPIRE",
    "CAPA does not name IMPLEMENTATION",
    "there are response codes",
    "AUTH-RESP-CODE is announced",
    "a message that vanished brings no SYS code",
}


def missing(why: str) -> NoReturn:
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(f"REQUIRE_DOCKER=1 and {why}")
    pytest.skip(why)


@pytest.fixture(scope="module")
def results() -> list[Result]:
    if not Path(PROGRAM).exists():
        missing("Dovecot is not there: apt install dovecot-pop3d")
    version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout
    if not version.startswith(VERSION):
        missing(f"Dovecot is {version.strip()}, its configuration here is for {VERSION}x")
    # Not in pytest's own folder: the mail's user must come through, and pytest closes that again.
    with tempfile.TemporaryDirectory(prefix="valija-scorecard-") as folder:
        Path(folder).chmod(0o755)
        try:
            return played(Path(folder))
        except CannotStart as error:
            missing(f"Dovecot does not start: {error}")


def played(folder: Path) -> list[Result]:
    boxes = Mailboxes(folder / "boxes", [], 1).make()
    certificate = make_certificate(folder)
    assert certificate is not None, "openssl is not there"
    server = Dovecot(
        folder, "scorecard", password="{PLAIN}" + PASSWORD, extra=EXTRA, certificate=certificate
    )
    with server.running(boxes, ()) as running:
        maildir = Maildir(boxes.mail / user_name(0), (MAIL_USER.pw_uid, MAIL_USER.pw_gid))
        target = Target(
            "127.0.0.1", running.port, user_name(0), PASSWORD, running.tls_port,
            maildir=maildir, timeout_s=6,
        )  # fmt: skip
        return list(play(target, RULES.values()))


def names(results: list[Result], verdict: Verdict) -> set[str]:
    return {it.name for it in results if it.verdict is verdict}


def test_it_misses_what_it_is_known_to_miss(results: list[Result]) -> None:
    told = "\n".join(it.line() for it in results if it.verdict is Verdict.FAIL)
    assert names(results, Verdict.FAIL) == MISSES, told
    assert exit_status(results) == 1


def test_what_cannot_be_told_of_it_is_known(results: list[Result]) -> None:
    assert names(results, Verdict.UNSURE) == UNSURE


def test_what_it_does_not_offer_is_known(results: list[Result]) -> None:
    assert {it.told for it in results if it.verdict is Verdict.NOT_OFFERED} == NOT_OFFERED


def test_it_keeps_most_rules_of_rfc_1939(results: list[Result]) -> None:
    kept = [it for it in results if it.name.startswith("1939-") and it.verdict is Verdict.PASS]
    assert len(kept) > 70


def test_the_list_for_people_has_every_miss() -> None:
    text = (Path(__file__).parent / "README.md").read_text()
    assert not [name for name in MISSES if f"`{name}`" not in text]
