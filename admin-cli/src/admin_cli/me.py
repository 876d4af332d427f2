"""me: your own account; who may manage accounts names another's with --account."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from admin_cli.commands import TEXT, Noun
from admin_cli.connection import call
from admin_cli.output import (
    Column,
    Record,
    local_time,
    note,
    show_done,
    show_facts,
    show_list,
    text_or_dash,
    timestamp,
)
from admin_cli.sessions import COLUMNS as SESSION_COLUMNS
from admin_cli.sessions import session_record

if TYPE_CHECKING:
    from pop3mgmt.client import Caller
    from pop3mgmt.v1.own_account_pb2 import AppPassword, LoginRecord, Preferences
    from pop3mgmt.v1.sessions_pb2 import Session

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT = "default"
LANGUAGES = ("en", "es", DEFAULT)
LONGEST_DAYS = 36_500
MOST_LOGINS = 1000

APP_PASSWORDS = (
    Column("name", "NAME"),
    Column("create_time", "CREATED", local_time),
    Column("last_use_time", "LAST USED", local_time),
    Column("last_use_peer", "FROM", text_or_dash),
)
PREFERENCES = (
    Column("language", "language", lambda language: language or DEFAULT),
    Column("retention_days", "retention, days", lambda days: str(days or DEFAULT)),
    Column("transform", "transform", lambda applies: "on" if applies else "off"),
)
LOGINS = (
    Column("login_time", "TIME", local_time),
    Column("address", "ADDRESS", text_or_dash),
    Column("via", "VIA"),
    Column("mechanism", "MECHANISM", text_or_dash),
    Column("tls_version", "TLS", text_or_dash),
    Column("refusal_reason", "OUTCOME", lambda reason: reason or "ok"),
    Column("attempt_count", "COUNT", right=True),
    Column("app_password_name", "APP PASSWORD", text_or_dash),
)


class Days(click.ParamType[int]):
    """Days, or ``default``."""

    name = "days"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Give the days, 0 for the default, or fail as wrong usage."""
        text = str(value)
        if text == DEFAULT:
            return 0
        days = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
        if not 1 <= days <= LONGEST_DAYS:
            self.fail(f"is 'default' or from 1 to {LONGEST_DAYS}", param, ctx)
        return days


def _or_own(_: click.Context, __: click.Parameter, name: str | None) -> str:
    return name or ""


def account_option(function: F) -> F:
    """Add what names another's account."""
    return click.option(
        "--account",
        type=TEXT,
        default=None,
        metavar="NAME",
        callback=_or_own,
        help="Another's, which asks for a right to accounts.",
    )(function)


@click.group(cls=Noun)
def me() -> None:
    """Manage your own account: sessions, logins, app passwords, preferences."""


@me.command(
    "show",
    calls=("OwnAccountService/GetPreferences",),
    examples=("pop3ctl me show", "pop3ctl me show --json | jq -r .language"),
)
@account_option
def show(account: str) -> None:
    """Show your preferences."""
    found = call(lambda caller: caller.get_preferences(account))
    show_facts(preferences_record(found), PREFERENCES)


@me.command(
    "set",
    calls=("OwnAccountService/UpdatePreferences",),
    examples=(
        "pop3ctl me set --language es --retention 90",
        "pop3ctl me set --retention default --transform off",
        "pop3ctl me set --account alice --language default",
    ),
)
@click.option("--language", type=click.Choice(LANGUAGES), help="Language of POP3 replies.")
@click.option(
    "--retention",
    type=Days(),
    metavar="DAYS",
    help="Days after which your mail is removed, or 'default'.",
)
@click.option(
    "--transform",
    type=click.Choice(("on", "off")),
    help="Whether transforms apply to your mail; off only where that is allowed.",
)
@account_option
def set_preferences(
    language: str | None, retention: int | None, transform: str | None, account: str
) -> None:
    """Choose language, retention, transform; in force at the next POP3 login."""
    wanted: dict[str, Any] = {}
    if language is not None:
        wanted["language"] = "" if language == DEFAULT else language
    if retention is not None:
        wanted["retention_days"] = retention
    if transform is not None:
        wanted["transform"] = transform == "on"
    if not wanted:
        raise click.UsageError("give --language, --retention or --transform")

    async def update(caller: Caller) -> Preferences:
        from pop3mgmt.v1.own_account_pb2 import Preferences

        return await caller.update_preferences(Preferences(**wanted), wanted, account)

    show_facts(preferences_record(call(update)), PREFERENCES)


