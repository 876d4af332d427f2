"""login and logout: a password becomes a token that is kept for the next commands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from admin_cli import tokens
from admin_cli.commands import TEXT, Command, password_options
from admin_cli.connection import Connection, call, run
from admin_cli.errors import Refused
from admin_cli.output import (
    Column,
    Record,
    local_time,
    note,
    rfc3339,
    show_done,
    show_facts,
    timestamp,
)
from admin_cli.passwords import LOGIN
from admin_cli.terminal import ask, at_terminal
from admin_cli.tokens import Token
from pop3mgmt.reasons import Reason

if TYPE_CHECKING:
    from pop3mgmt.client import Caller, ManagementClient


WHOAMI = (
    Column("name", "Account"),
    Column("token_name", "Token"),
    Column("role", "Role"),
    Column("rights", "Rights", ", ".join),
    Column("expire_time", "Until", local_time),
)


@click.command(
    cls=Command,
    calls=("AuthService/Login",),
    examples=(
        "pop3ctl login admin",
        "pop3ctl login admin --password-file /run/secrets/admin",
        "pass show mail/admin | pop3ctl login admin --password-stdin",
        "pop3ctl --token-file ./token login admin",
    ),
)
@click.argument("name", type=TEXT, required=False, envvar="POP3CTL_USER")
@password_options("password", "POP3CTL_PASSWORD")
def login(name: str | None, password_stdin: bool, password_file: str | None) -> None:
    """Log in and keep the login for the commands that follow.

    The token is kept in a file that only you can read, one for each target.
    """
    connection = Connection.current()
    name = name or _ask_name()
    password = LOGIN.get(password_stdin, password_file)

    async def log_in(client: ManagementClient) -> Caller:
        return await client.login(name, password)

    caller = run(log_in, on_auth="check the name and the password")
    token = Token.fresh(caller.token, caller.account.name or name, caller.expire_time)
    tokens.save(connection.token_file, token)
    for warning in caller.warnings:
        note(f"warning: {warning}")
    if os.environ.get("POP3CTL_TOKEN"):
        note("warning: POP3CTL_TOKEN is set and is used instead of this login")
    expire_time = None if token.expire_time is None else rfc3339(token.expire_time)
    record: Record = {
        "target": connection.target,
        "name": token.name,
        "role": caller.account.role_name,
        "expire_time": expire_time,
        "warnings": caller.warnings,
    }
    until = local_time(expire_time)
    show_done(record, f"logged in to {connection.target} as {token.name} until {until}")


@click.command(
    cls=Command,
    calls=("AuthService/Logout",),
    examples=("pop3ctl logout", "pop3ctl --target pop3-service:50051 logout"),
)
def logout() -> None:
    """End the login that is kept and forget it."""
    connection = Connection.current()
    kept = connection.token or tokens.load(connection.token_file)
    if kept:
        try:
            call(lambda caller: caller.logout())
        except Refused as refused:
            # A token that the service does not know any more has ended already.
            if refused.reason is not Reason.INVALID_CREDENTIALS:
                raise
    if not connection.token:
        tokens.forget(connection.token_file)
    done = "logged out of" if kept else "was not logged in to"
    record: Record = {"target": connection.target, "logged_out": bool(kept)}
    show_done(record, f"{done} {connection.target}")


@click.command(
    cls=Command,
    calls=("AuthService/GetCaller",),
    examples=("pop3ctl whoami", "pop3ctl whoami --json | jq -r '.rights[]'"),
)
def whoami() -> None:
    """Show who you are to the service, and what you may do."""
    found = call(lambda caller: caller.get_caller())
    record: Record = {
        "name": found.account_name,
        "token_name": found.token_name,
        "role": found.role_name,
        "rights": list(found.rights),
        "expire_time": timestamp(found.expire_time),
    }
    show_facts(record, WHOAMI)


def _ask_name() -> str:
    if not at_terminal():
        raise click.UsageError("no account name and no terminal to ask at; give NAME")
    return ask("Account")
