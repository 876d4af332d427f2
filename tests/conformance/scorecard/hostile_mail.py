"""Hostile mail: odd octets, and what lies in a Maildir without being mail."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from conformance.scorecard.mail import Maildir, crlf_form, letter
from conformance.scorecard.probe import Probe, sizes, totals
from conformance.scorecard.rules import Level, add, demand, rule
from conformance.scorecard.wire import unstuffed

HOSTILE = Level.HOSTILE
HEAD = b"Subject: odd\n\n"


def _edges(size: int) -> bytes:
    """Dots and line ends on each side of a buffer's edge."""
    fill = size - len(HEAD)
    return HEAD + b"x" * (fill - 4) + b"\r\n.\r\n..\r\n\n.y\n"


MESSAGES: dict[str, tuple[bytes, str]] = {
    "headers_only": (b"Subject: no body\nTo: a@example.org\n", "has headers only"),
    "body_only": (b"\n\nno header\n", "begins with blank lines"),
    "no_final_newline": (HEAD + b"no end", "has no final line end"),
    "no_final_newline_crlf": (b"A: b\r\n\r\nno end", "is stored with CRLF and has no final one"),
    "one_octet": (b"x", "is one octet"),
    "one_newline": (b"\n", "is one line end"),
    "stored_with_crlf": (b"A: b\r\n\r\none\r\n.two\r\n", "is stored with CRLF"),
    "mixed_line_ends": (b"A: b\r\nC: d\n\r\none\ntwo\r\n\nthree\r\n", "has both line ends"),
    "bare_cr": (HEAD + b"a\rb\r\rc\n\rd\n", "has CR within lines"),
    "nul": (HEAD + b"a\0b\n\0\n", "has NULs"),
    "eight_bit": (HEAD + bytes(range(128, 256)) + b"\n", "has all octets above 127"),
    "controls": (HEAD + bytes(range(1, 10)) + bytes(range(14, 32)) + b"\n", "has controls"),
    "long_line": (HEAD + b"y" * 100_000 + b"\n.z\n", "has a line of 100,000 octets"),
    "many_dots": (HEAD + b".\n" * 3000 + b"." * 3000 + b"\n", "is full of dots"),
    "many_newlines": (HEAD + b"\n" * 70_000, "is full of line ends"),
    "false_replies": (HEAD + b"+OK 1 2\n-ERR no\n.\n+OK bye\nQUIT\n", "looks like replies"),
    "from_lines": (b"From a@b Mon Jan 1\nA: b\n\nFrom here\n>From there\n", "has From lines"),
    "edge_4096": (_edges(4096), "has dots and line ends around octet 4,096"),
    "edge_8192": (_edges(8192), "has dots and line ends around octet 8,192"),
    "edge_65536": (_edges(65536), "has dots and line ends around octet 65,536"),
}  # fmt: skip


def _is_exact(message: bytes) -> Callable[[Probe], None]:
    def check(at: Probe) -> None:
        at.put(message)
        client = at.session()
        told = sizes(client)
        found = client.message("RETR 1")
        wanted = crlf_form(message)
        demand(found == wanted, f"{len(found)} octets came that are not the {len(wanted)} stored")
        demand(told == {1: len(found)}, f"LIST says {told}, RETR has {len(found)}")
        demand(totals(client) == (1, len(found)), "STAT says something else")
        client.ok("NOOP")

    return check


for _name, (_message, _what) in MESSAGES.items():
    _sentence = f"A message that {_what} comes exact, and LIST knows its octets."
    add("hostile", HOSTILE, _sentence, _is_exact(_message), f"message_{_name}")


@rule("hostile", HOSTILE, "An empty message is nothing or one CRLF, and LIST knows which.")
def message_empty(at: Probe) -> None:
    at.put(b"", letter(1))
    client = at.session()
    told = sizes(client)
    demand(len(told) == 2, "it is not listed")
    found = client.message("RETR 1")
    demand(found in (b"", b"\r\n"), "something came")
    demand(told[1] == len(found), f"LIST says {told[1]}, RETR has {len(found)}")
    client.message("RETR 2")


# --- a Maildir that changes --------------------


