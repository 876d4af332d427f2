"""accounts: who may read mail, and the passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from admin_cli.access import resume_account, suspend_account
from admin_cli.account_import import import_accounts
from admin_cli.commands import ROLE, TEXT, Noun, password_options
from admin_cli.connection import call
from admin_cli.output import (
    Column,
    Record,
    local_time,
    note,
    show_done,
    show_facts,
    show_list,
    timestamp,
    yes_or_no,
)
from admin_cli.password_policy import password_policy
from admin_cli.passwords import ADDED, APOP, NEW, OLD, read_only
from admin_cli.terminal import at_terminal, confirm

if TYPE_CHECKING:
    from pop3mgmt.v1.accounts_pb2 import Account

MUST_CHANGE = "The password must be changed before its owner can do anything else."

COLUMNS = (
    Column("name", "NAME"),
    Column("role", "ROLE"),
    Column("create_time", "CREATED", local_time),
    Column("session_count", "SESSIONS", right=True),
    Column("has_default_password", "NOTE", lambda default: "default password" if default else ""),
)

FACTS = (
    Column("name", "Name"),
    Column("role", "Role"),
    Column("create_time", "Created", local_time),
    Column("session_count", "Sessions now"),
    Column("has_default_password", "Default password", yes_or_no),
    Column("has_apop_secret", "APOP secret", yes_or_no),
    Column("must_change_password", "Must change it", yes_or_no),
    Column("password_time", "Password set", local_time),
    Column("password_expire_time", "Password expires", local_time),
)


@click.group(cls=Noun)
def accounts() -> None:
    """Manage accounts and passwords."""


accounts.add_command(import_accounts)
accounts.add_command(password_policy)
accounts.add_command(suspend_account)
accounts.add_command(resume_account)


@accounts.command(
    "list",
    calls=("AccountsService/ListAccounts",),
    examples=("pop3ctl accounts list", "pop3ctl accounts list --json | jq -r '.[].name'"),
)
def list_accounts() -> None:
    """List all accounts, in order of name."""
    found = call(lambda caller: caller.list_accounts())
    show_list(map(account_record, found), COLUMNS)


@accounts.command(
    "show",
    calls=("AccountsService/GetAccount",),
    examples=("pop3ctl accounts show", "pop3ctl accounts show alice --json | jq -r .role"),
)
@click.argument("name", type=TEXT, required=False)
def show_account(name: str | None) -> None:
    """Show an account, without NAME your own."""
    found = call(lambda caller: caller.get_account(name or ""))
    show_facts(account_record(found), FACTS)


@accounts.command(
    "add",
    calls=("AccountsService/CreateAccount",),
    examples=(
        "pop3ctl accounts add alice",
        "pop3ctl accounts add bob --password-file /run/secrets/bob",
        "pwgen 20 1 | pop3ctl accounts add carol --role admin --password-stdin",
    ),
)
@click.argument("name", type=TEXT)
@click.option(
    "--role", type=ROLE, default="user", show_default=True, help="See 'pop3ctl roles list'."
)
@click.option("--must-change", is_flag=True, help=MUST_CHANGE)
@password_options("password", "POP3CTL_NEW_PASSWORD")
def add_account(
    name: str, role: str, must_change: bool, password_stdin: bool, password_file: str | None
) -> None:
    """Make an account; it can log in at once."""
    password = ADDED.get(password_stdin, password_file)

    account = call(
        lambda caller: caller.create_account(name, password, role, must_change=must_change)
    )
    show_done(account_record(account), f'added account "{name}" ({role})')


@accounts.command(
    "delete",
    calls=("AccountsService/DeleteAccount",),
    examples=(
        "pop3ctl accounts delete alice",
        "pop3ctl accounts delete alice --delete-mail --yes",
    ),
)
@click.argument("name", type=TEXT)
@click.option("--delete-mail", is_flag=True, help="Delete its mail too; without it, it is kept.")
@click.option("--yes", is_flag=True, help="Do not ask; needed without a terminal.")
def delete_account(name: str, delete_mail: bool, yes: bool) -> None:
    """Delete an account; its open sessions end."""
    mail = "its mail is deleted" if delete_mail else "its mail is kept"
    if not yes:
        if not at_terminal():
            raise click.UsageError("no terminal to ask at; give --yes to delete the account")
        confirm(f"Delete account {name!r} ({mail})?")
    ended = call(lambda caller: caller.delete_account(name, delete_mail=delete_mail))
    record: Record = {"name": name, "delete_mail": delete_mail, "ended_session_count": ended}
    show_done(record, f'deleted account "{name}"; {mail}; sessions ended: {ended}')


@accounts.command(
    "set-role",
    calls=("AccountsService/SetRole",),
    examples=("pop3ctl accounts set-role alice operator",),
)
@click.argument("name", type=TEXT)
@click.argument("role", type=ROLE)
def set_role(name: str, role: str) -> None:
    """Give an account another role; its open POP3 sessions end."""
    ended = call(lambda caller: caller.set_role(name, role))
    record: Record = {"name": name, "role": role, "ended_session_count": ended}
    show_done(record, f'"{name}" has the role {role}; sessions ended: {ended}')


@accounts.command(
    "reset-password",
    calls=("AccountsService/ResetPassword",),
    examples=(
        "pop3ctl accounts reset-password alice",
        "pop3ctl accounts reset-password alice --must-change",
        "pop3ctl accounts reset-password alice --json | jq -r .new_password",
    ),
)
@click.argument("name", type=TEXT)
@click.option("--must-change", is_flag=True, help=MUST_CHANGE)
def reset_password(name: str, must_change: bool) -> None:
    """Set a new random password and print it; it is told only this once."""
    reset = call(lambda caller: caller.set_random_password(name, must_change=must_change))
    to_change = ", to be changed before anything else" if reset.must_change_password else ""
    note(f'new password of "{name}"{to_change}:')
    record: Record = {
        "name": name,
        "new_password": reset.new_password,
        "must_change_password": reset.must_change_password,
    }
    show_done(record, reset.new_password)


@accounts.command(
    "apop",
    calls=("AccountsService/SetApopSecret", "AccountsService/RemoveApopSecret"),
    examples=(
        "pop3ctl accounts apop set alice",
        "pop3ctl accounts apop set alice --secret-stdin < secret",
        "pop3ctl accounts apop off alice",
    ),
)
@click.argument("action", type=click.Choice(["set", "off"]))
@click.argument("name", type=TEXT)
@click.option("--secret-file", metavar="FILE", help="Read the secret from a file.")
@click.option("--secret-stdin", is_flag=True, help="Read the secret from stdin.")
def apop(action: str, name: str, secret_file: str | None, secret_stdin: bool) -> None:
    """Give an account a secret for APOP, or take it away; its open sessions end.

    Without a source the secret is random, and printed; it is told only this once. It counts while
    the setting apop is on.
    """
    given = APOP.sources(secret_stdin, secret_file)
    if action == "off":
        if secret_stdin or secret_file:
            raise click.UsageError("a secret is for 'set' alone")
        ended = call(lambda caller: caller.remove_apop_secret(name))
        record: Record = {"name": name, "ended_session_count": ended}
        show_done(record, f'"{name}" has no APOP secret; sessions ended: {ended}')
        return
    own = read_only(given) if given else ""
    secret = call(lambda caller: caller.set_apop_secret(name, own))
    if own:
        show_done({"name": name}, f'set the APOP secret of "{name}"')
        return
    note(f'APOP secret of "{name}":')
    show_done({"name": name, "secret": secret}, secret)


@accounts.command(
    "change-password",
    calls=("AccountsService/ChangePassword",),
    examples=(
        "pop3ctl accounts change-password",
        "pop3ctl accounts change-password --password-file old --new-password-file new",
        "pop3ctl accounts change-password --password-file old --new-password-stdin <new",
    ),
)
@password_options("password", "POP3CTL_PASSWORD", "the password in place")
@password_options("new-password", "POP3CTL_NEW_PASSWORD", "the new password")
def change_password(
    password_stdin: bool,
    password_file: str | None,
    new_password_stdin: bool,
    new_password_file: str | None,
) -> None:
    """Change your own password; your other sessions end.

    --password-… is the password in place, --new-password-… the one that takes its place.
    """
    if password_stdin and new_password_stdin:
        raise click.UsageError("stdin holds one password; give the other by file or environment")
    old = OLD.get(password_stdin, password_file)
    new = NEW.get(new_password_stdin, new_password_file)
    ended = call(
        lambda caller: caller.change_password(old, new),
        on_auth="check the old password, or run 'pop3ctl login'",
    )
    record: Record = {"ended_session_count": ended}
    show_done(record, f"changed the password; sessions ended: {ended}")


def account_record(account: Account) -> Record:
    """Give an account's values under their names in the contract."""
    return {
        "name": account.name,
        "role": account.role_name,
        "create_time": timestamp(account.create_time),
        "has_default_password": account.has_default_password,
        "session_count": account.session_count,
        "has_apop_secret": account.has_apop_secret,
        "must_change_password": account.must_change_password,
        "password_time": timestamp(account.password_time),
        "password_expire_time": timestamp(account.password_expire_time),
    }
