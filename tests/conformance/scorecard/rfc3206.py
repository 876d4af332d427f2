"""RFC 3206: the response codes SYS/TEMP, SYS/PERM and AUTH."""

from __future__ import annotations

from conformance.scorecard.mail import letter
from conformance.scorecard.probe import Probe
from conformance.scorecard.rules import Level, NotOffered, Unsure, demand, rule
from conformance.scorecard.wire import Reply

MUST, SHOULD = Level.MUST, Level.SHOULD


def _wrong_login(at: Probe, name: str) -> Reply:
    client = at.open()
    reply = client.ask(f"USER {name}")
    return client.err("PASS definitely-wrong") if reply.positive else reply


@rule("RFC 3206 6", MUST, "With AUTH-RESP-CODE a wrong password is [AUTH].")
def auth_code_for_a_wrong_password(at: Probe) -> None:
    at.offers("AUTH-RESP-CODE")
    demand(_wrong_login(at, at.target.user).code == b"AUTH", "the code is another or missing")


@rule("RFC 3206 6", MUST, "With AUTH-RESP-CODE an unknown user is [AUTH].")
def auth_code_for_an_unknown_user(at: Probe) -> None:
    at.offers("AUTH-RESP-CODE")
    demand(_wrong_login(at, "nobody-of-this-name").code == b"AUTH", "it is another or missing")


@rule("RFC 3206 6", SHOULD, "[AUTH] is sent only where AUTH-RESP-CODE is announced.")
def auth_code_is_announced(at: Probe) -> None:
    if "AUTH-RESP-CODE" in at.announced():
        raise NotOffered("AUTH-RESP-CODE is announced")
    demand(_wrong_login(at, at.target.user).code != b"AUTH", "it was sent")


@rule("RFC 3206 6", MUST, "AUTH-RESP-CODE comes with RESP-CODES.")
def auth_resp_code_needs_resp_codes(at: Probe) -> None:
    at.offers("AUTH-RESP-CODE")
    demand("RESP-CODES" in at.announced(), "RESP-CODES is not announced")


@rule("RFC 3206 5", MUST, "A login refused for the lock is not [AUTH]: the password was right.")
def lock_is_no_matter_of_credentials(at: Probe) -> None:
    at.offers("RESP-CODES")
    at.session()
    reply = at.enter(at.open())
    if reply.positive:
        raise Unsure("a second session is let in")
    demand(reply.code != b"AUTH", "it is")


@rule("RFC 3206 4", MUST, "A SYS code says TEMP or PERM.")
def sys_codes_say_which(at: Probe) -> None:
    at.offers("RESP-CODES")
    paths = at.put(letter(1), letter(2))
    client = at.session()
    for path in paths:
        at.maildir().remove(path)
    client.send(b"RETR 1\r\n")
    reply = Reply(client.line())
    if reply.negative and reply.code.split(b"/")[0] == b"SYS":
        demand(reply.code in (b"SYS/TEMP", b"SYS/PERM"), f"it is {reply.code!r}")
    else:
        raise NotOffered("a message that vanished brings no SYS code")
