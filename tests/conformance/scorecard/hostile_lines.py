"""Hostile clients: lines that no client sends, and connections that end at the wrong moment."""

from __future__ import annotations

import re

from conformance.scorecard.mail import letter
from conformance.scorecard.probe import Probe, sizes, totals
from conformance.scorecard.rules import Broken, Level, Unsure, demand, rule
from conformance.scorecard.wire import Client, Reply, joined

HOSTILE = Level.HOSTILE
PIPELINED = 1000


def _still_serves(at: Probe) -> None:
    at.session().ok("NOOP")


def _one_reply(client: Client, octets: bytes) -> None:
    """What is sent is one command to the server: one -ERR, then NOOP's +OK, or the end."""
    client.send(octets)
    reply = Reply(client.line())
    if not reply.line:
        return
    demand(reply.negative, "it was accepted")
    client.send(b"NOOP\r\n")
    after = Reply(client.line())
    demand(after.positive or not after.line, "one line was answered twice")


# --- lines --------------------


@rule("hostile", HOSTILE, "A line without end before login is refused, and others are served.")
def endless_line_before_login(at: Probe) -> None:
    at.open().refuses_or_closes(b"A" * at.target.flood + b"\r\n")
    _still_serves(at)


@rule("hostile", HOSTILE, "A line without end after login is refused, and others are served.")
def endless_line_after_login(at: Probe) -> None:
    client = at.session()
    client.entered = client.refuses_or_closes(b"RETR " + b"1" * at.target.flood + b"\r\n")
    client.leave()
    _still_serves(at)


@rule("hostile", HOSTILE, "A long line is answered once, however the server cuts it.")
def long_line_is_one_line(at: Probe) -> None:
    for octets in (600, 5_000, 70_000):
        _one_reply(at.session(), b"X" * octets + b"\r\n")
        at.close()


@rule("hostile", HOSTILE, "A number of 10,000 digits is refused.")
def endless_number(at: Probe) -> None:
    _one_reply(at.session(), b"RETR " + b"9" * 10_000 + b"\r\n")


@rule("hostile", HOSTILE, "A NUL ends neither a command nor its arguments.")
def nul_in_commands(at: Probe) -> None:
    client = at.session()
    for octets in (b"NOOP\0\r\n", b"STAT\0 x\r\n", b"\0NOOP\r\n", b"NO\0OP\r\n"):
        _one_reply(client, octets)


@rule("hostile", HOSTILE, "A NUL does not end a user name.")
def nul_in_a_name(at: Probe) -> None:
    client = at.open()
    client.send(f"USER {at.target.user}\0x\r\n".encode())
    if Reply(client.line()).positive:
        client.refuses_or_closes(f"PASS {at.target.password}\r\n".encode())


@rule("hostile", HOSTILE, "A NUL does not end a password.")
def nul_in_a_password(at: Probe) -> None:
    client = at.open()
    client.ok(f"USER {at.target.user}")
    client.refuses_or_closes(f"PASS {at.target.password}\0x\r\n".encode())


@rule("hostile", HOSTILE, "Octets above 127 in a command are refused, and the session goes on.")
def eight_bit_commands(at: Probe) -> None:
    client = at.session()
    for octets in (b"\xff\xfe", b"NO\xffOP", b"\xce\x9dNOOP", b"RETR \xb2"):
        _one_reply(client, octets + b"\r\n")


@rule("hostile", HOSTILE, "Empty and blank lines are refused, one reply each.")
def empty_lines(at: Probe) -> None:
    client = at.session()
    for octets in (b"\r\n", b" \r\n", b"\t\r\n", b"  STAT\r\n", b"\tSTAT\r\n"):
        _one_reply(client, octets)


