"""The verbs of SCMP: usage, who may use it, what it does. CAPA and HELP are computed from this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.accounts_pb2 import ROLE_ADMIN
from pop3mgmt.v1.maildrop_pb2 import ID_SOURCE_COURIER, ID_SOURCE_DOVECOT
from pop3mgmt.v1.server_pb2 import Certificate, Settings
from pop3mgmt.v1.sessions_pb2 import Session
from scmp_gateway.command import Line, number


class Role(IntEnum):
    """Who may use a verb; each may what the ones before may."""

    ANYONE = 0
    USER = 1
    ADMIN = 2


Handler = Callable[[Caller, Line], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. ``handler`` is None where the dialogue answers; ``most`` None means any number."""

    usage: str
    role: Role
    help: str
    handler: Handler | None = None
    least: int = 0
    most: int | None = 0

    def fits(self, words: int) -> bool:
        """Whether so many arguments are right."""
        return words >= self.least and (self.most is None or words <= self.most)


def role_of(caller: Caller | None) -> Role:
    """Give the role of whoever is logged in."""
    if caller is None:
        return Role.ANYONE
    return Role.ADMIN if caller.account.role == ROLE_ADMIN else Role.USER


def visible(role: Role) -> dict[str, Verb]:
    """Give the verbs that a role may use; before login, those that need none."""
    return {name: verb for name, verb in VERBS.items() if verb.role <= role}


async def all_connec(caller: Caller, line: Line) -> Reply:
    """All connections: now and since the start, then one line each."""
    status = await caller.get_status()
    sessions = await caller.list_sessions()
    head = f"{len(sessions)} connections now, {status.total_connection_count} since start"
    return Listing(head, [_session_line(session) for session in sessions])


async def curr_connec(caller: Caller, line: Line) -> Reply:
    """The caller's own connections."""
    sessions = await caller.list_sessions(caller.account.name)
    return Listing(
        f"{len(sessions)} connections of {caller.account.name} now",
        [_session_line(session) for session in sessions],
    )


async def bytes_trans(caller: Caller, line: Line) -> Reply:
    """Octets sent since the start."""
    return Ok(f"{(await caller.get_status()).sent_bytes} octets transmitted since start")


async def users(caller: Caller, line: Line) -> Reply:
    """All accounts."""
    accounts = await caller.list_accounts()
    return Listing(
        f"{len(accounts)} accounts",
        [
            f"{account.name} {'admin' if account.role == ROLE_ADMIN else 'user'}"
            f" sessions={account.session_count}"
            for account in accounts
        ],
    )


async def status(caller: Caller, line: Line) -> Reply:
    """The state of the service."""
    now = await caller.get_status()
    uptime = now.status_time.ToDatetime() - now.start_time.ToDatetime()
    lines = [
        f"version: {now.version}",
        f"uptime-seconds: {int(uptime.total_seconds())}",
        f"total-connections: {now.total_connection_count}",
        f"current-connections: {now.current_connection_count}",
        f"logged-in-sessions: {now.logged_in_session_count}",
        f"bytes-transmitted: {now.sent_bytes}",
        f"messages-sent: {now.sent_message_count}",
        f"messages-deleted: {now.deleted_message_count}",
        f"refused-logins: {now.refused_login_count}",
        f"accounts: {now.account_count}",
        f"workers: {now.worker_count}",
        f"draining-workers: {now.draining_worker_count}",
        f"worker-restarts: {now.worker_restart_count}",
        f"transform: {now.transform or 'off'}",
    ]
    lines += [f"certificate: {_certificate(it)}" for it in now.certificates]
    return Listing("status follows", lines + [f"warning: {text}" for text in now.warnings])


async def max_users(caller: Caller, line: Line) -> Reply:
    """Read or set the largest number of accounts."""
    if not line.words:
        return Ok(f"{(await caller.get_settings()).max_accounts} accounts at most")
    limit = number(line.words[0])
    if limit is None or limit >= 2**31:
        raise ManagementError(Reason.INVALID_ARGUMENT, "the maximum is a whole number")
    settings = await caller.update_settings(Settings(max_accounts=limit), ["max_accounts"])
    return Ok(f"{settings.max_accounts} accounts at most")


async def delete_user(caller: Caller, line: Line) -> Reply:
    """Remove an account; its mail is kept."""
    ended = await caller.delete_account(line.words[0])
    return Ok(f"account {line.words[0]} deleted, {ended} sessions ended, mail kept")


async def add_user(caller: Caller, line: Line) -> Reply:
    """Make an account."""
    account = await caller.create_account(line.words[0], line.words[1])
    return Ok(f"account {account.name} created")


async def reset_user_password(caller: Caller, line: Line) -> Reply:
    """Set a random password and show it once."""
    password = await caller.reset_password(line.words[0])
    return Ok(f"new password of {line.words[0]}: {password}")


async def change_password(caller: Caller, line: Line) -> Reply:
    """Change the caller's own password."""
    ended = await caller.change_password(line.words[0], line.words[1])
    return Ok(f"password changed, {ended} sessions ended")


async def apop(caller: Caller, line: Line) -> Reply:
    """Give an account a random secret for APOP and show it once, or take it away."""
    action, name = line.words
    match action.upper():
        case "SET":
            return Ok(f"APOP secret of {name}: {await caller.set_apop_secret(name)}")
        case "OFF":
            ended = await caller.remove_apop_secret(name)
            return Ok(f"{name} has no APOP secret, {ended} sessions ended")
    raise ManagementError(Reason.INVALID_ARGUMENT, "use APOP SET or APOP OFF")


