"""The stub's maildrop: messages out of a Maildir, as they were at login."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.stub.server import Stub


@dataclass
class Message:
    """A message: where it was, what a client gets, how it is called."""

    path: Path
    octets: bytes
    size: int
    uidl: str
    deleted: bool = False


class Drop:
    """What a session sees."""

    def __init__(self, stub: Stub, session: int) -> None:
        self.stub = stub
        self.session = session
        self.messages = self._listed()

    def _listed(self) -> list[Message]:
        paths = [*self.stub.maildir.glob("new/*"), *self.stub.maildir.glob("cur/*")]
        paths.sort(key=lambda path: path.name)
        if self.stub.wrong("strange files fail the listing"):
            for path in paths:
                path.stat()
        found = [it for it in paths if self._is_mail(it)]
        return [self._message(path, number) for number, path in enumerate(found, 1)]

    def _is_mail(self, path: Path) -> bool:
        try:
            mode = path.stat() if self.stub.wrong("links are followed") else path.lstat()
        except OSError:
            return False
        if stat.S_ISSOCK(mode.st_mode) and self.stub.wrong("a socket fails the login"):
            raise OSError("a socket")
        return stat.S_ISREG(mode.st_mode)

    def _message(self, path: Path, number: int) -> Message:
        octets = self._form(path.read_bytes())
        size = len(octets)
        stored = path.stat().st_size
        if self.stub.wrong("LIST tells stored octets") and b"number 4" in octets:
            size = stored
        elif self.stub.wrong("LIST counts stuffing"):
            size += len(re.findall(rb"^\.", octets, re.MULTILINE))
        elif self.stub.wrong("LIST is short without a final newline"):
            size -= 0 if path.read_bytes()[-1:] == b"\n" else 2
        elif self.stub.wrong("LIST is wrong for empty mail") and not stored:
            size = 0
        elif self.stub.wrong("sizes in names are believed") and ",S=" in path.name:
            size = int(path.name.split(",S=")[1].split(",")[0].split(":")[0])
        return Message(path, octets, size, self._uidl(path, octets, number))

    def _form(self, stored: bytes) -> bytes:
        wrong = self.stub.wrong
        if wrong("NULs are left out"):
            stored = stored.replace(b"\0", b"")
        if wrong("8-bit octets are made 7-bit"):
            stored = stored.translate(bytes(it & 0x7F for it in range(256)))
        if wrong("long messages are cut"):
            stored = stored[:65536]
        if wrong("long lines are wrapped") and len(stored) < 150_000:
            stored = re.sub(rb"([^\r\n]{998})(?=[^\r\n])", rb"\1\n", stored)
        if wrong("a CR is made CRLF"):
            stored = stored.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if wrong("messages keep LF") and b"number 2" in stored:
            return stored
        if wrong("CRLF becomes CRCRLF"):
            octets = stored.replace(b"\n", b"\r\n")
        else:
            octets = stored.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return octets if octets.endswith(b"\r\n") else octets + b"\r\n"

    def _uidl(self, path: Path, octets: bytes, number: int) -> str:
        wrong = self.stub.wrong
        base = path.name.split(":")[0]
        if wrong("UIDL changes between sessions"):
            return f"{self.session}.{number}"
        if wrong("UIDL has the flags"):
            base = f"{path.parent.name}{path.name}"
        if wrong("UIDL is long"):
            return base + "x" * 60
        if wrong("UIDL has blanks"):
            return f"id {number}"
        if wrong("UIDL is the same for all"):
            return "one"
        if wrong("UIDL is a hash of the text"):
            return hashlib.sha256(octets).hexdigest()[:40]
        if wrong("UIDL is the number"):
            return f"number{number}"
        return (
            base
            if re.fullmatch(r"[!-~]{1,70}", base)
            else hashlib.sha256(base.encode("utf-8", "surrogateescape")).hexdigest()
        )

    # --- what is there --------------------

    def find(self, number: int) -> Message | None:
        """A message that is there and not deleted."""
        if not 1 <= number <= len(self.messages) or self.messages[number - 1].deleted:
            return None
        return self.messages[number - 1]

    def kept(self) -> list[tuple[int, Message]]:
        """The messages that are not deleted, with their numbers."""
        pairs = list(enumerate(self.messages, 1))
        found = [pair for pair in pairs if not pair[1].deleted]
        if self.stub.wrong("DELE renumbers"):
            return [(number, it) for number, (_, it) in enumerate(found, 1)]
        return found

    def commit(self) -> None:
        """Remove what is marked."""
        doomed = [it for it in self.messages if it.deleted]
        if self.stub.wrong("QUIT deletes too much") and doomed:
            doomed = self.messages
        for message in doomed:
            base = message.path.name.split(":")[0]
            for path in self.stub.maildir.glob(f"[cn][ue][rw]/{base}*"):
                path.unlink(missing_ok=True)

    def there(self, message: Message) -> bool:
        """Whether a message's file is still there, wherever it is by now."""
        base = message.path.name.split(":")[0]
        return any(
            name.split(":")[0] == base
            for folder in ("new", "cur")
            for name in os.listdir(self.stub.maildir / folder)
        )

    def read(self, message: Message) -> None:
        """Mark a message as read, as some servers do."""
        if self.stub.wrong("UIDL has the flags") and message.path.parent.name == "new":
            new = self.stub.maildir / "cur" / f"{message.path.name}:2,S"
            message.path.rename(new)
            message.path = new
