"""RFC 1939 sections 3, 4, 6 and 7: greeting, replies, states, login and the exclusive lock."""

from __future__ import annotations

import re

from conformance.scorecard.probe import Probe, refused, totals
from conformance.scorecard.rules import Level, Unsure, demand, rule
from conformance.scorecard.wire import Client, Reply

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
NO_SUCH = "nobody-of-this-name"
NOT_BEFORE_LOGIN = ("STAT", "LIST", "LIST 1", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 0", "UIDL")


# --- greeting and replies --------------------


@rule("RFC 1939 4", MUST, "The greeting is a positive reply.")
def greeting_is_positive(at: Probe) -> None:
    demand(at.connect().greeting.positive, "the greeting does not begin with +OK")


@rule("RFC 1939 3", MUST, "Reply lines end with CRLF.")
def lines_end_with_crlf(at: Probe) -> None:
    client = at.open()
    lines = [client.greeting.line, at.enter(client).line, client.ask("STAT").line]
    lines.append(client.ask("LIST").line)
    while lines[-1] not in (b".\r\n", b".\n", b""):
        lines.append(client.line())
    lines += [client.ask("XYZZ").line, client.ask("NOOP").line]
    wrong = [it for it in lines if not it.endswith(b"\r\n")]
    demand(not wrong, f"{len(wrong)} of {len(lines)} lines do not end with CRLF")


@rule(
    "RFC 1939 3", MUST, "A status indicator is +OK or -ERR in upper case, then a blank or the end."
)
def status_indicators_are_upper_case(at: Probe) -> None:
    client = at.session()
    for command in ("STAT", "NOOP", "RETR 0", "XYZZ"):
        line = client.ask(command).line
        demand(re.match(rb"(\+OK|-ERR)[ \r\n]", line), "the status indicator runs on")


@rule("RFC 1939 3", MUST, "A reply has at most 512 octets with its CRLF.")
def replies_are_not_too_long(at: Probe) -> None:
    lines = [at.open().greeting.line, at.open().ask("X" * 230).line]
    lines.append(at.open().ask("USER " + "x" * 230).line)
    demand(max(map(len, lines)) <= 512, "a reply is longer")


@rule("RFC 1939 3", MUST, "Keywords do not depend on upper and lower case.")
def keywords_are_case_insensitive(at: Probe) -> None:
    client = at.open()
    client.ok(f"uSeR {at.target.user}")
    client.entered = client.ok(f"pAsS {at.target.password}").positive
    for command in ("nOoP", "stat", "Rset"):
        client.ok(command)
    client.listing("lIST")
    client.entered = False
    client.ok("quit")


@rule("RFC 1939 3", MUST, "An unknown command is refused before login.")
def unknown_command_before_login(at: Probe) -> None:
    for command in ("XYZZ", "QUITS", "US", "USERX name"):
        at.open().err(command)


@rule("RFC 1939 3", MUST, "An unknown command is refused after login, and the session goes on.")
def unknown_command_after_login(at: Probe) -> None:
    refused(at.session(), "XYZZ", "STATS", "LIS", "NOOPS", "RSE")


@rule("RFC 1939 3", MUST, "Commands of the TRANSACTION state are refused before login.")
def nothing_but_login_before_login(at: Probe) -> None:
    for command in NOT_BEFORE_LOGIN:
        at.open().err(command)


@rule("RFC 1939 3", MUST, "A name alone does not open the TRANSACTION state.")
def user_alone_is_no_login(at: Probe) -> None:
    client = at.open()
    client.ok(f"USER {at.target.user}")
    client.err("STAT")


@rule("RFC 1939 3", MUST, "USER and PASS are refused after login.")
def no_second_login(at: Probe) -> None:
    client = at.session()
    refused(client, f"USER {at.target.user}", f"PASS {at.target.password}")


@rule("RFC 1939 3", MUST, "Missing arguments are refused before login.")
def arguments_are_needed_before_login(at: Probe) -> None:
    at.open().err("USER")
    client = at.open()
    client.ok(f"USER {at.target.user}")
    client.err("PASS")


@rule("RFC 1939 3", MUST, "Missing arguments are refused after login.")
def arguments_are_needed(at: Probe) -> None:
    refused(at.some(1), "RETR", "TOP", "RETR ")


@rule("RFC 1939 3", MUST, "NOOP, STAT and RSET, which take no argument, are refused with one.")
def no_argument_where_none_is_taken(at: Probe) -> None:
    refused(at.session(), "STAT 1", "NOOP 1", "RSET 1")


@rule("RFC 1939 3", MUST, "One argument too many is refused.")
def one_argument_too_many(at: Probe) -> None:
    client = at.some(1)
    for command in ("LIST 1 1", "RETR 1 1"):
        refused(client, command)


@rule("RFC 1939 5", MUST, "NOOP is answered by +OK.")
def noop(at: Probe) -> None:
    at.session().ok("NOOP")


# --- QUIT --------------------


def _goodbye(client: Client) -> None:
    client.entered = False
    client.ok("QUIT")
    demand(client.rest() == b"", "the connection stays open, or more came")


@rule("RFC 1939 4", MUST, "QUIT before login is answered by +OK, and the connection is closed.")
def quit_before_login(at: Probe) -> None:
    _goodbye(at.open())


@rule("RFC 1939 6", MUST, "QUIT after login is answered by +OK, and the connection is closed.")
def quit_after_login(at: Probe) -> None:
    client = at.session()
    client.ok("NOOP")
    _goodbye(client)


# --- login --------------------


def _wrong(at: Probe, name: str, password: str) -> tuple[Client, Reply]:
    """Try to log in with what is wrong; where USER is refused, that is the answer."""
    client = at.open()
    reply = client.ask(f"USER {name}")
    return client, client.err(f"PASS {password}") if reply.positive else reply


@rule("RFC 1939 7", MUST, "A wrong password is refused, and nothing is open after it.")
def wrong_password(at: Probe) -> None:
    client, _ = _wrong(at, at.target.user, at.target.password + "x")
    client.refuses_or_closes(b"STAT\r\n")


@rule("RFC 1939 7", MUST, "An unknown user is refused.")
def unknown_user(at: Probe) -> None:
    _wrong(at, NO_SUCH, at.target.password)


@rule("RFC 1939 7", MUST, "After a refused login the client may start again.")
def login_after_a_refused_one(at: Probe) -> None:
    client, _ = _wrong(at, at.target.user, at.target.password + "x")
    client.send(f"USER {at.target.user}\r\n".encode())
    line = client.line()
    if not line:
        raise Unsure("the server closes after a refused login, which it may")
    demand(line.startswith(b"+OK"), "USER was refused")
    client.entered = client.ok(f"PASS {at.target.password}").positive


@rule("RFC 1939 7", MUST, "PASS comes only after a successful USER.")
def pass_needs_user(at: Probe) -> None:
    at.open().err(f"PASS {at.target.password}")


@rule("RFC 1939 7", MUST, "After a refused PASS the name is gone: PASS alone is refused.")
def refused_pass_forgets_the_name(at: Probe) -> None:
    client, _ = _wrong(at, at.target.user, at.target.password + "x")
    client.refuses_or_closes(f"PASS {at.target.password}\r\n".encode())


@rule("RFC 1939 7", MAY, "Blanks are part of a password.")
def blanks_in_a_password(at: Probe) -> None:
    if " " not in at.target.password:
        raise Unsure("the account's password has no blank")
    at.session()


@rule("RFC 1939 7", MUST, "A blank at a password's end is not passed over.")
def blank_at_the_end_of_a_password(at: Probe) -> None:
    _wrong(at, at.target.user, at.target.password + " ")


@rule("RFC 1939 7", MAY, "USER may be given again; the last name counts.")
def last_name_counts(at: Probe) -> None:
    client = at.open()
    client.ok(f"USER {NO_SUCH}")
    demand(at.enter(client).positive, "the login was refused")


# --- the exclusive lock --------------------


@rule("RFC 1939 4", MUST, "A second session of the maildrop is refused; the first goes on.")
def maildrop_is_locked(at: Probe) -> None:
    first, second = at.session(), at.open()
    demand(at.enter(second).negative, "a second session was let in")
    first.ok("NOOP")


@rule("RFC 1939 4", MUST, "Once the first session has quit, the next is let in at once.")
def lock_is_let_go_at_quit(at: Probe) -> None:
    first = at.session()
    first.entered = False
    first.ok("QUIT")
    demand(at.enter(at.open()).positive, "the login was refused")


@rule("RFC 1939 4", SHOULD, "A dropped connection lets go of the maildrop.")
def lock_is_let_go_at_a_drop(at: Probe) -> None:
    at.session().drop()
    at.session()


@rule("RFC 1939 4", SHOULD, "Mail that comes during a session shows in the next one only.")
def a_session_sees_a_snapshot(at: Probe) -> None:
    client = at.some(2)
    at.maildir().deliver(b"Subject: late\n\nlate\n")
    demand(totals(client)[0] == 2, "STAT counts the new message")
    client.err("RETR 3")
    client.leave()
    demand(totals(at.session())[0] == 3, "the next session does not see it")


@rule("RFC 1939 3", MUST, "A multi-line reply ends with a line of a single dot.")
def multi_line_replies_end_with_a_dot(at: Probe) -> None:
    client = at.some(1)
    for command in ("LIST", "RETR 1"):
        client.ok(command)
        lines = [client.line()]
        while lines[-1].rstrip(b"\r\n") != b".":
            demand(lines[-1], "the server closed before it")
            lines.append(client.line())
        client.ok("NOOP")
        bare = [it for it in lines[:-1] if it[:1] == b"." and it[:2] != b".."]
        demand(not bare, "a line begins with a dot that is not stuffed")
