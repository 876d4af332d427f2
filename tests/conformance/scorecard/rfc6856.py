"""RFC 6856: UTF8 and LANG."""

from __future__ import annotations

import re

from conformance.scorecard.mail import crlf_form
from conformance.scorecard.probe import Probe, sizes, totals
from conformance.scorecard.rules import Level, demand, rule
from conformance.scorecard.wire import Client, Reply

MUST, SHOULD = Level.MUST, Level.SHOULD
INTERNATIONAL = "From: ana@example.org\nSubject: Grüße aus Málaga\n\nplain text\n".encode()
EIGHT_BIT_BODY = b"From: ana@example.org\nSubject: plain\n\n\xfcber 8 bit\n"


def _utf8(at: Probe) -> Client:
    at.offers("UTF8")
    return at.open()


def _in_utf8(at: Probe) -> Client:
    client = _utf8(at)
    client.ok("UTF8")
    return client


@rule("RFC 6856 2", MUST, "UTF8, when it is announced, is accepted before login.")
def utf8_before_login(at: Probe) -> None:
    client = _in_utf8(at)
    demand(at.enter(client).positive, "the login was refused after it")
    client.ok("STAT")


@rule("RFC 6856 2", MUST, "UTF8 is refused after login.")
def utf8_after_login(at: Probe) -> None:
    at.offers("UTF8")
    client = at.session()
    client.err("UTF8")
    client.ok("NOOP")


@rule("RFC 6856 2.1", MUST, "UTF8 takes no argument.")
def utf8_arguments(at: Probe) -> None:
    _utf8(at).err("UTF8 yes")


@rule("RFC 6856 2.2", MUST, "The capability UTF8 has no parameter but USER.")
def utf8_parameters(at: Probe) -> None:
    demand(at.offers("UTF8") in ([], ["USER"]), "it has another")


@rule("RFC 6856 2.2", MUST, "With UTF8 USER a name in UTF-8 is taken.")
def utf8_user(at: Probe) -> None:
    if "USER" in at.offers("UTF8"):
        client = _in_utf8(at)
        if client.ask("USER käthe-nobody").positive:
            client.err("PASS wrong")


@rule("RFC 6856 2", MUST, "In UTF8 mode an internationalized message comes as it is.")
def utf8_message(at: Probe) -> None:
    at.offers("UTF8")
    at.put(INTERNATIONAL)
    client = at.session(lambda: _in_utf8(at))
    demand(client.message("RETR 1") == crlf_form(INTERNATIONAL), "it is another text")
    demand(sizes(client)[1] == len(crlf_form(INTERNATIONAL)), "LIST says something else")


@rule("RFC 6856 2", MUST, "Without UTF8 mode no header comes in UTF-8: [UTF8], or a downgrade.")
def utf8_message_without_utf8(at: Probe) -> None:
    at.offers("UTF8")
    at.put(INTERNATIONAL)
    client = at.session()
    for command in ("RETR 1", "TOP 1 0"):
        reply = client.ask(command)
        if reply.positive:
            head = client.body().split(b"\r\n\r\n")[0]
            demand(head.isascii(), "the header has octets above 127")
        elif "RESP-CODES" in at.announced():
            demand(reply.code == b"UTF8", "the refusal does not say [UTF8]")


@rule("RFC 6856 2", SHOULD, "Without UTF8 mode STAT and LIST still count such a message.")
def utf8_message_is_counted(at: Probe) -> None:
    at.offers("UTF8")
    at.put(INTERNATIONAL, b"A: b\n\nplain\n")
    client = at.session()
    demand((totals(client)[0], len(sizes(client))) == (2, 2), "it is not counted")


@rule("RFC 6856 2", SHOULD, "A body of 8 bits alone does not need UTF8 mode.")
def eight_bit_body_without_utf8(at: Probe) -> None:
    at.offers("UTF8")
    at.put(EIGHT_BIT_BODY)
    demand(at.session().message("RETR 1") == crlf_form(EIGHT_BIT_BODY), "it is another text")


# --- LANG --------------------


def _languages(at: Probe, client: Client) -> list[str]:
    at.offers("LANG")
    if client.ask("LANG").negative:
        return []  # a server may be unable to list them
    return [it.decode().split(" ")[0] for it in client.body().splitlines()]


@rule("RFC 6856 3", MUST, "LANG lists languages, each line a tag and a description.")
def lang_lists(at: Probe) -> None:
    at.offers("LANG")
    client = at.open()
    if client.ask("LANG").positive:
        lines = client.body().splitlines()
        demand(lines, "the list is empty")
        for line in lines:
            demand(re.match(rb"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})* \S", line), f"a line is {line!r}")
            line.decode("utf-8")


@rule("RFC 6856 3", MUST, "Each language listed can be chosen; the reply begins with its tag.")
def lang_chooses(at: Probe) -> None:
    client = at.open()
    for tag in _languages(at, client):
        text = client.ok(f"LANG {tag}").text.decode()
        demand(text.lower().startswith(f"+ok {tag.lower()} "), "it does not")


@rule("RFC 6856 3", MUST, "LANG * chooses the server's own language.")
def lang_star(at: Probe) -> None:
    at.offers("LANG")
    demand(re.match(rb"\+OK [A-Za-z]{1,8}(-\w+)* ", at.open().ok("LANG *").text), "no tag is named")


@rule("RFC 6856 3", MUST, "A language that is not there is refused, and nothing changes.")
def lang_unknown(at: Probe) -> None:
    at.offers("LANG")
    client = at.open()
    before = client.err("STAT").text
    client.err("LANG xx-unknown")
    demand(client.err("STAT").text == before, "the language has changed")
    client.leave()
    at.open().err("LANG en en")


@rule("RFC 6856 3", MUST, "LANG works in both states, and the choice outlives the login.")
def lang_in_both_states(at: Probe) -> None:
    for tag in _languages(at, at.open()):
        client = at.open()
        client.ok(f"LANG {tag}")
        demand(at.enter(client).positive, "the login was refused")
        chosen = client.err("TOP").text
        client.ok(f"LANG {tag}")
        demand(client.err("TOP").text == chosen, "the login has changed the language")
        chosen.decode("utf-8")
        client.leave()


@rule("RFC 6856 3", MUST, "Replies in any language keep +OK, -ERR and 512 octets.")
def lang_keeps_the_protocol(at: Probe) -> None:
    for tag in _languages(at, at.open()):
        client = at.open()
        client.ok(f"LANG {tag}")
        replies = [client.ask("XYZZ"), client.ask(f"USER {at.target.user}")]
        demand(all(len(it.line) <= 512 for it in replies), "one is longer")
        demand(Reply(client.ask("QUIT").line).positive, "QUIT was refused")
