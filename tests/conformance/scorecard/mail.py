"""The mail that checks put into a Maildir, and what a client must get out of it."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from conformance.scorecard.rules import Broken

MARK = "scorecard"
"""How the names of files begin their last part that this program put there."""

_numbers = itertools.count(1)


def crlf_form(message: bytes) -> bytes:
    """What a client must have after unstuffing: every LF is a CRLF, and so is the end."""
    text = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return text if text.endswith(b"\n") else text + b"\r\n"


def letter(number: int, lines: int = 3) -> bytes:
    """A plain message; each has a size of its own."""
    head = b"From: ana@example.org\nSubject: number %d\nDate: Tue, 1 Sep 2026 09:00:00 +0000\n\n"
    body = b"".join(b"line %d of message %d\n" % (at + 1, number) for at in range(lines))
    return head % number + body + b"x" * number + b"\n"


@dataclass
class Maildir:
    """A Maildir that belongs to the checks. ``owner`` is a uid and a gid, or None for our own."""

    path: Path
    owner: tuple[int, int] | None = None
    _second: int = field(default_factory=lambda: int(time.time()) - 100_000)

    def make(self) -> None:
        """Make its folders where they are missing."""
        for folder in (self.path, *(self.path / name for name in ("cur", "new", "tmp"))):
            if not folder.is_dir():
                folder.mkdir(parents=True)
                self._give(folder)

    def files(self) -> list[Path]:
        """Everything in it that is not hidden."""
        found = [*self.path.glob("new/*"), *self.path.glob("cur/*")]
        return sorted(it for it in found if not it.name.startswith("."))

    def strangers(self) -> list[Path]:
        """The files that this program did not put there."""
        return [it for it in self.files() if MARK not in it.name]

    def empty(self) -> None:
        """Remove everything."""
        for path in self.files():
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)

    def remove(self, delivered: Path) -> None:
        """Remove a message as another program would, wherever it is by now."""
        self._now(delivered, Path.unlink)

    def flag(self, delivered: Path, flags: str) -> None:
        """Mark a message as another mail program would, wherever it is by now."""
        name = f"{delivered.name.split(':')[0]}:2,{flags}"
        self._now(delivered, lambda path: path.rename(self.path / "cur" / name))

    def _now(self, delivered: Path, act: Callable[[Path], object]) -> None:
        # The server may move it from new to cur between the look and the act.
        for _ in range(100):
            for path in self.files():
                if path.name.split(":")[0] == delivered.name.split(":")[0]:
                    with contextlib.suppress(FileNotFoundError):
                        act(path)
                        return
        raise Broken(f"{delivered.name} is not in the Maildir any more")

    def name(self) -> str:
        """A name that was never there; later ones are later mail."""
        number = next(_numbers)
        return f"{self._second + number}.M{number:06d}P{os.getpid()}.{MARK}"

    def deliver(self, message: bytes, folder: str = "new", name: str = "") -> Path:
        """Deliver a message the way Maildir wants it."""
        name = name or self.name()
        unfinished, path = self.path / "tmp" / name.partition(":")[0], self.path / folder / name
        unfinished.write_bytes(message)
        self._give(unfinished)
        unfinished.rename(path)
        return path

    def _give(self, path: Path) -> None:
        if self.owner is not None:
            os.chown(path, *self.owner)
