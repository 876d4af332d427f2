"""The service, a gateway before it and pop3ctl, in this process: three ways to one contract."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import structlog
from click.testing import CliRunner

from admin_cli.main import cli
from contract.service import ADMIN_PASSWORD, Service, session
from pop3_service.api.access import AccessInterceptor
from pop3_service.domain.rights import Right
from pop3mgmt.client import Caller
from scmp_gateway import process as gateway
from scmp_gateway.config import parser, read_config
from unit.pop3_service.clock import FakeClock

ANA = "ana"
ANAS_PASSWORD = "lumpy-orange-kettle-42"
NEW_PASSWORD = "correct-horse-battery-91"
PASSWORDS = (ADMIN_PASSWORD, ANAS_PASSWORD, NEW_PASSWORD)
"""What ``World.seen`` tries to log in with."""
NOT_EFFECTS = frozenset({"alembic_version", "secrets"})
"""Tables that hold no effect of a call."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]")


@dataclass(frozen=True)
class Told:
    """How pop3ctl ended, and what it printed."""

    status: int
    output: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.output) if self.output.strip() else None

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def reason(self) -> str:
        """Why it was refused."""
        found: str = json.loads(self.errors)["error"]["reason"]
        return found


@dataclass(frozen=True)
class Reply:
    """What SCMP answered: the first line, and the lines of a listing without their stuffing."""

    line: str
    listing: list[str]


@dataclass(frozen=True)
class Person:
    """Who makes calls: a name and a password, an automation token, or whoever is logged in."""

    name: str
    password: str = ""
    token: str = ""


ADMIN = Person("default", ADMIN_PASSWORD)
USER = Person(ANA, ANAS_PASSWORD)


