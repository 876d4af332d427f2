"""RFC 2449: CAPA, and whether what it announces is so."""

from __future__ import annotations

import re

from conformance.scorecard.probe import Probe, capabilities
from conformance.scorecard.rules import Level, NotOffered, Unsure, demand, rule
from conformance.scorecard.wire import Reply, joined

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
CODE = re.compile(rb"\[[\x21-\x2e\x30-\x5c\x5e-\x7f]+(/[\x21-\x2e\x30-\x5c\x5e-\x7f]+)*\]( |$)")
"""A response code, as section 3 writes it."""


# --- CAPA itself --------------------


@rule("RFC 2449 5", MUST, "CAPA, where it is there before login, is there after it too.")
def capa_in_both_states(at: Probe) -> None:
    at.announced()
    demand(capabilities(at.session()) is not None, "CAPA is refused after login")


@rule("RFC 2449 5", MUST, "Each line of CAPA is a tag and parameters, one blank before each.")
def capa_lines(at: Probe) -> None:
    at.announced()
    for client in (at.open(), at.session()):
        for line in client.listing("CAPA"):
            form = rb"[\x21-\x2d\x2f-\x7e][\x21-\x7e]*( [\x21-\x7f]+)*"
            demand(re.fullmatch(form, line), f"a line is {line!r}")
            demand(len(line) <= 510, "a line is longer than 512 octets")


@rule("RFC 2449 5", MUST, "What is announced before login is announced after it too.")
def capabilities_stay(at: Probe) -> None:
    before, after = at.announced(), at.announced("TRANSACTION")
    gone = before.keys() - after.keys() - {"STLS"}  # RFC 2595: before login alone
    demand(not gone, f"after login it does not name {', '.join(sorted(gone))}")


@rule("RFC 2449 5", MUST, "CAPA takes no argument, and its keyword does not depend on case.")
def capa_arguments(at: Probe) -> None:
    at.announced()
    at.open().err("CAPA TOP")
    at.open().listing("capa")


@rule("RFC 2449 5", MAY, "CAPA does not name a capability twice.")
def capabilities_once(at: Probe) -> None:
    at.announced()
    tags = [line.split(b" ")[0].upper() for line in at.session().listing("CAPA")]
    demand(len(tags) == len(set(tags)), "one comes twice")


# --- what is announced is so --------------------


@rule("RFC 2449 6.1", MUST, "TOP, when it is announced, is there.")
def top_is_there(at: Probe) -> None:
    at.offers("TOP", "TRANSACTION")
    client = at.some(1)
    client.ok("TOP 1 0")
    client.body()


@rule("RFC 2449 6.2", MUST, "USER, when it is announced, is there.")
def user_is_there(at: Probe) -> None:
    at.offers("USER")
    at.open().ok(f"USER {at.target.user}")


@rule("RFC 2449 6.8", MUST, "UIDL, when it is announced, is there.")
def uidl_is_there(at: Probe) -> None:
    at.offers("UIDL", "TRANSACTION")
    at.some(1).listing("UIDL")


@rule("RFC 2449 5", SHOULD, "What works after login is announced.")
def nothing_hidden_after_login(at: Probe) -> None:
    announced = at.announced("TRANSACTION")
    client = at.some(1)
    for tag, command in (("TOP", "TOP 1 0"), ("UIDL", "UIDL"), ("LANG", "LANG")):
        if tag not in announced:
            client.err(command)


@rule("RFC 2449 5", SHOULD, "What works before login is announced.")
def nothing_hidden_before_login(at: Probe) -> None:
    announced = at.announced("CLEAR")
    commands = (("STLS", "STLS"), ("SASL", "AUTH PLAIN"), ("UTF8", "UTF8"), ("USER", "USER x"))
    for tag, command in commands:
        if tag not in announced:
            client = at.connect()
            client.send(command.encode() + b"\r\n")
            demand(client.line().startswith(b"-ERR"), f"{command} works and is not announced")
            client.drop()


@rule("RFC 2449 6.6", MUST, "With PIPELINING commands in one segment are answered in order.")
def pipelining(at: Probe) -> None:
    at.offers("PIPELINING")
    client = at.some(1)
    client.send(joined(["STAT", "LIST", "RETR 1", "NOOP", "XYZZ", "LIST 0", "STAT"]))
    first = client.reply().text
    client.reply()
    client.body()
    client.reply()
    client.body()
    demand(client.reply().positive, "NOOP was refused")
    demand(client.reply().negative and client.reply().negative, "two wrong commands were not")
    demand(client.reply().text == first, "the last reply is not STAT's")


