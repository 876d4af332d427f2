"""A server under measurement: started, found, read, stopped. What it is says its module."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from performance.mailboxes import Mailboxes

START_S = 60.0
STOP_S = 40.0


class CannotStart(Exception):
    """A server is not there or does not start; the text says what is missing."""


@dataclass
class Running:
    """A started server."""

    process: subprocess.Popen[bytes]
    port: int
    tls_port: int | None = None

    def pids(self) -> list[int]:
        """The process and all that came out of it."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(entry.name))
        found = [self.process.pid]
        for pid in found:
            found.extend(children.get(pid, ()))
        return found

    def pss_kb(self) -> int:
        """Proportional set size of all its processes, in KiB."""
        total = 0
        for pid in self.pids():
            # One may end while the others are read.
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        return total

    def cpu_s(self) -> float:
        """Processor time that all its processes have used."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(words[11]) + int(words[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def settle(self) -> None:
        """Wait until it does nothing any more, so that the next one has the core to itself."""
        used = -1.0
        for _ in range(50):
            before, used = used, self.cpu_s()
            if used == before:
                return
            time.sleep(0.1)


class Server(Protocol):
    """Something that can be started on a set of mailboxes."""

    name: str

    def running(
        self, mailboxes: Mailboxes, cores: Sequence[int]
    ) -> contextlib.AbstractContextManager[Running]:
        """Run it until the end of the block.

        Raises:
            CannotStart: it is not there, or does not start.
        """


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    words: Sequence[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with its output in a file, and end it with the block."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("wb") as output:
        started = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**own, **(environment or {})},
        )
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(STOP_S)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def wait_for_line(started: subprocess.Popen[bytes], log: Path, text: str) -> str:
    """Wait until a program has written a line with this text, and give the line.

    Raises:
        CannotStart: it ended, or the time did.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        for line in log.read_text(errors="replace").splitlines():
            if text in line:
                return line
        if started.poll() is not None:
            break
        time.sleep(0.02)
    raise CannotStart("it did not start:\n" + log.read_text(errors="replace")[-2000:])


def wait_for_port(started: subprocess.Popen[bytes], log: Path, port: int) -> None:
    """Wait until a program greets on a port.

    Raises:
        CannotStart: it ended, or the time did.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and started.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as talk:
            if talk.recv(64).startswith(b"+OK"):
                return
        time.sleep(0.05)
    raise CannotStart("it does not greet:\n" + log.read_text(errors="replace")[-2000:])