class Telnet:
    """A client of SCMP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, line: str) -> Reply:
        """Send a line; give the reply. The +OK to a NOOP behind it tells where that ends."""
        self._writer.write(f"{line}\r\nNOOP\r\n".encode())
        first = await self._line()
        lines: list[str] = []
        while (line := await self._line()) != "+OK":
            lines.append(line)
        if lines:
            assert lines.pop() == "."
        return Reply(first, [it[1:] if it.startswith(".") else it for it in lines])

    async def log_in(self, who: Person) -> None:
        by_password = (f"USER {who.name}", f"PASS {who.password}")
        for line in (f"AUTH_TOKEN {who.token}",) if who.token else by_password:
            reply = await self.say(line)
            assert reply.line.startswith("+OK"), reply

    async def _line(self) -> str:
        line = await asyncio.wait_for(self._reader.readuntil(b"\r\n"), 30)
        return line[:-2].decode("utf-8", "surrogateescape")


class World:
    """Everything there is, over one folder. ``calls`` are the RPCs that arrived."""

    def __init__(self, folder: Path) -> None:
        clock = FakeClock()
        clock.ahead_s = (datetime.now(UTC) - clock.now()).total_seconds()
        self.folder = folder
        self.service = Service(folder, clock)
        self.calls: list[str] = []
        self.restarts = 0
        self._scmp_port = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """Start it with an admin and the user ana, each with POP3 sessions."""
        with _quiet(), self._recorded():
            async with contextlib.AsyncExitStack() as stack:
                service = await stack.enter_async_context(self.service.running())
                service.restart = self._restart
                options = {**_OPTIONS, "POP3_MGMT_TARGET": service.target}
                config = read_config(parser().parse_args([]), options)
                front = await stack.enter_async_context(gateway.running(config))
                self._scmp_port = front if isinstance(front, int) else front.port
                await service.admin.create_account(ANA, ANAS_PASSWORD)
                service.workers[0].sessions = [session(1, ANA), session(2, "default")]
                service.workers[1].sessions = [session(3, ANA), session(4)]
                self.calls.clear()
                yield self

    async def log_in(self, who: Person) -> Caller:
        """Log in by gRPC."""
        client = self.service.client
        return client.caller(who.token) if who.token else await client.login(who.name, who.password)

    async def person(self, rights: frozenset[Right], *, with_account: bool = True) -> Person:
        """Make a role of these rights alone, and who has it: an account, or a token without one."""
        admin = self.service.admin
        await admin.create_role("one", sorted(rights))
        if with_account:
            await admin.create_account("one", NEW_PASSWORD, "one")
            return Person("one", NEW_PASSWORD)
        return Person("token/one", token=(await admin.create_token("one", "one")).secret)

    @contextlib.asynccontextmanager
    async def telnet(self) -> AsyncIterator[Telnet]:
        """Connect to the gateway."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._scmp_port)
        try:
            await reader.readuntil(b"\r\n")
            yield Telnet(reader, writer)
        finally:
            writer.close()

    async def pop3ctl(self, who: Person, *words: str, stdin: str = "", **variables: str) -> Told:
        """Run pop3ctl with ``--json``, on a loop of its own as always."""
        env = {
            "POP3CTL_TARGET": self.service.target,
            "XDG_STATE_HOME": str(self.folder / "state"),
            "HOME": str(self.folder),
            **(
                {"POP3CTL_TOKEN": who.token}
                if who.token
                else {"POP3CTL_USER": who.name, "POP3CTL_PASSWORD": who.password}
                if who.name
                else {}
            ),
            **variables,
        }
        result = await asyncio.to_thread(
            CliRunner().invoke, cli, ["--json", *words], input=stdin, env=env
        )
        return Told(result.exit_code, result.stdout, result.stderr)

    async def seen(self) -> dict[str, Any]:
        """Everything that a call can change, without what differs by chance or time."""
        service = self.service
        tables = _tables(self.folder / "data" / "valija.db")
        names = [row["name"] for row in tables["accounts"]]
        return {
            "tables": tables,
            "passwords": {name: await self._passwords(name) for name in names},
            "mail": _mail(self.folder / "mail"),
            "sessions": [sorted(it.id for it in worker.sessions) for worker in service.workers],
            "orders": [worker.orders for worker in service.workers],
            "settings": [worker.settings for worker in service.workers],
            "transforms": [
                [str(it) for it in worker.transforms.activations] for worker in service.workers
            ],
            "certificates": [len(worker.certificates) for worker in service.workers],
            "restarts": self.restarts,
        }

    async def logs_in(self, name: str, password: str) -> bool:
        """Whether POP3's PASS would take a password."""
        verify = self.service.authenticator.verify
        return await verify(name.encode(), password.encode()) is not None

    async def put(self, name: str, *messages: str) -> list[str]:
        """Store mail; give the unique ids."""
        stored = []
        for message in messages:
            stored.append(await self.service.admin.put_message(name, [message.encode()]))
            self.service.clock.move(1)  # the time of delivery tells their order
        return [it.uidl for it in stored]

    async def _passwords(self, name: str) -> list[str]:
        return [password for password in PASSWORDS if await self.logs_in(name, password)]

    async def _restart(self) -> int:
        self.restarts += 1
        return len(self.service.workers)

    @contextlib.contextmanager
    def _recorded(self) -> Any:
        real = AccessInterceptor.intercept_service
        calls = self.calls

        async def record(
            interceptor: AccessInterceptor,
            continuation: Callable[[Any], Awaitable[Any]],
            details: grpc.HandlerCallDetails,
        ) -> Any:
            calls.append(details.method.rpartition(".")[2])
            return await real(interceptor, continuation, details)

        AccessInterceptor.intercept_service = record  # type: ignore[method-assign]
        try:
            yield
        finally:
            AccessInterceptor.intercept_service = real  # type: ignore[method-assign]


_OPTIONS = {"SCMP_BIND": "127.0.0.1", "SCMP_PORT": "0", "SCMP_HOST_NAME": "scmp.test"}


@contextlib.contextmanager
def _quiet() -> Any:
    """Let no log line get between those that pop3ctl prints."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(io.StringIO()))
    try:
        yield
    finally:
        structlog.reset_defaults()


def _tables(database: Path) -> dict[str, list[dict[str, Any]]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        query = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
        names = {row["name"] for row in connection.execute(query)} - NOT_EFFECTS
        return {
            name: sorted(
                (
                    {key: _lasting(row[key]) for key in row.keys()}
                    for row in connection.execute(f'select * from "{name}"')
                ),
                key=str,
            )
            for name in sorted(names)
        }


def _lasting(value: Any) -> Any:
    """Leave out what is random or a time."""
    if isinstance(value, bytes):
        return "octets"
    if isinstance(value, str) and _MOMENT.match(value):
        return "a time"
    if isinstance(value, str) and value.startswith("$argon2"):
        return "a hash"
    return value


def _mail(root: Path) -> list[tuple[str, str]]:
    """Each folder, each message by its folder and what is in it, and each other file."""
    found = []
    for path in root.rglob("*"):
        where = str(path.parent.relative_to(root))
        if path.is_file() and path.parent.name in ("new", "cur", "tmp"):
            found.append((where, hashlib.sha256(path.read_bytes()).hexdigest()))
        else:
            found.append((where, path.name))
    return sorted(found)
