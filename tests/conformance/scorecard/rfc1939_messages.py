"""RFC 1939 sections 3, 5 and 11: STAT, LIST and RETR, numbers, octets, stuffing."""

from __future__ import annotations

import re

from conformance.scorecard.mail import crlf_form, letter
from conformance.scorecard.probe import Probe, refused, sizes, totals
from conformance.scorecard.rules import Level, add, demand, rule

MUST, SHOULD = Level.MUST, Level.SHOULD
NOT_NUMBERS = (
    "0", "-1", "+1", "1.0", "0x1", "1x", "x", "4294967297", "18446744073709551617",
    "\N{SUPERSCRIPT TWO}", "\N{DEVANAGARI DIGIT ONE}", "\N{FULLWIDTH DIGIT ONE}",
)  # fmt: skip
"""None is the number of the one message there is; some wrap round to it in 32 or 64 bits."""


# --- STAT and LIST --------------------


@rule("RFC 1939 5", MUST, "STAT is +OK, the number of messages and their octets.")
def stat_has_two_numbers(at: Probe) -> None:
    line = at.session().ok("STAT").line
    demand(re.match(rb"\+OK \d+ \d+( [^\r\n]*)?\r?\n", line), "it has another form")


@rule("RFC 1939 5", MUST, "An empty maildrop is 0 messages of 0 octets, and an empty listing.")
def empty_maildrop(at: Probe) -> None:
    at.put()
    client = at.session()
    demand(totals(client) == (0, 0), "STAT has other numbers")
    demand(client.listing("LIST") == [], "LIST has a line")
    refused(client, "LIST 1", "RETR 1", "DELE 1")


@rule("RFC 1939 5", MUST, "A scan listing is the number, one blank and the octets.")
def scan_listing_form(at: Probe) -> None:
    for line in at.some(3).listing("LIST"):
        demand(re.match(rb"\d+ \d+( |$)", line), f"a line is {line!r}")


@rule("RFC 1939 5", MUST, "LIST with a number is +OK and that message's scan listing.")
def list_of_one_message(at: Probe) -> None:
    client = at.some(3)
    for number, size in sizes(client).items():
        wanted = rb"\+OK %d %d( |\r|\n)" % (number, size)
        demand(re.match(wanted, client.ok(f"LIST {number}").line), "it is not what LIST says")


@rule("RFC 1939 5", MUST, "Messages are numbered from 1, without gaps.")
def numbers_begin_with_one(at: Probe) -> None:
    found = list(sizes(at.some(3)))
    demand(found == list(range(1, len(found) + 1)), f"they are {found[:10]}")


@rule("RFC 1939 5", MUST, "STAT's count and octets are those of LIST.")
def stat_and_list_agree(at: Probe) -> None:
    client = at.some(3)
    found, told = sizes(client), totals(client)
    demand(told == (len(found), sum(found.values())), "they do not agree")


def _refuses_numbers(keyword: str, more: str) -> None:
    def check(at: Probe) -> None:
        if keyword in ("TOP", "UIDL"):
            at.offers_command(keyword, f"{keyword} 1{more}")
        client = at.some(1, doomed=keyword == "DELE")
        for text in NOT_NUMBERS:
            refused(client, f"{keyword} {text}{more}")
        refused(client, f"{keyword} {totals(client)[0] + 1}{more}")

    sentence = f"{keyword} refuses what is no message's number: 0, -1, +1, 1.0, 2^64+1 and so on."
    add(
        "RFC 1939 5",
        MUST,
        sentence,
        check,
        f"{keyword.lower()} refuses no numbers".replace(" ", "_"),
    )


for _keyword, _more in (("LIST", ""), ("RETR", ""), ("DELE", ""), ("TOP", " 0"), ("UIDL", "")):
    _refuses_numbers(_keyword, _more)


# --- RETR --------------------


@rule("RFC 1939 5", MUST, "RETR gives the message, with CRLF for each line end.")
def retr_gives_the_message(at: Probe) -> None:
    message = letter(1)
    at.put(message)
    demand(at.session().message("RETR 1") == crlf_form(message), "it is another text")


@rule("RFC 1939 11", MUST, "LIST's octets are those of RETR, without stuffing, CRLF as two.")
def list_tells_the_octets(at: Probe) -> None:
    client = at.some(4)
    for number, size in list(sizes(client).items())[:20]:
        found = len(client.message(f"RETR {number}"))
        demand(found == size, f"message {number}: LIST says {size}, RETR has {found}")


@rule("RFC 1939 5", MUST, "RETR gives the same twice, and does not delete.")
def retr_may_be_repeated(at: Probe) -> None:
    client = at.some(2)
    first = client.message("RETR 1")
    demand(client.message("RETR 1") == first, "the second time it is another text")
    demand(1 in sizes(client), "the message is gone from LIST")


@rule("RFC 1939 5", MUST, "Each number gives its own message.")
def each_number_its_own(at: Probe) -> None:
    letters = [crlf_form(letter(number)) for number in (1, 2, 3)]
    at.put(*map(letter, (1, 2, 3)))
    client = at.session()
    found = [client.message(f"RETR {number}") for number in (3, 1, 2)]
    demand(sorted(found) == sorted(letters), "the messages are not those delivered")


def _stuffs(what: str, sentence: str, body: bytes) -> None:
    def check(at: Probe) -> None:
        at.put(body)
        client = at.session()
        client.ok("RETR 1")
        wire = client.body()
        client.ok("NOOP")
        wanted = b"".join(
            b"." + line if line.startswith(b".") else line
            for line in crlf_form(body).splitlines(keepends=True)
        )
        demand(wire == wanted, "the lines that begin with a dot are not what they must be")

    add("RFC 1939 3", MUST, sentence, check, what)


_stuffs("dot_first", "A message whose first octet is a dot is stuffed too.", b".\nx: y\n\nz\n")
_stuffs("dot_alone", "A line of a single dot does not end the message.", b"A: b\n\none\n.\ntwo\n")
_stuffs("dot_begins", "A line that begins with a dot gets one more.", b"A: b\n\n.x\n..\n...y\nz.\n")
_stuffs("dot_last", "A final line of a single dot is stuffed.", b"A: b\n\nend\n.\n")
_stuffs("dot_unended", "A final dot without a line end is stuffed.", b"A: b\n\nend\n.")