@rule("RFC 2449 6.6", MUST, "With PIPELINING a whole session fits into one segment.")
def pipelined_session(at: Probe) -> None:
    at.offers("PIPELINING")
    at.some(1).leave()
    client = at.open()
    name, password = at.target.user, at.target.password
    client.send(joined([f"USER {name}", f"PASS {password}", "STAT", "NOOP", "QUIT"]))
    lines = client.rest().splitlines()
    right = len(lines) == 5 and all(line.startswith(b"+OK") for line in lines)
    demand(right and re.match(rb"\+OK \d+ \d+", lines[2]), "there are other replies")


@rule("RFC 2449 6.4", MUST, "EXPIRE has NEVER or days, and USER at most before login.")
def expire_parameters(at: Probe) -> None:
    _is_delay(at, "EXPIRE", "NEVER")


@rule("RFC 2449 6.5", MUST, "LOGIN-DELAY has seconds, and USER at most before login.")
def login_delay_parameters(at: Probe) -> None:
    _is_delay(at, "LOGIN-DELAY", "")


def _is_delay(at: Probe, tag: str, word: str) -> None:
    for state in ("AUTHORIZATION", "TRANSACTION"):
        found = at.offers(tag, state)
        demand(found and (found[0].upper() == word or found[0].isdigit()), f"{tag} {found}")
        more = ["USER"] if state == "AUTHORIZATION" else []
        demand([it.upper() for it in found[1:]] in ([], more), f"{state}: {tag} {found}")


@rule("RFC 2449 6.5", SHOULD, "With LOGIN-DELAY a second login within it is refused.")
def login_delay_is_kept(at: Probe) -> None:
    delay = at.offers("LOGIN-DELAY")
    if delay[0] == "0":
        raise NotOffered("the delay is 0")
    at.session().leave()
    client = at.open()
    reply = at.enter(client)
    demand(reply.negative, "it was let in")
    if "RESP-CODES" in at.announced():
        demand(reply.code == b"LOGIN-DELAY", "the reply does not say [LOGIN-DELAY]")


@rule("RFC 2449 6.3", MUST, "SASL names mechanisms as SASL writes them.")
def sasl_parameters(at: Probe) -> None:
    found = at.offers("SASL")
    wrong = [it for it in found if not re.fullmatch(r"[A-Z0-9_-]{1,20}", it)]
    demand(found and not wrong, f"these are none: {wrong}")


@rule("RFC 2449 6.9", SHOULD, "IMPLEMENTATION has one parameter.")
def implementation_parameter(at: Probe) -> None:
    for state in ("AUTHORIZATION", "TRANSACTION"):
        if "IMPLEMENTATION" in at.announced(state):
            demand(len(at.offers("IMPLEMENTATION", state)) == 1, "it has more or none")
            return
    raise NotOffered("CAPA does not name IMPLEMENTATION")


# --- response codes --------------------


def _refusals(at: Probe) -> list[Reply]:
    """Negative replies of many kinds."""
    client = at.open()
    found = [at.open().err("XYZZ"), at.open().err("STAT"), client.ask("USER nobody-here")]
    if found[-1].positive:
        found.append(client.err("PASS wrong"))
    client, other = at.session(), at.open()
    found += [client.err("TOP"), client.err("XYZZ")]
    reply = at.enter(other)
    return [it for it in (*found, reply) if it.negative]


def _after_status(reply: Reply) -> bytes:
    return reply.text.split(b" ", 1)[-1]


@rule("RFC 2449 8", MUST, "With RESP-CODES what begins with a bracket is a response code.")
def response_codes(at: Probe) -> None:
    at.offers("RESP-CODES")
    for reply in _refusals(at):
        text = _after_status(reply)
        demand(not text.startswith(b"[") or CODE.match(text), f"{text!r} is none")


@rule("RFC 2449 8", MUST, "Without RESP-CODES no text of a reply begins with a bracket.")
def no_response_codes(at: Probe) -> None:
    if "RESP-CODES" in at.announced():
        raise NotOffered("there are response codes")
    wrong = [it for it in _refusals(at) if _after_status(it).startswith(b"[")]
    demand(not wrong, "one does")


@rule("RFC 2449 8.1.2", SHOULD, "With RESP-CODES a maildrop in use is [IN-USE].")
def in_use(at: Probe) -> None:
    at.offers("RESP-CODES")
    at.session()
    reply = at.enter(at.open())
    if reply.positive:
        raise Unsure("a second session is let in")
    demand(reply.code == b"IN-USE", "the code is another or missing")


# --- lengths --------------------


@rule("RFC 2449 4", MUST, "A command line of 255 octets is taken whole.")
def command_of_255_octets(at: Probe) -> None:
    for command in (b"USER " + b"n" * 248, b"X" * 253):
        client = at.open()
        client.ask(command)
        client.ok(f"USER {at.target.user}")
    client = at.session()
    client.err(b"X" * 253)
    client.ok("NOOP")