@rule("hostile", HOSTILE, "A message that vanished comes whole or is refused; the others come.")
def message_that_vanished(at: Probe) -> None:
    paths = at.put(letter(1), letter(2))
    client = at.session()
    demand(list(sizes(client)) == [1, 2], "they are not both listed")
    at.maildir().remove(paths[0])
    reply = client.ask("RETR 1")
    if reply.positive:
        demand(unstuffed(client.body()) == crlf_form(letter(1)), "it is not whole")
    demand(client.message("RETR 2") == crlf_form(letter(2)), "the other one is not whole")


@rule("hostile", HOSTILE, "A message that another program marks as read is still there.")
def message_that_moved(at: Probe) -> None:
    paths = at.put(letter(1), letter(2))
    client = at.session()
    demand(list(sizes(client)) == [1, 2], "they are not both listed")
    at.maildir().flag(paths[0], "S")
    demand(client.message("RETR 1") == crlf_form(letter(1)), "it is another text")


# --- what is no mail --------------------


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    # A socket's address is short, its folder's name may not be.
    folder = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


STRANGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "fifo": (_fifo, "FIFO"),
    "socket": (_socket, "socket"),
    "dangling_link": (lambda path: path.symlink_to("nowhere"), "dangling link"),
    "link_to_a_file": (lambda path: path.symlink_to("/etc/passwd"), "link to another file"),
    "folder": (Path.mkdir, "folder"),
}


def _does_no_harm(make: Callable[[Path], None]) -> Callable[[Probe], None]:
    def check(at: Probe) -> None:
        at.put(letter(1))
        path = at.maildir().path / "cur" / f"{at.maildir().name()}:2,S"
        make(path)
        at.afterwards(lambda: _wake(path))
        client = at.session()
        whole = crlf_form(letter(1))
        demand(len(whole) in sizes(client).values(), "the mail beside it is not listed")
        number = next(it for it, size in sizes(client).items() if size == len(whole))
        demand(client.message(f"RETR {number}") == whole, "the mail beside it is not whole")

    return check


def _wake(path: Path) -> None:
    """A server that waits for a FIFO's writer gets one, so that it ends."""
    if path.is_fifo():
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return


for _name, (_make, _what) in STRANGE.items():
    _sentence = f"A {_what} among the mail keeps nobody from the mail beside it."
    add("hostile", HOSTILE, _sentence, _does_no_harm(_make), f"{_name}_in_the_maildir")


@rule("hostile", HOSTILE, "No other file of the machine comes out by a link among the mail.")
def link_gives_nothing_away(at: Probe) -> None:
    at.put(letter(1))
    secret = at.maildir().path / "outside"
    secret.write_bytes(b"Subject: secret\n\nnot mail\n")
    at.afterwards(secret.unlink)
    link = at.maildir().path / "cur" / f"{at.maildir().name()}:2,S"
    link.symlink_to(secret)
    client = at.session()
    for number in sizes(client):
        client.send(b"RETR %d\r\n" % number)
        if client.reply().positive:
            demand(b"secret" not in client.body(), "it was sent")


@rule("hostile", HOSTILE, "A file name that lies about the size does not make LIST lie.")
def false_size_in_a_name(at: Probe) -> None:
    maildir = _emptied(at)
    maildir.deliver(letter(1), "cur", f"{maildir.name()},S=7,W=7:2,S")
    client = at.session()
    told, found = sizes(client), client.message("RETR 1")
    demand(found == crlf_form(letter(1)), "the message is not whole")
    demand(told == {1: len(found)}, f"LIST says {told}, RETR has {len(found)}")


@rule("hostile", HOSTILE, "File names of odd characters are mail like any other.")
def odd_file_names(at: Probe) -> None:
    maildir = _emptied(at)
    for odd in ("a b", "'\"$(x)", "100%s", "näme", "x" * 150):
        maildir.deliver(letter(1), "new", f"{maildir.name()}.{odd}")
    client = at.session()
    demand(totals(client)[0] == 5, "some are not listed")
    for number in sizes(client):
        demand(client.message(f"RETR {number}") == crlf_form(letter(1)), "one is not whole")


def _emptied(at: Probe) -> Maildir:
    at.put()
    return at.maildir()
