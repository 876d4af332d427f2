"""Mailboxes: sets of Maildirs that all servers share, and what a client must get out of them.

All users of a set have the same messages, each as files of its own, stored with LF. They are in
``cur`` and seen, as a polling client leaves them, or new in ``new``.
"""

from __future__ import annotations

import functools
import itertools
import os
import pwd
import random
import shutil
import string
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

USER_NAMES = "u%05u"
MAIL_USER = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
"""Dovecot reads no mail as root; everyone's mail belongs to this user."""

_LINE = 76
_LETTERS = string.ascii_letters + string.digits + "     "
_TEXT = "".join(random.Random(1939).choices(_LETTERS, k=1 << 16))


def message(octets: int, number: int) -> bytes:
    """A message of about so many octets, with LF; a line of every third begins with a dot."""
    head = f"From: ana@example.org\nTo: ben@example.org\nSubject: message {number}\n\n"
    dot = ".a line that must be stuffed\n" if number % 3 == 0 else ""
    block = _block(number * 131 % _LINE)
    room = max(octets - len(head) - len(dot), _LINE)
    body = (block * (room // len(block) + 1))[: room - 1].rstrip("\n") + "\n"
    return (head + dot + body).encode()


@functools.cache
def _block(shift: int) -> str:
    return "".join(
        _TEXT[at : at + _LINE - 1].rstrip().ljust(_LINE - 1, ".") + "\n"
        for at in range(shift, len(_TEXT) - _LINE, _LINE)
    )


def crlf_form(stored: bytes) -> bytes:
    """What a client must have after unstuffing."""
    return stored.replace(b"\n", b"\r\n")


def wire_form(stored: bytes) -> bytes:
    """What a server must send after its status line, with the final dot."""
    return (b"\n" + stored).replace(b"\n.", b"\n..")[1:].replace(b"\n", b"\r\n") + b".\r\n"


def user_name(number: int) -> str:
    """The name of a user by number."""
    return USER_NAMES % number


@dataclass
class Mailboxes:
    """A set of users with the same messages each."""

    folder: Path
    messages: Sequence[bytes]
    users: int
    first_user: int = 0
    beside: Mailboxes | None = None  # a set in whose mail folder these are, too
    _fills: Iterator[int] = field(default_factory=itertools.count, repr=False)

    @property
    def mail(self) -> Path:
        """The servers' mail folder."""
        return self.beside.mail if self.beside else self.folder / "mail"

    @property
    def facts(self) -> Path:
        """The file that tells the load generator what the messages are."""
        return self.folder / "messages"

    @property
    def octets(self) -> int:
        """Octets of one user's messages in CRLF form."""
        return sum(len(crlf_form(stored)) for stored in self.messages)

    def make(self) -> Mailboxes:
        """Write the Maildirs, with all mail seen and in ``cur``."""
        self.folder.mkdir(parents=True)
        if not self.beside:
            self.mail.mkdir()
            _own(self.mail)
        forms = [crlf_form(stored) for stored in self.messages]
        facts = "".join(f"{len(form)} {zlib.crc32(form):08x}\n" for form in forms)
        self.facts.write_text(facts)
        for maildir in self._maildirs():
            for folder in (maildir, maildir / "cur", maildir / "new", maildir / "tmp"):
                folder.mkdir(mode=0o700)
                _own(folder)
        self._fill("cur", ":2,S")
        return self

    def deliver_anew(self, *, seen: bool = False) -> None:
        """Replace all mail by the same messages in new files of new names, as new mail or seen."""
        self.clear()
        if seen:
            self._fill("cur", ":2,S")
        else:
            self._fill("new", "")

    def clear(self) -> None:
        """Remove all mail."""
        for maildir in self._maildirs():
            for folder in ("cur", "new"):
                for entry in os.scandir(maildir / folder):
                    os.unlink(entry)

    def left(self) -> int:
        """Messages that are still there."""
        return sum(
            len(os.listdir(maildir / folder))
            for maildir in self._maildirs()
            for folder in ("new", "cur")
        )

    def forget_indexes(self) -> None:
        """Remove what servers keep in the Maildirs beside the mail."""
        for maildir in self._maildirs():
            for entry in maildir.iterdir():
                if entry.is_file():
                    entry.unlink()

    def remove(self) -> None:
        """Give the room back."""
        shutil.rmtree(self.folder)

    def _maildirs(self) -> Iterator[Path]:
        numbers = range(self.first_user, self.first_user + self.users)
        return (self.mail / user_name(number) for number in numbers)

    def _fill(self, folder: str, suffix: str) -> None:
        fill = next(self._fills)
        names = [
            f"{1_700_000_000 + n}.M{n:06}P{fill}.host{suffix}" for n in range(len(self.messages))
        ]
        for maildir in self._maildirs():
            for name, stored in zip(names, self.messages, strict=True):
                path = maildir / folder / name
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    os.write(fd, stored)
                    os.fchown(fd, MAIL_USER.pw_uid, MAIL_USER.pw_gid)
                finally:
                    os.close(fd)
        # On the disk now, so that no server's fsync pays for it later.
        os.sync()


def _own(folder: Path) -> None:
    os.chown(folder, MAIL_USER.pw_uid, MAIL_USER.pw_gid)


def canned_replies(messages: Sequence[bytes]) -> dict[str, bytes]:
    """The reply to each line or first word, for a mailbox of these messages."""
    sizes = [len(crlf_form(stored)) for stored in messages]
    replies: dict[str, bytes] = {
        "": b"+OK ready\r\n",
        "USER": b"+OK User name accepted, send PASS command\r\n",
        "PASS": b"+OK Logged in\r\n",
        "NOOP": b"+OK\r\n",
        "DELE": b"+OK deleted\r\n",
        "QUIT": b"+OK bye\r\n",
        "STAT": b"+OK %d %d\r\n" % (len(sizes), sum(sizes)),
    }
    scan, ids = [b"+OK\r\n"], [b"+OK\r\n"]
    for number, (octets, stored) in enumerate(zip(sizes, messages, strict=True), 1):
        scan.append(b"%d %d\r\n" % (number, octets))
        ids.append(b"%d id%d\r\n" % (number, number))
        replies[f"LIST {number}"] = b"+OK " + scan[-1]
        replies[f"UIDL {number}"] = b"+OK " + ids[-1]
        replies[f"RETR {number}"] = b"+OK %d octets\r\n" % octets + wire_form(stored)
    replies["LIST"] = b"".join(scan) + b".\r\n"
    replies["UIDL"] = b"".join(ids) + b".\r\n"
    return replies