@me.command(
    "sessions",
    calls=("AccountsService/GetAccount", "SessionsService/ListSessions"),
    examples=("pop3ctl me sessions", "pop3ctl me sessions --json | jq length"),
)
def sessions() -> None:
    """List your own POP3 sessions of now."""

    async def own(caller: Caller) -> list[Session]:
        return await caller.list_sessions((await caller.get_account()).name)

    show_list(map(session_record, call(own)), SESSION_COLUMNS)


@me.command(
    "end-session",
    calls=("AccountsService/GetAccount", "SessionsService/DisconnectSession"),
    examples=("pop3ctl me end-session 42", "pop3ctl me end-session --all"),
)
@click.argument("session_id", type=TEXT, required=False)
@click.option("--all", "every", is_flag=True, help="All of your own.")
def end_session(session_id: str | None, every: bool) -> None:
    """End one of your own POP3 sessions, or all. No mail is deleted."""
    if (session_id is None) != every:
        raise click.UsageError("give either SESSION_ID or --all")

    async def end(caller: Caller) -> int:
        if session_id is not None:
            return await caller.disconnect(session_id=session_id)
        return await caller.disconnect(account_name=(await caller.get_account()).name)

    ended = call(end)
    record: Record = {"session_id": session_id, "ended_session_count": ended}
    show_done(record, f"sessions ended: {ended}")


@me.command(
    "logins",
    calls=("OwnAccountService/GetRecentLogins",),
    examples=("pop3ctl me logins", "pop3ctl me logins --limit 100 --json"),
)
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_LOGINS),
    default=20,
    show_default=True,
    metavar="N",
    help="At most so many.",
)
@account_option
def logins(limit: int, account: str) -> None:
    """List recent logins, refused ones too, newest first."""
    found = call(lambda caller: caller.get_recent_logins(limit, account))
    show_list(map(login_record, found), LOGINS)


@me.command(
    "app-passwords",
    calls=("OwnAccountService/ListAppPasswords",),
    examples=("pop3ctl me app-passwords", "pop3ctl me app-passwords --account alice --json"),
)
@account_option
def app_passwords(account: str) -> None:
    """List your app passwords, oldest first."""
    found = call(lambda caller: caller.list_app_passwords(account))
    show_list(map(app_password_record, found), APP_PASSWORDS)


@me.command(
    "add-app-password",
    calls=("OwnAccountService/CreateAppPassword",),
    examples=(
        "pop3ctl me add-app-password phone",
        "pop3ctl me add-app-password laptop --json | jq -r .password",
    ),
)
@click.argument("name", type=TEXT)
def add_app_password(name: str) -> None:
    """Make a password for one POP3 client and print it; it is told only this once."""
    made = call(lambda caller: caller.create_app_password(name))
    note(f'app password "{made.app_password.name}", with its hyphens:')
    record = {**app_password_record(made.app_password), "password": made.password}
    show_done(record, made.password)


@me.command(
    "revoke-app-password",
    calls=("OwnAccountService/RevokeAppPassword",),
    examples=(
        "pop3ctl me revoke-app-password phone",
        "pop3ctl me revoke-app-password --all",
        "pop3ctl me revoke-app-password --all --account alice",
    ),
)
@click.argument("name", type=TEXT, required=False)
@click.option("--all", "every", is_flag=True, help="Every one of the account.")
@account_option
def revoke_app_password(name: str | None, every: bool, account: str) -> None:
    """Revoke an app password, or all; the account's POP3 sessions end."""
    if (name is None) != every:
        raise click.UsageError("give either NAME or --all")
    done = call(
        lambda caller: (
            caller.revoke_all_app_passwords(account)
            if name is None
            else caller.revoke_app_password(name, account)
        )
    )
    record: Record = {
        "name": name,
        "revoked_count": done.revoked_count,
        "ended_session_count": done.ended_session_count,
    }
    show_done(
        record,
        f"app passwords revoked: {done.revoked_count}; sessions ended: {done.ended_session_count}",
    )


def preferences_record(found: Preferences) -> Record:
    """Give preferences under their names in the contract."""
    return {
        "language": found.language,
        "retention_days": found.retention_days,
        "transform": found.transform,
    }


def app_password_record(found: AppPassword) -> Record:
    """Give an app password's values under their names in the contract."""
    return {
        "name": found.name,
        "create_time": timestamp(found.create_time),
        "last_use_time": timestamp(found.last_use_time),
        "last_use_peer": found.last_use_peer,
    }


def login_record(login: LoginRecord) -> Record:
    """Give a login's values under their names in the contract."""
    return {
        "login_time": timestamp(login.login_time),
        "address": login.address,
        "via": login.via,
        "mechanism": login.mechanism,
        "tls_version": login.tls_version,
        "refusal_reason": login.refusal_reason,
        "app_password_name": login.app_password_name,
        "attempt_count": login.attempt_count,
    }
