"""The real service on loopback, as one process and with two workers."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from pop3mgmt.client import Caller, ManagementClient
from support import daemon
from support.pop3 import Pop3

T = TypeVar("T")
_numbers = itertools.count(1)


@dataclass
class Service:
    """A running service, and what tests do with it."""

    daemon: daemon.Daemon

    def connect(self, timeout: float = 30) -> Pop3:
        return Pop3(self.daemon.pop3, timeout=timeout)

    def manage(self, act: Callable[[Caller], Awaitable[T]]) -> T:
        """Do something as admin over gRPC."""

        async def run() -> T:
            async with ManagementClient(self.daemon.grpc_target) as client:
                return await act(await client.login("default", "default"))

        return asyncio.run(run())

    def account(self, *messages: bytes) -> "Mailbox":
        """A new account with mail in ``new``, in order."""
        name = f"u{next(_numbers)}"
        self.manage(lambda admin: admin.create_account(name, "secret"))
        mailbox = Mailbox(name, self.daemon.mail / name)
        for number, message in enumerate(messages, 1):
            mailbox.deliver(message, f"{1000 + number}.M{number}P1.host")
        return mailbox


@dataclass
class Mailbox:
    """An account's name and Maildir."""

    name: str
    path: Path

    def deliver(self, message: bytes, name: str, folder: str = "new") -> Path:
        path = self.path / folder / name
        path.write_bytes(message)
        return path

    def files(self) -> set[str]:
        """Base names of the files there are."""
        return {path.name.partition(":2,")[0] for path in self.path.glob("[cn][ue][rw]/*")}


@pytest.fixture(scope="session", params=[0, 2], ids=["workers=0", "workers=2"])
def service(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Service]:
    """One service for all tests that leave it as it was; each makes its own accounts."""
    settings = {
        "POP3_MAX_ACCOUNTS": "100000",
        "POP3_MIN_LOGIN_DELAY": "0",
        "POP3_MAX_LOGIN_DELAY": "0",
    }
    folder = tmp_path_factory.mktemp("service")
    with daemon.running(folder, workers=request.param, environment=settings) as running:
        yield Service(running)
