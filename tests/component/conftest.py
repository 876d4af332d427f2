"""The real service on loopback, as one process and with two workers."""

import asyncio
import contextlib
import functools
import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

import scale
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.v1 import server_pb2, sessions_pb2
from pop3mgmt.v1.server_pb2 import TransformedMail
from support import daemon
from support.events import wait_for
from support.pop3 import Pop3

T = TypeVar("T")
SHAPES = (0, 2) if scale.EVERY_SHAPE else (0,)
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
            async with ManagementClient(self.daemon.grpc_target, deadline_s=60) as client:
                return await act(await client.login("default", "default"))

        return asyncio.run(run())

    def memory_kb(self) -> int:
        """Memory of all its processes together."""
        return sum(self.daemon.pss_kb().values())

    def in_thread(self, act: Callable[..., object], *arguments: object) -> threading.Thread:
        """Do something beside the test."""
        thread = threading.Thread(target=act, args=arguments, daemon=True)
        thread.start()
        return thread

    def lines(self, *words: str) -> list[str]:
        """The lines of the log so far that have all these words."""
        return [line for line in list(self.daemon.log) if all(word in line for word in words)]

    def transformed_mail(self) -> TransformedMail:
        """What the state tells of mail that is kept transformed."""
        return self.manage(lambda admin: admin.get_status()).transformed_mail

    def sessions(self, account: str = "") -> list[sessions_pb2.Session]:
        """The sessions there are, all or an account's."""
        return self.manage(lambda admin: admin.list_sessions(account))

    def left(self, account: str) -> None:
        """Wait until an account has no session: its maildrop is free for the next."""
        wait_for(lambda: not self.sessions(account))

    def change(self, **values: object) -> None:
        """Change settings while the service runs."""
        wanted = server_pb2.Settings(**values)
        self.manage(lambda admin: admin.update_settings(wanted, list(values)))

    def transform(self, command_line: str = "") -> None:
        """Make a command line active for everybody, from the next login on; none by default."""
        self.manage(lambda admin: admin.use_command_line(command_line))

    def account(self, *messages: bytes) -> "Mailbox":
        """A new account with mail in ``new``, in order."""
        return self.accounts(1, *messages)[0]

    def accounts(self, count: int, *messages: bytes) -> list["Mailbox"]:
        """So many, each with that mail, made in one login of the admin."""
        names = [f"u{next(_numbers)}" for _ in range(count)]

        async def create(admin: Caller) -> None:
            for name in names:
                await admin.create_account(name, "secret")

        self.manage(create)
        mailboxes = [Mailbox(name, self.daemon.mail / name) for name in names]
        for mailbox in mailboxes:
            for number, message in enumerate(messages, 1):
                mailbox.deliver(message, f"{1000 + number}.M{number}P1.host")
        return mailboxes


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


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Service]]:
    """Gives the service of so many workers, which runs to the end of all tests."""
    settings = {
        "POP3_MAX_ACCOUNTS": "100000",
        "POP3_MIN_LOGIN_DELAY": "0",
        "POP3_MAX_LOGIN_DELAY": "0",
    }
    with contextlib.ExitStack() as stack:

        @functools.cache
        def started(workers: int) -> Service:
            folder = tmp_path_factory.mktemp("service")
            running = daemon.running(folder, workers=workers, environment=settings)
            return Service(stack.enter_context(running))

        yield started


@pytest.fixture(scope="session", params=[0, 2], ids=["workers=0", "workers=2"])
def service(request: pytest.FixtureRequest, services: Callable[[int], Service]) -> Service:
    """One service for all tests that leave it as it was; each makes its own accounts."""
    return services(request.param)


Start = Callable[..., Service]


@contextlib.contextmanager
def starting(folder: Path, workers: int) -> Iterator[Start]:
    """Gives what starts services in a folder; settings are given as for the environment."""
    with contextlib.ExitStack() as stack:

        def start(**environment: str) -> Service:
            running = daemon.running(folder, workers=workers, environment=environment)
            return Service(stack.enter_context(running))

        yield start


@pytest.fixture(params=[0, 2], ids=["workers=0", "workers=2"])
def own_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Starts a service for one test alone."""
    with starting(tmp_path, request.param) as start:
        yield start


@pytest.fixture(params=SHAPES, ids=lambda it: f"workers={it}")
def plain_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """The same for what the supervisor does alone: with workers too in the full column."""
    with starting(tmp_path, request.param) as start:
        yield start


@pytest.fixture
def with_workers(tmp_path: Path) -> Iterator[Start]:
    """The same with two workers, for what is about processes."""
    with starting(tmp_path, 2) as start:
        yield start


@pytest.fixture
def in_one_process(tmp_path: Path) -> Iterator[Start]:
    """The same in one process."""
    with starting(tmp_path, 0) as start:
        yield start
