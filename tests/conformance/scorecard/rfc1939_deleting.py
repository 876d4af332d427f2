"""RFC 1939 sections 5 and 6: DELE, RSET and what QUIT makes of them."""

from __future__ import annotations

from conformance.scorecard.mail import letter
from conformance.scorecard.probe import Probe, refused, sizes, totals, unique_ids
from conformance.scorecard.rules import Level, demand, rule
from conformance.scorecard.wire import Client

MUST = Level.MUST


def _with_one_deleted(at: Probe) -> Client:
    """A session of three messages, the second marked as deleted."""
    client = at.some(3, doomed=True)
    client.ok("DELE 2")
    return client


@rule("RFC 1939 5", MUST, "DELE of a message that is there is answered by +OK.")
def dele(at: Probe) -> None:
    _with_one_deleted(at)


@rule("RFC 1939 3", MUST, "DELE needs a number, and takes no more than that.")
def dele_arguments(at: Probe) -> None:
    refused(at.some(1, doomed=True), "DELE", "DELE ", "DELE 1 1")


@rule("RFC 1939 5", MUST, "DELE of a deleted message is refused.")
def second_dele(at: Probe) -> None:
    refused(_with_one_deleted(at), "DELE 2")


@rule("RFC 1939 5", MUST, "RETR of a deleted message is refused.")
def retr_of_a_deleted_message(at: Probe) -> None:
    refused(_with_one_deleted(at), "RETR 2")


@rule("RFC 1939 5", MUST, "LIST does not list a deleted message.")
def list_without_the_deleted(at: Probe) -> None:
    demand(2 not in sizes(_with_one_deleted(at)), "it is listed")


@rule("RFC 1939 5", MUST, "LIST with a deleted message's number is refused.")
def list_of_a_deleted_message(at: Probe) -> None:
    refused(_with_one_deleted(at), "LIST 2")


@rule("RFC 1939 5", MUST, "STAT counts neither a deleted message nor its octets.")
def stat_without_the_deleted(at: Probe) -> None:
    client = at.some(3, doomed=True)
    there, octets = sizes(client), totals(client)
    client.ok("DELE 2")
    wanted = (octets[0] - 1, octets[1] - there[2])
    demand(totals(client) == wanted, f"it should be {wanted}")


@rule("RFC 1939 7", MUST, "TOP of a deleted message is refused.")
def top_of_a_deleted_message(at: Probe) -> None:
    at.offers_command("TOP", "TOP 1 0")
    refused(_with_one_deleted(at), "TOP 2 0")


@rule("RFC 1939 7", MUST, "UIDL does not list a deleted message.")
def uidl_without_the_deleted(at: Probe) -> None:
    at.offers_command("UIDL", "UIDL")
    demand(2 not in unique_ids(_with_one_deleted(at)), "it is listed")


@rule("RFC 1939 7", MUST, "UIDL with a deleted message's number is refused.")
def uidl_of_a_deleted_message(at: Probe) -> None:
    at.offers_command("UIDL", "UIDL")
    refused(_with_one_deleted(at), "UIDL 2")


@rule("RFC 1939 5", MUST, "DELE does not change the other messages' numbers and sizes.")
def dele_leaves_the_others(at: Probe) -> None:
    client = at.some(3, doomed=True)
    there = sizes(client)
    client.ok("DELE 2")
    there.pop(2)
    demand(sizes(client) == there, "LIST has changed otherwise")
    demand(len(client.message("RETR 3")) == there[3], "RETR 3 is another message")


@rule("RFC 1939 5", MUST, "RSET takes all marks away.")
def rset_takes_marks_away(at: Probe) -> None:
    client = at.some(3, doomed=True)
    there, octets = sizes(client), totals(client)
    for number in (1, 3):
        client.ok(f"DELE {number}")
    client.ok("RSET")
    demand((sizes(client), totals(client)) == (there, octets), "it is not as before")
    client.ok("DELE 1")


def _quit(client: Client) -> None:
    client.entered = False
    client.ok("QUIT")


@rule("RFC 1939 6", MUST, "QUIT removes the messages marked as deleted, and no others.")
def quit_deletes(at: Probe) -> None:
    client = at.some(3, doomed=True)
    there = sizes(client)
    client.ok("DELE 2")
    _quit(client)
    wanted = [there[number] for number in sorted(there) if number != 2]
    demand(list(sizes(at.session()).values()) == wanted, "the next session sees something else")


@rule("RFC 1939 6", MUST, "When QUIT is answered, the mail is gone from the disk.")
def quit_deletes_before_it_answers(at: Probe) -> None:
    files = at.put(letter(1), letter(2))
    client = at.session()
    client.ok("DELE 1")
    _quit(client)
    left = at.maildir().files()
    names = [it.name.split(":")[0] for it in left]
    demand(names == [files[1].name], f"{len(names)} files are there")


@rule("RFC 1939 6", MUST, "QUIT after RSET removes nothing.")
def rset_then_quit(at: Probe) -> None:
    client = at.some(2, doomed=True)
    there = sizes(client)
    client.ok("DELE 1")
    client.ok("RSET")
    _quit(client)
    demand(sizes(at.session()) == there, "a message is gone")


@rule("RFC 1939 6", MUST, "A connection that ends without QUIT removes nothing.")
def drop_deletes_nothing(at: Probe) -> None:
    client = at.some(2, doomed=True)
    there = sizes(client)
    client.ok("DELE 1")
    client.drop()
    demand(sizes(at.session()) == there, "a message is gone")


@rule("RFC 1939 6", MUST, "A half QUIT, cut off before its line end, removes nothing.")
def unfinished_quit(at: Probe) -> None:
    client = at.some(2, doomed=True)
    there = sizes(client)
    client.ok("DELE 1")
    client.send(b"QUIT")
    client.half_close()
    client.rest()
    client.drop()
    demand(sizes(at.session()) == there, "a message is gone")


@rule("RFC 1939 6", MUST, "All messages can be deleted.")
def delete_all(at: Probe) -> None:
    client = at.some(3, doomed=True)
    for number in list(sizes(client)):
        client.ok(f"DELE {number}")
    demand(totals(client) == (0, 0), "STAT still counts")
    _quit(client)
    demand(totals(at.session()) == (0, 0), "something is left")