async def transform(caller: Caller, line: Line) -> Reply:
    """Read, set or end the transform."""
    if not line.words:
        current = (await caller.get_settings()).transform
        return Ok(f"transform is {current}" if current else "transform is off")
    command = line.rest.strip(" ")
    command = "" if command.upper() == "OFF" else command
    settings = await caller.update_settings(Settings(transform=command), ["transform"])
    return Ok(f"transform is {settings.transform or 'off'}")


async def reload_certificates(caller: Caller, line: Line) -> Reply:
    """Read the certificates' files again."""
    return Ok(f"{len(await caller.reload_certificates())} certificates in force")


async def restart_workers(caller: Caller, line: Line) -> Reply:
    """Replace the worker processes."""
    return Ok(f"{await caller.restart_workers()} workers replaced")


ID_SOURCES = {"DOVECOT": ID_SOURCE_DOVECOT, "COURIER": ID_SOURCE_COURIER}


async def import_uidl(caller: Caller, line: Line) -> Reply:
    """Keep the unique ids that an account's messages had at another server."""
    name, server, *rest = line.words
    source = ID_SOURCES.get(server.upper())
    if source is None:
        raise ManagementError(Reason.INVALID_ARGUMENT, "the server is DOVECOT or COURIER")
    result = await caller.import_unique_ids(name, source, "".join(rest))
    if not result.source_found:
        raise ManagementError(
            Reason.MESSAGE_NOT_FOUND, f"the Maildir of {name} has no file of {server.upper()}"
        )
    return Ok(
        f"{result.kept.message_count} messages keep their old id,"
        f" {result.changed.message_count} of them had another,"
        f" {result.refused.message_count} refused, {result.missing.message_count} not in the file"
    )


def _certificate(certificate: Certificate) -> str:
    until = certificate.not_after_time.ToDatetime().isoformat(timespec="seconds")
    return f"{','.join(certificate.names) or '-'} until={until}Z"


def _session_line(session: Session) -> str:
    since = session.connect_time.ToDatetime().isoformat(timespec="seconds")
    account = session.account_name or "-"
    return f"{session.id} {session.peer} {account} since={since}Z sent={session.sent_bytes}"


VERBS: dict[str, Verb] = {
    "USER": Verb("USER <username>", Role.ANYONE, "name the account", None, 1, 1),
    "PASS": Verb("PASS <password>", Role.ANYONE, "give its password", None, 1, None),
    "CAPA": Verb("CAPA", Role.ANYONE, "list what you may use"),
    "HELP": Verb("HELP", Role.ANYONE, "explain what you may use"),
    "NOOP": Verb("NOOP", Role.ANYONE, "do nothing"),
    "QUIT": Verb("QUIT", Role.ANYONE, "end"),
    "CURR_CONNEC": Verb("CURR_CONNEC", Role.USER, "your own POP3 connections", curr_connec),
    "CHANGE_PASSWORD": Verb(
        "CHANGE_PASSWORD <old_password> <new_password>",
        Role.USER,
        "change your own password; your other sessions end",
        change_password,
        2,
        2,
    ),
    "ALL_CONNEC": Verb("ALL_CONNEC", Role.ADMIN, "all POP3 connections", all_connec),
    "BYTES_TRANS": Verb("BYTES_TRANS", Role.ADMIN, "octets sent since the start", bytes_trans),
    "USERS": Verb("USERS", Role.ADMIN, "all accounts", users),
    "STATUS": Verb("STATUS", Role.ADMIN, "state of the service", status),
    "MAX_USERS": Verb(
        "MAX_USERS [<number>]", Role.ADMIN, "read or set the most accounts", max_users, 0, 1
    ),
    "DELETE_USER": Verb(
        "DELETE_USER <username>",
        Role.ADMIN,
        "remove an account; its sessions end, its mail is kept",
        delete_user,
        1,
        1,
    ),
    "ADD_USER": Verb(
        "ADD_USER <username> <password>", Role.ADMIN, "make an account", add_user, 2, 2
    ),
    "RESET_USER_PASSWORD": Verb(
        "RESET_USER_PASSWORD <username>",
        Role.ADMIN,
        "set a random password, shown once",
        reset_user_password,
        1,
        1,
    ),
    "APOP": Verb(
        "APOP <SET|OFF> <username>",
        Role.ADMIN,
        "give a random secret for APOP, shown once, or take it away",
        apop,
        2,
        2,
    ),
    "TRANSFORM": Verb(
        "TRANSFORM [<transform_application> | OFF]",
        Role.ADMIN,
        "read, set or end what RETR passes mail through",
        transform,
        0,
        None,
    ),
    "IMPORT_UIDL": Verb(
        "IMPORT_UIDL <username> <server> [<format>]",
        Role.ADMIN,
        "keep the unique ids of a Maildir that came from DOVECOT or COURIER",
        import_uidl,
        2,
        3,
    ),
    "RELOAD_CERTIFICATES": Verb(
        "RELOAD_CERTIFICATES",
        Role.ADMIN,
        "read the certificates' files again",
        reload_certificates,
    ),
    "RESTART_WORKERS": Verb(
        "RESTART_WORKERS",
        Role.ADMIN,
        "replace the worker processes; no session ends",
        restart_workers,
    ),
}
