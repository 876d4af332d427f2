"""A wrong user and a wrong password: the two cannot be told apart by the time of the answer.

Nor can a wrong password of an account that is suspended.
"""

from __future__ import annotations

import asyncio
import base64
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scramp import ScramClient

import scale
from component.conftest import Mailbox, Service
from pop3mgmt.client import ManagementClient
from pop3mgmt.errors import ManagementError
from support import daemon
from support.distributions import compare, row

CHANCE = 1e-4
"""Below this it is no chance. Of so many comparisons one in some thousands fails by it."""
WRONG = "-ERR [AUTH]"
Try = Callable[[Service, asyncio.Runner, str, str], float]
"""Logs in with a name and a wrong password; gives the seconds until it is told so."""


def by_pass(service: Service, _: asyncio.Runner, name: str, password: str) -> float:
    with service.connect() as client:
        client.ask(f"USER {name}")
        began_s = time.perf_counter()
        assert client.ask(f"PASS {password}").startswith(WRONG)
        return time.perf_counter() - began_s


def by_plain(service: Service, _: asyncio.Runner, name: str, password: str) -> float:
    said = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
    with service.connect() as client:
        began_s = time.perf_counter()
        assert client.ask(f"AUTH PLAIN {said}").startswith(WRONG)
        return time.perf_counter() - began_s


def by_scram(service: Service, _: asyncio.Runner, name: str, password: str) -> float:
    scram = ScramClient(["SCRAM-SHA-256"], name, password)
    first = base64.b64encode(scram.get_client_first().encode()).decode()
    with service.connect() as client:
        began_s = time.perf_counter()
        challenge = client.ask(f"AUTH SCRAM-SHA-256 {first}").removeprefix("+ ")
        taken_s = time.perf_counter() - began_s
        scram.set_server_first(base64.b64decode(challenge).decode())
        final = base64.b64encode(scram.get_client_final().encode()).decode()
        began_s = time.perf_counter()
        assert client.ask(final).startswith(WRONG)
        return taken_s + time.perf_counter() - began_s


def by_management(service: Service, runner: asyncio.Runner, name: str, password: str) -> float:
    async def attempt() -> float:
        async with ManagementClient(service.daemon.grpc_target) as client:
            await client.channel.channel_ready()
            began_s = time.perf_counter()
            with pytest.raises(ManagementError):
                await client.login(name, password)
            return time.perf_counter() - began_s

    return runner.run(attempt())


WAYS: dict[str, Try] = {
    "PASS": by_pass,
    "AUTH PLAIN": by_plain,
    "AUTH SCRAM-SHA-256": by_scram,
    "management Login": by_management,
}


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Service]:
    """A service that adds no delay of its own to the time that a check takes."""
    settings = {
        "POP3_MIN_LOGIN_DELAY": "0",
        "POP3_MAX_LOGIN_DELAY": "0",
        "POP3_SCRAM": "on",
        "POP3_PASSWORD_MEMORY_KIB": "19456",
        "POP3_PASSWORD_PASSES": "2",
    }
    with daemon.running(tmp_path, workers=2, environment=settings, measured=True) as running:
        yield Service(running)


@pytest.mark.timeout(300 + 2 * scale.TIMED_TRIES)
@pytest.mark.attack(17)
@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_user_takes_as_long_as_a_wrong_password(measured: Service, way: str) -> None:
    """Tried in turns, and in a random order, so that a busy machine is as busy for both."""
    box, suspended, chance = measured.account(), measured.account(), random.Random(17)
    measured.manage(lambda admin: admin.suspend_account(suspended.name, "a test"))
    # What can be told apart can be so each time; what was chance, or the machine's, was that once.
    assert any(tells_nothing(measured, way, box, suspended, chance) for _ in range(2))


def tells_nothing(
    measured: Service, way: str, box: Mailbox, suspended: Mailbox, chance: random.Random
) -> bool:
    """Whether the times of all wrong answers could be of one kind."""
    taken: dict[str, list[float]] = {"user": [], "password": [], "suspended": []}
    with asyncio.Runner() as runner:
        for number in range(scale.TIMED_TRIES):
            names = [
                ("user", f"n{number % 90}"),
                ("password", box.name),
                ("suspended", suspended.name),
            ]
            chance.shuffle(names)
            for what, name in names:
                taken[what].append(WAYS[way](measured, runner, name, f"wrong{number}"))
    users = taken.pop("user")
    for what, times in taken.items():
        print("\n" + row(f"{way}: wrong user, wrong password ({what})", users, times))
    return all(compare(users, times).least > CHANCE for times in taken.values())
