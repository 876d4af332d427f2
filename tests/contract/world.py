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
from pop3_service.domain.account import AccountName
from pop3mgmt.client import Caller
from scmp_gateway import process as gateway
from scmp_gateway.config import Config
from unit.pop3_service.clock import FakeClock

PASSWORDS = (ADMIN_PASSWORD, "secret", "correct horse battery")
"""What ``World.seen`` tries to log in with."""
ANA = "ana"
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
    def reason(self) -> str:
        """Why it was refused."""
        found: str = json.loads(self.errors)["error"]["reason"]
        return found


@dataclass(frozen=True)
class Reply:
    """What SCMP answered: the first line, and the lines of a listing without their stuffing."""

    line: str
    listing: list[str]


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

    async def log_in(self, name: str, password: str) -> None:
        for line in (f"USER {name}", f"PASS {password}"):
            reply = await self.say(line)
            assert reply.line.startswith("+OK"), reply

    async def _line(self) -> str:
        line = await asyncio.wait_for(self._reader.readuntil(b"\r\n"), 30)
        return line[:-2].decode()


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
                config = Config(**{**_CONFIG, "service": service.target})
                self._scmp_port = await stack.enter_async_context(gateway.running(config))
                await service.admin.create_account(ANA, "secret")
                service.workers[0].sessions = [session(1, ANA), session(2, "default")]
                service.workers[1].sessions = [session(3, ANA), session(4)]
                self.calls.clear()
                yield self

    async def log_in(self, name: str, password: str) -> Caller:
        """Log in by gRPC."""
        return await self.service.client.login(name, password)

    @contextlib.asynccontextmanager
    async def telnet(self) -> AsyncIterator[Telnet]:
        """Connect to the gateway."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._scmp_port)
        try:
            await reader.readuntil(b"\r\n")
            yield Telnet(reader, writer)
        finally:
            writer.close()

    async def pop3ctl(self, *words: str, stdin: str = "", **variables: str) -> Told:
        """Run pop3ctl with ``--json``, on a loop of its own as always."""
        env = {
            "POP3CTL_TARGET": self.service.target,
            "XDG_STATE_HOME": str(self.folder / "state"),
            "HOME": str(self.folder),
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
            "certificates": [len(worker.certificates) for worker in service.workers],
            "restarts": self.restarts,
        }

    async def logs_in(self, name: str, password: str) -> bool:
        """Whether POP3's PASS would take a password."""
        verify = self.service.authenticator.verify
        return await verify(name.encode(), password.encode()) is not None

    async def put(self, name: str, *messages: str) -> list[str]:
        """Store mail; give the unique ids."""
        stored = [await self.service.admin.put_message(name, [it.encode()]) for it in messages]
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


_CONFIG: dict[str, Any] = {
    "bind": "127.0.0.1",
    "port": 0,
    "host_name": "scmp.test",
    "idle_timeout": 600.0,
    "max_connections": 100,
    "deadline": 30.0,
    "log_format": "logfmt",
}


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
    """Each folder, and each file by its folder and what is in it."""
    found = []
    for path in root.rglob("*"):
        where = str(path.relative_to(root))
        if path.is_file():
            where = str(path.parent.relative_to(root))
            found.append((where, hashlib.sha256(path.read_bytes()).hexdigest()))
        else:
            found.append((where, ""))
    return sorted(found)


def account_name(text: str) -> AccountName:
    """A name as the service has it."""
    return AccountName.parse(text)
