"""tokens: logins for programs. The token that a login leaves behind is in ``admin_cli.tokens``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from admin_cli.commands import TEXT, Duration, Noun
from admin_cli.connection import call
from admin_cli.output import (
    Column,
    Record,
    local_time,
    note,
    show_done,
    show_list,
    text_or_dash,
    timestamp,
)

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.tokens_pb2 import AutomationToken, CreateTokenResponse

COLUMNS = (
    Column("name", "NAME"),
    Column("role", "ROLE"),
    Column("networks", "NETWORKS", lambda networks: ",".join(networks) or "any"),
    Column("expire_time", "EXPIRES", lambda moment: local_time(moment) if moment else "never"),
    Column("last_use_time", "LAST USED", local_time),
    Column("last_use_address", "FROM", text_or_dash),
    Column("created_by", "MADE BY"),
)


@click.group(cls=Noun)
def tokens() -> None:
    """Make, list and revoke tokens for programs: a role without an account."""


@tokens.command(
    "list",
    calls=("TokensService/ListTokens",),
    examples=("pop3ctl tokens list", "pop3ctl tokens list --json | jq -r '.[].last_use_time'"),
)
def list_tokens() -> None:
    """List all tokens, in order of name; those that have expired stay until they are revoked."""
    found = call(lambda caller: caller.list_tokens())
    show_list(map(token_record, found), COLUMNS)


@tokens.command(
    "create",
    calls=("TokensService/CreateToken",),
    examples=(
        "pop3ctl tokens create monitor --role operator --expires 90d",
        "pop3ctl tokens create ci --role auditor --network 192.0.2.0/24 --quiet > token",
        "pop3ctl tokens create ci --role auditor --json | jq -r .secret",
    ),
)
@click.argument("name", type=TEXT)
@click.option(
    "--role",
    type=TEXT,
    required=True,
    metavar="ROLE",
    help="It has this role's rights, as they are.",
)
@click.option(
    "--expires",
    type=Duration(1.0),
    default=None,
    metavar="DURATION",
    help="How long it lives, as 90d; without it until it is revoked.",
)
@click.option(
    "--network",
    "networks",
    type=TEXT,
    multiple=True,
    metavar="NETWORK",
    help="Where it may be used from, as 192.0.2.0/24; may be given more than once.",
)
@click.option("--quiet", is_flag=True, help="Print nothing but the token, on stderr neither.")
def create_token(
    name: str, role: str, expires: float | None, networks: tuple[str, ...], quiet: bool
) -> None:
    """Make a token and print it; it is told only this once.

    Give it to a program as POP3CTL_TOKEN or in a file (--token-file). It is no login for POP3.
    """
    lifetime = timedelta(seconds=expires or 0)

    async def create(caller: Caller) -> CreateTokenResponse:
        return await caller.create_token(name, role, networks=networks, lifetime=lifetime)

    made = call(create)
    if not quiet:
        note(f'token "{name}", which is not shown again:')
    show_done({**token_record(made.token), "secret": made.secret}, made.secret)


@tokens.command(
    "revoke",
    calls=("TokensService/RevokeToken",),
    examples=("pop3ctl tokens revoke ci",),
)
@click.argument("name", type=TEXT)
def revoke_token(name: str) -> None:
    """End a token at once."""
    call(lambda caller: caller.revoke_token(name))
    show_done({"name": name}, f'revoked token "{name}"')


def token_record(token: AutomationToken) -> Record:
    """Give a token's values under their names in the contract."""
    return {
        "name": token.name,
        "role": token.role_name,
        "networks": list(token.networks),
        "created_by": token.created_by,
        "create_time": timestamp(token.create_time),
        "expire_time": timestamp(token.expire_time),
        "last_use_time": timestamp(token.last_use_time),
        "last_use_address": token.last_use_address,
    }
