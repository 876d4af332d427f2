"""The ceiling as a server under measurement: canned replies, echoed by a native program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from performance.mailboxes import Mailboxes, canned_replies
from performance.native import pinned
from performance.servers import Running, process, wait_for_line


@dataclass
class Ceiling:
    """What no server here can pass; how much it varies is the machine's noise."""

    program: Path
    folder: Path
    name: str = "ceiling"

    @contextmanager
    def running(self, mailboxes: Mailboxes, cores: Sequence[int]) -> Iterator[Running]:
        """Run it with the replies of one of the set's mailboxes."""
        replies, log = self.folder / "canned", self.folder / "ceiling.log"
        with replies.open("wb") as file:
            for line, reply in self.canned(mailboxes).items():
                file.write(b"%d %s\n" % (len(reply), line.encode()))
                file.write(reply)
        words = [*pinned(cores), str(self.program), "0", str(replies)]
        with process(words, log) as started:
            port = int(wait_for_line(started, log, "listening").split()[1])
            yield Running(started, port)

    def canned(self, mailboxes: Mailboxes) -> dict[str, bytes]:
        """What is echoed, by the line that asks for it."""
        return canned_replies(mailboxes.messages)
