"""The native programs: built on the spot, run on a core of their own, their result read."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from performance.mailboxes import USER_NAMES, Mailboxes

SOURCES = Path(__file__).parent
PASSWORD = "secret"
LIBRARIES = {"load": ("-lssl", "-lcrypto"), "ceiling": ()}


class CannotBuild(Exception):
    """A program is not right, or what it is built with is missing."""


class NothingToBuildWith(CannotBuild):
    """There is no compiler, or a library's headers are missing."""


class RunFailed(Exception):
    """The load generator itself could not run."""


def build(name: str, folder: Path) -> Path:
    """Compile ``load`` or ``ceiling`` into a folder and give the program.

    Raises:
        CannotBuild: says why, and what to install where that helps.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        raise NothingToBuildWith("gcc is missing: apt install gcc libc6-dev libssl-dev")
    program = folder / name
    source = SOURCES / f"{name}.c"
    words = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)]
    outcome = subprocess.run([*words, *LIBRARIES[name]], capture_output=True, text=True)
    if "No such file or directory" in outcome.stderr:
        raise NothingToBuildWith(f"apt install libc6-dev libssl-dev\n{outcome.stderr}")
    if outcome.returncode:
        raise CannotBuild(f"{name}.c cannot be built\n{outcome.stderr}")
    return program


def pinned(cores: Sequence[int]) -> list[str]:
    """Words that keep a program and its children on these cores; none where it cannot be."""
    program = shutil.which("taskset")
    return [program, "-c", ",".join(map(str, cores))] if program and cores else []


@dataclass(frozen=True)
class Play:
    """What the clients do: a script of commands, over and over, each time as another user.

    ``once`` takes each user one time and then ends; ``sums`` checks the content of every so
    manieth message by its CRC-32 (0 for none, octets are counted always).
    """

    script: Sequence[str]
    clients: int
    users: int
    first_user: int = 0
    seconds: float = 5.0
    depth: int = 1
    once: bool = False
    sums: int = 8
    grace_s: float = 30.0  # for sessions under way when the time is over


@dataclass(frozen=True)
class Result:
    """What the load generator saw."""

    sessions: int
    commands: int
    octets: int
    seconds: float
    errors: int
    first_errors: list[str]
    latency_ms: dict[str, float]
    checked_sums: int
    cpu_s: float
    tls: str = ""

    @property
    def busy(self) -> float:
        """The share of its core that the load generator used."""
        return self.cpu_s / self.seconds


@dataclass
class Load:
    """The load generator: a program and the cores that are its own."""

    program: Path
    folder: Path
    cores: Sequence[int] = field(default=())

    def run(self, port: int, mailboxes: Mailboxes, play: Play, *, tls: bool = False) -> Result:
        """Play a script against a port until the time is over, or the users are."""
        words = [*self._words(port, mailboxes, play, tls=tls), *(["--once"] if play.once else [])]
        outcome = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if outcome.returncode:
            raise RunFailed(outcome.stderr.strip() or f"load ended with {outcome.returncode}")
        return Result(**json.loads(outcome.stdout))

    def hold(self, port: int, mailboxes: Mailboxes, play: Play, *, tls: bool = False) -> Held:
        """Log in and hold sessions, as many as ``Held.grow`` says."""
        words = [*self._words(port, mailboxes, play, tls=tls), "--hold"]
        pipe = subprocess.PIPE
        return Held(subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True))

    def _words(self, port: int, mailboxes: Mailboxes, play: Play, *, tls: bool) -> list[str]:
        script = self.folder / "script"
        script.write_text("".join(command + "\n" for command in play.script))
        return [
            *pinned(self.cores),
            str(self.program),
            f"--port={port}",
            f"--clients={play.clients}",
            f"--users={USER_NAMES}",
            f"--first={play.first_user}",
            f"--count={play.users}",
            f"--password={PASSWORD}",
            f"--script={script}",
            f"--messages={mailboxes.facts}",
            f"--seconds={play.seconds}",
            f"--depth={play.depth}",
            f"--sums={play.sums}",
            f"--grace={play.grace_s}",
            *(["--tls"] if tls else []),
        ]


class Held:
    """Sessions that are logged in and held."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def grow(self, sessions: int) -> None:
        """Hold so many; back when all are logged in.

        Raises:
            RunFailed: one could not log in, or did not last.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{sessions}\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"held": 0, "first_error": "gone"}')
        if answer["held"] < sessions or answer.get("errors"):
            raise RunFailed(f"{answer['held']} of {sessions} held: {answer['first_error']}")

    def end(self) -> Result:
        """End all sessions in order."""
        output, _ = self._process.communicate(timeout=90)
        return Result(**json.loads(output.splitlines()[-1]))

    def kill(self) -> None:
        """End them at once, if they are still there."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
