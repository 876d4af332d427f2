"""What the stub says after login."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from conformance.stub.drop import Drop, Message

if TYPE_CHECKING:
    from conformance.stub.talk import Talk


def _number(talk: Talk, word: str) -> int | None:
    if talk.wrong("numbers may be negative") and word == "-1":
        return 1
    if talk.wrong("numbers have a sign") and word.startswith("+"):
        word = word[1:]
    if talk.wrong("numbers wrap") and word.isascii() and word.isdigit():
        return int(word) % (1 << 32)
    if talk.wrong("numbers are read to the first other character"):
        word = re.match(r"\d*", word, re.ASCII)[0]  # type: ignore[index]
    if talk.wrong("numbers have any digits") and len(word) == 1 and word.isdecimal():
        return int(word)
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else None


def _find(talk: Talk, word: str, keyword: str) -> Message | None:
    """The message, or None after saying that there is none."""
    assert talk.drop is not None
    number = _number(talk, word)
    if talk.wrong(f"{keyword} 0 is message 1") and number == 0:
        number = 1
    if number and talk.wrong(f"{keyword} of deleted mail"):
        if number <= len(talk.drop.messages):
            return talk.drop.messages[number - 1]
    found = talk.drop.find(number) if number is not None else None
    if found is None:
        talk.err("no such message")
    return found


def _stat(talk: Talk, _: list[str]) -> None:
    assert talk.drop is not None
    if talk.wrong("the snapshot moves"):
        talk.drop.messages = Drop(talk.stub, talk.session).messages
    shown = [it for _, it in talk.drop.kept()]
    if talk.wrong("STAT counts deleted mail"):
        shown = talk.drop.messages
    octets = sum(it.size for it in shown)
    if talk.wrong("STAT is wrong") and len(shown) == 3:
        octets += len(shown)
    if talk.wrong("STAT runs into words"):
        talk.ok(f"{len(shown)} {octets}octets")
    else:
        talk.ok(f"{len(shown)} {octets}")


def _list(talk: Talk, words: list[str]) -> None:
    _each(talk, words, "LIST", lambda it: str(it.size))


def _uidl(talk: Talk, words: list[str]) -> None:
    _each(talk, words, "UIDL", lambda it: it.uidl)


def _each(talk: Talk, words: list[str], keyword: str, value: Callable[[Message], str]) -> None:
    assert talk.drop is not None
    if words:
        found = _find(talk, words[0], keyword)
        if found is not None:
            told = value(found) + ("0" if talk.wrong(f"{keyword} of one is another") else "")
            talk.ok(f"{talk.drop.messages.index(found) + 1} {told}")
        return
    pairs = talk.drop.kept()
    if talk.wrong(f"{keyword} lists deleted mail"):
        pairs = list(enumerate(talk.drop.messages, 1))
    if talk.wrong("LIST fails on an empty maildrop") and not pairs:
        talk.err("nothing there")
        return
    if talk.wrong("LIST leaves one out") and keyword == "LIST" and len(pairs) == 3:
        pairs = pairs[:-1]
    first = -1 if talk.wrong("numbers begin with 0") and len(pairs) == 3 else 0
    blanks = "  " if talk.wrong(f"{keyword} has two blanks") else " "
    shown = pairs[:-1] if talk.wrong("UIDL leaves one out") and keyword == "UIDL" else pairs
    talk.listing([f"{number + first}{blanks}{value(it)}" for number, it in shown])


def _retr(talk: Talk, words: list[str]) -> None:
    assert talk.drop is not None
    found = _find(talk, words[0], "RETR")
    if found is not None:
        if talk.wrong("RETR gives another message"):
            found = talk.drop.messages[-1]
        _send(talk, found, found.octets, "RETR")
        if talk.wrong("RETR deletes") and len(talk.drop.messages) == 2:
            found.deleted = True


def _top(talk: Talk, words: list[str]) -> None:
    lines = _number(talk, words[1])
    if lines is None and words[1] == "2147483647":
        lines = 2147483647
    if lines is None and talk.wrong("TOP takes any lines"):
        lines = 0
    if lines is None:
        talk.err("how many lines?")
        return
    found = _find(talk, words[0], "TOP")
    if found is None:
        return
    head, blank, body = found.octets.partition(b"\r\n\r\n")
    if found.octets.startswith(b"\r\n"):
        head, blank, body = b"", b"\r\n", found.octets[2:]
    rows = body.splitlines(keepends=True)
    if not blank and talk.wrong("TOP needs a blank line"):
        talk.err("no header")
    elif talk.wrong("TOP counts the header") and lines:
        every = found.octets.splitlines(keepends=True)
        _send(talk, found, b"".join(every[: max(lines, 1)]), "TOP")
    elif talk.wrong("TOP has no blank line"):
        _send(talk, found, head + b"\r\n" + b"".join(rows[:lines]), "TOP")
    elif talk.wrong("TOP has a limit") and lines > len(rows):
        talk.err("there are not so many")
    elif not blank:
        _send(talk, found, head, "TOP")
    else:
        _send(talk, found, head + blank + b"".join(rows[:lines]), "TOP")


def _send(talk: Talk, message: Message, octets: bytes, keyword: str) -> None:
    assert talk.drop is not None
    if not talk.drop.there(message):
        if talk.wrong("vanished mail is empty"):
            octets = b"\r\n"
        elif not talk.wrong("vanished mail is fatal"):
            talk.err("it is gone", "SYS/ODD" if talk.wrong("SYS codes are odd") else "SYS/TEMP")
            return
        else:
            raise OSError("gone")
    head = message.octets.split(b"\r\n\r\n")[0]
    if not talk.utf8 and not head.isascii() and _is_utf8(head) and b": " in head:
        if not talk.wrong("UTF-8 goes to everybody"):
            talk.err("use UTF8", "" if talk.wrong("no UTF8 code") else "UTF8")
            return
    talk.ok("it follows")
    if not talk.wrong(f"{keyword} does not stuff") and not talk.wrong("nothing is stuffed"):
        stuffed = re.sub(rb"^\.", b"..", octets, flags=re.MULTILINE)
        if talk.wrong("a first dot is not stuffed") and octets.startswith(b"."):
            stuffed = stuffed[1:]
        octets = stuffed
    if talk.wrong("a final CRLF is missing") and message.path.stat().st_size == 1:
        octets = octets.removesuffix(b"\r\n")
    talk.wire.send(octets + b".\r\n")
    talk.drop.read(message)


def _dele(talk: Talk, words: list[str]) -> None:
    found = _find(talk, words[0], "DELE")
    if found is not None:
        found.deleted = True
        talk.ok("deleted")


def _rset(talk: Talk, _: list[str]) -> None:
    assert talk.drop is not None
    talk.was_reset = True
    for message in talk.drop.messages:
        if not talk.wrong("RSET keeps marks"):
            message.deleted = False
    talk.ok()


def _noop(talk: Talk, _: list[str]) -> None:
    talk.reply("+OKAY" if talk.wrong("the status runs on") else "+OK")


def _quit(talk: Talk, _: list[str]) -> None:
    if talk.wrong("the connection stays open after QUIT") and talk.bare():
        talk.ok("bye")
        return
    if talk.wrong("what follows QUIT is answered") and talk.bare():
        talk.ok("bye")
        with contextlib.suppress(OSError):
            line = talk.wire.line()
            if line:
                talk.answer(line)
    talk.finished = True
    if talk.drop:
        marked = any(it.deleted for it in talk.drop.messages)
        if talk.wrong("QUIT deletes late") and marked:
            talk.late = True
        elif not talk.wrong("QUIT deletes nothing"):
            talk.drop.commit()
    if talk.drop:
        talk.stub.locked = False
        talk.drop = talk.drop if talk.late else None
        if talk.wrong("a lock outlives QUIT") and not talk.busy_before:
            talk.stub.refuse_until = time.monotonic() + 1
    talk.ok("bye")


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


COMMANDS: dict[str, Callable[[Talk, list[str]], None]] = {
    "STAT": _stat,
    "LIST": _list,
    "UIDL": _uidl,
    "RETR": _retr,
    "TOP": _top,
    "DELE": _dele,
    "RSET": _rset,
    "NOOP": _noop,
    "QUIT": _quit,
}