@rule("hostile", HOSTILE, "Control characters of a client are not sent back.")
def controls_are_not_echoed(at: Probe) -> None:
    evil = "\x1b[2J\x1b]0;x\x07\x08\x7f\x0b"
    lines = [at.open().ask(evil + "XYZZ").line, at.open().ask(f"USER a{evil}b").line]
    client = at.session()
    lines += [client.ask(f"RETR {evil}").line, client.ask(f"XYZZ {evil}").line]
    wrong = [it for it in lines if re.search(rb"[\x00-\x1f\x7f]", it.rstrip(b"\r\n"))]
    demand(not wrong, "a reply has control characters")


@rule("hostile", HOSTILE, "Format strings are text.")
def format_strings(at: Probe) -> None:
    evil = "%s%s%s%n%x{0}{0.__class__}${jndi:ldap://x.invalid}$(id)`id`"
    for line in (evil, f"USER {evil}"):
        text = at.open().ask(line).text
        known = evil.encode() in text or not re.search(rb"uid=|<class|0x|\(nil\)", text)
        demand(known, "the reply looks like what the string was made into")
    client = at.open()
    if client.ask(f"USER {evil}").positive:
        client.refuses_or_closes(f"PASS {evil}\r\n".encode())
    _still_serves(at)


# --- line ends --------------------


@rule("hostile", HOSTILE, "A CR alone ends no line.")
def bare_cr(at: Probe) -> None:
    _one_reply(at.session(), b"STAT\rSTAT\r\n")


@rule("hostile", HOSTILE, "A LF alone either ends a line everywhere or nowhere.")
def bare_lf(at: Probe) -> None:
    seen = set()
    for octets in (b"NOOP\nXYZZ\r\n", b"LIST 0\nXYZZ\r\n", b"XYZZ\nXYZZ\r\n", b"NOOP\nXYZZ\n\r\n"):
        client = at.session()
        client.send(octets + b"NOOP\r\nQUIT\r\n")
        client.entered = False
        seen.add(client.rest().count(b"\n") - octets.count(b"\n\r"))
        at.close()
    demand(len(seen) == 1 and seen <= {3, 4}, f"lines of two parts had {sorted(seen)} replies")


@rule("hostile", HOSTILE, "A CRLF that comes in two segments is one line end.")
def cut_crlf(at: Probe) -> None:
    client, other = at.session(), at.open()
    client.send(b"STAT\r")
    other.ask("XYZZ")
    client.send(b"\nNOOP\r\n")
    demand(re.match(rb"\+OK \d", client.reply().line), "STAT was not answered")
    demand(client.reply().positive, "NOOP was not answered")
    client.ok("NOOP")


@rule("hostile", HOSTILE, "A command that comes octet by octet is one command.")
def octet_by_octet(at: Probe) -> None:
    client = at.session()
    for octet in b"STAT\r\nNOOP\r\n":
        client.send(bytes([octet]))
    demand(re.match(rb"\+OK \d", client.reply().line), "STAT was not answered")
    demand(client.reply().positive, "NOOP was not answered")


# --- many commands --------------------


