"""RFC 1939 section 7: the optional commands TOP, UIDL and APOP."""

from __future__ import annotations

import hashlib
import re

from conformance.scorecard.mail import letter
from conformance.scorecard.probe import Probe, refused, unique_ids
from conformance.scorecard.rules import Level, NotOffered, Unsure, demand, rule
from conformance.scorecard.wire import Client

MUST, SHOULD, MAY = Level.MUST, Level.SHOULD, Level.MAY
TEXT = b"A: b\nC: d\n e\n\none\n.two\n\nfour\n"
HEAD = b"A: b\r\nC: d\r\n e\r\n\r\n"


# --- TOP --------------------


def _top(at: Probe, message: bytes = TEXT) -> Client:
    at.offers_command("TOP", "TOP 1 0")
    at.put(message)
    return at.session()


@rule("RFC 1939 7", MUST, "TOP n 0 gives the header and the blank line, and nothing more.")
def top_without_lines(at: Probe) -> None:
    demand(_top(at).message("TOP 1 0") == HEAD, "it is something else")


@rule("RFC 1939 7", MUST, "TOP counts lines of the body, and not those of the header.")
def top_counts_body_lines(at: Probe) -> None:
    client = _top(at)
    demand(client.message("TOP 1 1") == HEAD + b"one\r\n", "TOP 1 1 is something else")
    demand(client.message("TOP 1 3") == HEAD + b"one\r\n.two\r\n\r\n", "TOP 1 3 is something else")


@rule("RFC 1939 7", MUST, "TOP with more lines than there are gives the whole message.")
def top_with_too_many_lines(at: Probe) -> None:
    client = _top(at)
    whole = client.message("RETR 1")
    for lines in ("4", "5", "99999", "2147483647"):
        demand(client.message(f"TOP 1 {lines}") == whole, f"TOP 1 {lines} is not what RETR gives")


@rule("RFC 1939 7", MUST, "TOP stuffs as RETR does.")
def top_stuffs(at: Probe) -> None:
    client = _top(at, b".A: b\n\n.\nx\n")
    client.ok("TOP 1 1")
    demand(client.body() == b"..A: b\r\n\r\n..\r\n", "it is something else")


@rule("RFC 1939 7", MUST, "TOP of a message without a blank line gives its header.")
def top_without_blank_line(at: Probe) -> None:
    found = _top(at, b"A: b\nC: d\n").message("TOP 1 5")
    demand(found in (b"A: b\r\nC: d\r\n", b"A: b\r\nC: d\r\n\r\n"), "it is something else")


@rule("RFC 1939 7", MUST, "TOP needs a number and a non-negative count of lines.")
def top_arguments(at: Probe) -> None:
    at.offers_command("TOP", "TOP 1 0")
    refused(at.some(1), "TOP 1", "TOP 1 -1", "TOP 1 x", "TOP 1 +1", "TOP 1 1 1")


@rule("RFC 1939 7", MUST, "TOP of any message works on mail that is there.")
def top_is_the_beginning_of_retr(at: Probe) -> None:
    at.offers_command("TOP", "TOP 1 0")
    client = at.some(2)
    whole, part = client.message("RETR 1"), client.message("TOP 1 0")
    demand(whole.startswith(part.removesuffix(b"\r\n")), "RETR does not begin with it")


# --- UIDL --------------------


def _ids(at: Probe, count: int = 3) -> tuple[Client, dict[int, bytes]]:
    at.offers_command("UIDL", "UIDL")
    client = at.some(count)
    return client, unique_ids(client)


@rule("RFC 1939 7", MUST, "A unique id has 1 to 70 characters from 0x21 to 0x7E.")
def uidl_characters(at: Probe) -> None:
    for found in _ids(at)[1].values():
        demand(re.fullmatch(rb"[\x21-\x7e]{1,70}", found), f"one is {found!r}")


@rule("RFC 1939 7", MUST, "UIDL lists the messages that LIST lists.")
def uidl_lists_all(at: Probe) -> None:
    client, found = _ids(at)
    listed = [int(line.split()[0]) for line in client.listing("LIST")]
    demand(list(found) == listed, "the numbers differ")


@rule("RFC 1939 7", MUST, "UIDL with a number is +OK, the number and the id that UIDL lists.")
def uidl_of_one_message(at: Probe) -> None:
    client, found = _ids(at)
    for number, unique in found.items():
        line = client.ok(f"UIDL {number}").text
        demand(line == b"+OK %d %b" % (number, unique), "it is something else")


