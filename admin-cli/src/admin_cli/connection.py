"""The one way to the service: find a login, make the calls, translate the refusal.

grpc and asyncio are imported here and only when a call is made, so that help is quick.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from admin_cli import passwords, tokens
from admin_cli.errors import HINTS, LOG_IN, Refused
from admin_cli.tokens import Token
from pop3mgmt.reasons import Reason

if TYPE_CHECKING:
    from pop3mgmt.client import Caller, ManagementClient
    from pop3mgmt.client_tls import ClientTls

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tls:
    """The files to speak TLS with, as ``pop3mgmt.client_tls.ClientTls`` takes them."""

    authorities: Path
    certificate: Path | None
    key: Path | None
    name: str


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the service is, how long to wait for it, and where the login is kept."""

    target: str
    timeout_s: float
    token_file: Path
    token: str = field(default="", repr=False)
    tls: Tls | None = None

    @classmethod
    def current(cls) -> Connection:
        """Give the connection that this command line asks for."""
        found = click.get_current_context().find_object(cls)
        if found is None:
            raise RuntimeError("a command ran outside pop3ctl")
        return found


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password for this one command."""

    name: str
    password: str = field(repr=False)


def call(work: Callable[[Caller], Coroutine[Any, Any, T]], *, on_auth: str = LOG_IN) -> T:
    """Do ``work`` with a login; ``on_auth`` says what to do when it is not accepted.

    Raises:
        Refused: the service refused, cannot be reached, or there is no login.
    """
    connection = Connection.current()
    login = find_login(connection)

    async def logged_in(client: ManagementClient) -> T:
        async with _caller(client, connection, login) as caller:
            return await work(caller)

    return run(logged_in, on_auth=on_auth)


def run(work: Callable[[ManagementClient], Coroutine[Any, Any, T]], *, on_auth: str) -> T:
    """Do ``work`` with a channel and without a login.

    Raises:
        Refused: the service refused or cannot be reached.
    """
    # A refused connection is told by us; grpc would tell it too, on stderr.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import asyncio

    from pop3mgmt.client import ManagementClient
    from pop3mgmt.errors import ManagementError

    connection = Connection.current()

    async def connected() -> T:
        tls = _client_tls(connection.tls)
        async with ManagementClient(
            connection.target, deadline_s=connection.timeout_s, tls=tls
        ) as client:
            return await work(client)

    try:
        return asyncio.run(connected())
    except ManagementError as error:
        hints = {**HINTS, Reason.INVALID_CREDENTIALS: on_auth}
        hint = hints.get(error.reason, "").format(target=connection.target)
        raise Refused(error.reason, error.text, hint) from error


def _client_tls(tls: Tls | None) -> ClientTls | None:
    from pop3mgmt.client_tls import ClientTls

    return ClientTls(tls.authorities, tls.certificate, tls.key, tls.name) if tls else None


def find_login(connection: Connection) -> Token | Login:
    """Give the token of the environment, the one kept by login, or a login for this command.

    Raises:
        Refused: there is none of them.
    """
    if connection.token:
        return Token(connection.token)
    if stored := tokens.load(connection.token_file):
        return stored
    if name := os.environ.get("POP3CTL_USER"):
        sources = passwords.environment("POP3CTL_PASSWORD")
        if not sources:
            raise click.UsageError(
                "POP3CTL_USER is set; set POP3CTL_PASSWORD or POP3CTL_PASSWORD_FILE too"
            )
        return Login(name, passwords.read_only(sources))
    raise Refused(Reason.INVALID_CREDENTIALS, f"not logged in to {connection.target}", LOG_IN)


@contextlib.asynccontextmanager
async def _caller(
    client: ManagementClient, connection: Connection, login: Token | Login
) -> AsyncIterator[Caller]:
    match login:
        case Token():
            caller = client.caller(login.text)
            if login.renewal_due:
                renewed = Token.fresh(login.text, login.name, await caller.renew())
                # A token file that cannot be written still serves until the token expires.
                with contextlib.suppress(OSError):
                    tokens.save(connection.token_file, renewed)
            yield caller
        case Login(name, password):
            caller = await client.login(name, password)
            try:
                yield caller
            finally:
                await _end(caller)


async def _end(caller: Caller) -> None:
    from pop3mgmt.errors import ManagementError

    # The work is done or has failed already; a token that is left over expires by itself.
    with contextlib.suppress(ManagementError):
        await caller.logout()


def with_options(
    target: str, timeout_s: float, token_file: str | None, tls: Mapping[str, str | None]
) -> Connection:
    """Put together what the command line and the environment say.

    Raises:
        click.UsageError: a token and a token file are given, or files for TLS without authorities.
    """
    token = os.environ.get("POP3CTL_TOKEN", "")
    if token and token_file:
        raise click.UsageError("a token and a token file are given; give one of them")
    path = Path(token_file) if token_file else tokens.token_file(target)
    return Connection(target, timeout_s, path, token, _tls(tls))


def _tls(given: Mapping[str, str | None]) -> Tls | None:
    ca, cert, key, name = (given.get(f"tls_{it}") for it in ("ca", "cert", "key", "name"))
    if not ca:
        if cert or key or name:
            raise click.UsageError("TLS needs --tls-ca, the authorities that vouch for the service")
        return None
    return Tls(Path(ca), Path(cert) if cert else None, Path(key) if key else None, name or "")