@rule("hostile", HOSTILE, "1,000 commands sent at once are answered one by one, in order.")
def pipelined_commands(at: Probe) -> None:
    at.offers("PIPELINING")
    client = at.some(1)
    client.send(joined(["STAT", "NOOP", "LIST 1", "LIST 0"] * (PIPELINED // 4)))
    for number in range(PIPELINED // 4):
        replies = [client.reply().line for _ in range(4)]
        right = replies[3].startswith(b"-ERR") and replies[0][4:6].strip().isdigit()
        right = right and replies[2].startswith(b"+OK 1 ") and replies[1].startswith(b"+OK")
        demand(right, f"replies from {4 * number + 1} on are not those of the commands")


@rule("hostile", HOSTILE, "Nothing after QUIT is answered or done.")
def nothing_after_quit(at: Probe) -> None:
    client = at.some(2, doomed=True)
    there = sizes(client)
    client.entered = False
    client.send(joined(["QUIT", "DELE 1", "STAT", "QUIT"]))
    octets = client.rest()
    demand(octets.startswith(b"+OK"), "QUIT was refused")
    demand(octets.count(b"\n") == 1, "more than one line came")
    demand(sizes(at.session()) == there, "a message is gone")


@rule("hostile", HOSTILE, "Nothing after QUIT is answered before login either.")
def nothing_after_early_quit(at: Probe) -> None:
    client = at.open()
    client.send(joined(["QUIT", f"USER {at.target.user}", "CAPA"]))
    demand(client.rest().count(b"\n") == 1, "more than one line came")


# --- connections that end --------------------


@rule("hostile", HOSTILE, "A disconnect in the middle of RETR removes nothing.")
def drop_in_the_middle_of_retr(at: Probe) -> None:
    at.put(letter(1), letter(2, 200_000))
    client = at.session()
    client.ok("DELE 1")
    client.send(b"RETR 2\r\n")
    client.line()
    client.drop()
    demand(totals(at.session())[0] == 2, "a message is gone")


@rule("hostile", HOSTILE, "A client that sends all and closes its side still has its replies.")
def half_closed_connection(at: Probe) -> None:
    client = at.session()
    client.entered = False
    client.send(b"STAT\r\nNOOP\r\nQUIT\r\n")
    client.half_close()
    lines = client.rest().splitlines()
    demand(len(lines) == 3 and all(it.startswith(b"+OK") for it in lines), "some did not come")


# --- names --------------------


@rule("hostile", HOSTILE, "A name with path parts is nobody's, whatever it would resolve to.")
def names_that_are_paths(at: Probe) -> None:
    name = at.target.user
    evil = [f"../{name}", f"./{name}", f"{name}/.", f"{name}/", f"x/../{name}", f"/{name}"]
    evil += [f"..%2f{name}", f"{name}%00", ".", "..", "../../../../etc/passwd", "/dev/null"]
    asked = []
    for other in evil:  # all before any is waited for: a refused login may take its time
        client = at.open()
        if client.ask(f"USER {other}").positive:
            client.send(f"PASS {at.target.password}\r\n".encode())
            asked.append((other, client))
    for other, client in asked:
        demand(client.reply().negative, f"{other!r} was let in")


@rule("hostile", HOSTILE, "Names of 300 characters and more are refused without harm.")
def long_names(at: Probe) -> None:
    for octets in (300, 2_000, 20_000):
        client = at.open()
        client.send(b"USER " + b"n" * octets + b"\r\n")
        if Reply(client.line()).positive:
            client.refuses_or_closes(f"PASS {at.target.password}\r\n".encode())
    _still_serves(at)


@rule("hostile", HOSTILE, "A wrong user and a wrong password are answered alike.")
def unknown_user_is_not_told(at: Probe) -> None:
    def answers(name: str) -> list[bytes]:
        client = at.open()
        found = [client.ask(f"USER {name}").text]
        return [*found, client.err("PASS definitely-wrong").text] if found[0][:1] == b"+" else found

    other = "z" * len(at.target.user)
    first, second = answers(at.target.user), answers(other)
    masked = [it.replace(other.encode(), at.target.user.encode()) for it in second]
    demand(first == masked, "the replies differ")


@rule("hostile", HOSTILE, "A password of 20,000 octets is refused without harm.")
def long_password(at: Probe) -> None:
    client = at.open()
    client.ok(f"USER {at.target.user}")
    client.refuses_or_closes(b"PASS " + b"p" * 20_000 + b"\r\n")
    _still_serves(at)


@rule("hostile", HOSTILE, "A session refused for the lock does not end the one that holds it.")
def losers_do_no_harm(at: Probe) -> None:
    client = at.some(1, doomed=True)
    client.ok("DELE 1")
    for _ in range(3):
        other = at.open()
        reply = at.enter(other)
        if reply.positive:
            raise Unsure("a second session is let in")
        other.drop()
    client.err("RETR 1")
    client.ok("RSET")
    if totals(client)[0] < 1:
        raise Broken("the message is gone")
