"""Very many wrong logins from very many networks: what others notice, and what memory it takes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest

import scale
from component.conftest import Service
from pop3mgmt.client import ManagementClient
from support import daemon
from support.pop3 import Pop3

MAIL = b"Subject: one\n\nfirst\n"
TRIES = scale.WRONG_LOGINS // scale.GUESSING_NETWORKS
WRONG, THROTTLED = "-ERR [AUTH]", "-ERR [SYS/TEMP]"
MEMORY_KB = 48 * 1024
"""That the whole may take more, at most: 10,000 logins that wait take some 20 MiB."""
PATIENCE_MS = 5_000
"""The longest that a login may take which has to wait for nobody."""
STALLS = 2
"""Of so many logins the machine itself may have taken longer."""
MOST_BEFORE = 30
"""Samples of each kind before the flood."""


@dataclass
class Timed:
    """How long logins took, by who logged in, in milliseconds."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    def take(self, what: str, act: Callable[[], object]) -> None:
        began_s = time.monotonic()
        act()
        self.taken.setdefault(what, []).append((time.monotonic() - began_s) * 1000)

    def row(self, what: str) -> str:
        taken = sorted(self.taken[what])
        late = taken[int(len(taken) * 0.95)]
        return f"{what}: {len(taken)} logins, ms: median {median(taken):.1f}, 95 % {late:.1f}," \
            f" worst {taken[-1]:.1f}"  # fmt: skip


class Others:
    """Three kinds of users who do nothing wrong, each from 127.0.0.1."""

    def __init__(self, service: Service, runner: asyncio.Runner) -> None:
        self.service = service
        self.runner = runner
        self.client = runner.run(_connected(service.daemon.grpc_target))
        self.polling = service.account(MAIL)
        self.victim = service.account(MAIL)
        self.new = iter(service.accounts(scale.NEW_USERS))

    def log_in(self, name: str) -> None:
        with Pop3(self.service.daemon.pop3, timeout=300) as client:
            assert client.log_in(name) == "+OK Logged in"
            assert client.ask("QUIT") == "+OK bye"

    def manage(self) -> None:
        """The victim itself, whose password is hashed each time, from where it is known."""
        self.runner.run(self.client.login(self.victim.name, "secret"))

    def sample(self, timed: Timed) -> None:
        """One login of each kind; new users run out."""
        timed.take("who polls", lambda: self.log_in(self.polling.name))
        timed.take("the victim, hashed, known place", self.manage)
        if (new := next(self.new, None)) is not None:
            timed.take("a new user, hashed, unknown place", lambda: self.log_in(new.name))


async def _connected(target: str) -> ManagementClient:
    return ManagementClient(target)


@pytest.mark.timeout(300 + scale.WRONG_LOGINS // 10)
@pytest.mark.attack(19)
@pytest.mark.attack(21, "one user")
@pytest.mark.attack(22)
def test_a_flood_of_wrong_logins_from_very_many_networks_keeps_nobody_waiting(
    tmp_path: Path,
) -> None:
    settings = {
        "POP3_MIN_LOGIN_DELAY": f"{scale.LEAST_DELAY_MS / 1000}",
        "POP3_MAX_LOGIN_DELAY": f"{scale.MOST_DELAY_MS / 1000}",
        "POP3_PASSWORD_MEMORY_KIB": "19456",
        "POP3_PASSWORD_PASSES": "2",
    }
    with (
        asyncio.Runner() as runner,
        daemon.running(tmp_path, workers=2, environment=settings, measured=True) as running,
    ):
        others = Others(Service(running), runner)
        others.log_in(others.victim.name)  # it is known here from now on
        before, during = Timed(), Timed()
        for _ in range(min(MOST_BEFORE, scale.NEW_USERS // 2)):
            others.sample(before)
        sizes = [running.pss_kb()]
        guessers = subprocess.Popen(
            [
                sys.executable, "-m", "support.guessers", "--port", str(running.pop3),
                "--addresses", str(scale.GUESSING_NETWORKS), "--tries", str(TRIES),
                "--victim", others.victim.name,
            ],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdout=subprocess.PIPE,
        )  # fmt: skip
        try:
            while guessers.poll() is None:
                others.sample(during)
                sizes.append(running.pss_kb())
            output, _ = guessers.communicate(timeout=120)
        finally:
            guessers.kill()
        tally = json.loads(output)
        sizes.append(running.pss_kb())
        _tell(tally, before, during, sizes)
        told = tally["told"]
        assert sum(told.values()) == TRIES * scale.GUESSING_NETWORKS
        assert told.keys() <= {WRONG, THROTTLED}
        assert told[WRONG] > 0.9 * sum(told.values())
        grown = max(sum(it.values()) for it in sizes) - sum(sizes[0].values())
        assert grown < MEMORY_KB
        # The victim is never refused, nor made to wait for the delay that the others have.
        for what in ("the victim, hashed, known place", "who polls"):
            assert sum(taken > PATIENCE_MS for taken in during.taken[what]) <= STALLS
            assert median(during.taken[what]) < PATIENCE_MS
        others.log_in(others.victim.name)
        runner.run(others.client.close())


def _tell(tally: dict, before: Timed, during: Timed, sizes: list[dict[int, int]]) -> None:
    print(f"\n{sum(tally['told'].values())} wrong logins from {scale.GUESSING_NETWORKS} networks"
          f" in {tally['seconds']:.0f} s: {tally['told']}")  # fmt: skip
    for what in before.taken:
        print(f"  before: {before.row(what)}\n  during: {during.row(what)}")
    supervisor = next(iter(sizes[0]))
    for what, find in (
        ("supervisor", lambda it: it[supervisor]),
        ("all processes", lambda it: sum(it.values())),
    ):
        first, last = find(sizes[0]) / 1024, find(sizes[-1]) / 1024
        print(f"  PSS of {what}: {first:.1f} MiB before,"
              f" {max(map(find, sizes)) / 1024:.1f} at most, {last:.1f} after")  # fmt: skip
