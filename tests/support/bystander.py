"""Others while something goes on: a well-behaved client, and the memory of the service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lineproto.stuffing import encode
from support.pop3 import Pop3

MAIL = b"Subject: of a bystander\n\n" + b"a line of it\n" * 200
SAMPLE_S = 0.05


@dataclass
class Watched:
    """What was seen: memory of all processes, and how long the others' commands took."""

    before_kb: int
    peak_kb: int
    after_kb: int = 0
    sessions: int = 0
    worst_ms: dict[str, float] = field(default_factory=dict)
    faults: list[BaseException] = field(default_factory=list)

    @property
    def grown_kb(self) -> int:
        """What there was at most above what there was before."""
        return self.peak_kb - self.before_kb

    def row(self, what: str) -> str:
        """One line of a table."""
        before, peak, after = (kb / 1024 for kb in (self.before_kb, self.peak_kb, self.after_kb))
        worst = ", ".join(f"{name} {ms:.0f}" for name, ms in self.worst_ms.items())
        return (
            f"{what}: memory {before:.1f} MiB before, {peak:.1f} at most, {after:.1f} after;"
            f" {self.sessions} sessions of others, worst ms: {worst}"
        )


@contextmanager
def watching(
    memory_kb: Callable[[], int], connect: Callable[[], Pop3], name: str
) -> Iterator[Watched]:
    """Let a client of a maildrop with ``MAIL`` poll, and watch the memory, until the block ends.

    Raises:
        AssertionError: a session of the client went wrong, or none came to its end.
    """
    session(connect, name, {})
    now_kb = memory_kb()
    watched = Watched(now_kb, now_kb)
    ended = threading.Event()
    threads = [
        threading.Thread(target=_poll, args=(connect, name, watched, ended)),
        threading.Thread(target=_sample, args=(memory_kb, watched, ended)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield watched
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    watched.after_kb = memory_kb()
    assert watched.faults == []
    assert watched.sessions > 0


def session(connect: Callable[[], Pop3], name: str, worst_ms: dict[str, float]) -> None:
    """Log in, fetch the message and leave."""
    with _timed(worst_ms, "connect"):
        client = connect()
    with client:
        with _timed(worst_ms, "login"):
            assert client.log_in(name) == "+OK Logged in"
        with _timed(worst_ms, "STAT"):
            assert client.ask("STAT").startswith("+OK 1 ")
        with _timed(worst_ms, "RETR"):
            assert client.ask_many("RETR 1")[1] == encode(MAIL)
        assert client.ask("QUIT") == "+OK bye"


@contextmanager
def _timed(worst_ms: dict[str, float], what: str) -> Iterator[None]:
    began_s = time.monotonic()
    yield
    worst_ms[what] = max(worst_ms.get(what, 0.0), (time.monotonic() - began_s) * 1000)


def _poll(connect: Callable[[], Pop3], name: str, watched: Watched, ended: threading.Event) -> None:
    try:
        while not ended.is_set():
            session(connect, name, watched.worst_ms)
            watched.sessions += 1
    except BaseException as error:
        watched.faults.append(error)


def _sample(memory_kb: Callable[[], int], watched: Watched, ended: threading.Event) -> None:
    try:
        while not ended.wait(SAMPLE_S):
            watched.peak_kb = max(watched.peak_kb, memory_kb())
    except BaseException as error:
        watched.faults.append(error)