@rule("RFC 1939 7", MUST, "Unique ids are the same in every session, and in the same order.")
def uidl_is_stable(at: Probe) -> None:
    client, found = _ids(at)
    client.leave()
    demand(unique_ids(at.session()) == found, "the next session has others")


@rule("RFC 1939 7", MUST, "A unique id does not change when the message has been read.")
def uidl_survives_reading(at: Probe) -> None:
    client, found = _ids(at, 2)
    client.message("RETR 1")
    client.leave()
    demand(unique_ids(at.session()) == found, "the next session has others")


@rule("RFC 1939 7", MUST, "A unique id does not change when another program sets a flag.")
def uidl_survives_flags(at: Probe) -> None:
    at.offers_command("UIDL", "UIDL")
    paths = at.put(letter(1), letter(2))
    client = at.session()
    found = unique_ids(client)
    client.leave()
    at.maildir().flag(paths[0], "FS")
    demand(unique_ids(at.session()) == found, "the next session has others")


@rule("RFC 1939 7", MUST, "No two messages have one unique id.")
def uidl_is_unique(at: Probe) -> None:
    found = _ids(at, 4)[1]
    demand(len(set(found.values())) == len(found), "two are the same")


@rule("RFC 1939 7", MAY, "Messages of the same text have ids of their own.")
def uidl_of_copies(at: Probe) -> None:
    at.offers_command("UIDL", "UIDL")
    at.put(letter(1), letter(1))
    found = unique_ids(at.session())
    demand(len(set(found.values())) == 2, "they have the same")


@rule("RFC 1939 7", SHOULD, "The id of a deleted message is not given to a later one.")
def uidl_is_not_reused(at: Probe) -> None:
    at.offers_command("UIDL", "UIDL")
    at.put(letter(1), letter(2))
    client = at.session()
    before = unique_ids(client)
    client.ok("DELE 2")
    client.entered = False
    client.ok("QUIT")
    at.maildir().deliver(letter(3))
    after = unique_ids(at.session())
    demand(len(after) == 2 and after[1] == before[1], "the message that stayed has another id")
    demand(after[2] != before[2], "the new message has the id of the deleted one")


@rule("RFC 1939 7", MUST, "The other messages' ids stay when one is deleted.")
def uidl_survives_deletion(at: Probe) -> None:
    at.offers_command("UIDL", "UIDL")
    client = at.some(3, doomed=True)
    before = unique_ids(client)
    client.ok("DELE 1")
    client.entered = False
    client.ok("QUIT")
    after = list(unique_ids(at.session()).values())
    demand(after == list(before.values())[1:], "the next session has others")


# --- APOP --------------------


def _timestamp(client: Client) -> bytes:
    found = re.search(rb"<[\x21-\x7e]+@[\x21-\x7e]+>", client.greeting.line)
    if found is None:
        raise NotOffered("the greeting has no timestamp for APOP")
    return found[0]


def _digest(timestamp: bytes, password: str) -> str:
    return hashlib.md5(timestamp + password.encode(), usedforsecurity=False).hexdigest()


@rule("RFC 1939 7", MUST, "Each greeting has a timestamp of its own.")
def apop_timestamps_differ(at: Probe) -> None:
    found = {_timestamp(at.open()) for _ in range(3)}
    demand(len(found) == 3, "one came twice")


@rule("RFC 1939 7", MUST, "APOP with the right digest logs in.")
def apop_right_digest(at: Probe) -> None:
    client = at.open()
    reply = client.ask(f"APOP {at.target.user} {_digest(_timestamp(client), at.target.password)}")
    client.entered = reply.positive
    if not reply.positive:
        raise Unsure("refused: this account may have no secret for APOP")
    client.ok("STAT")


@rule("RFC 1939 7", MUST, "APOP with a wrong digest, or one of another greeting, is refused.")
def apop_wrong_digest(at: Probe) -> None:
    client, other = at.open(), at.open()
    right = _digest(_timestamp(client), at.target.password)
    client.err(f"APOP {at.target.user} {'0' * 32}")
    other.err(f"APOP {at.target.user} {right}")


@rule("RFC 1939 7", MUST, "APOP needs a name and a digest of 32 hexadecimal digits.")
def apop_arguments(at: Probe) -> None:
    for more in ("", f" {at.target.user}", f" {at.target.user} 0", " x y z"):
        client = at.open()
        _timestamp(client)
        client.err(f"APOP{more}")
