"""The verbs of SCMP. CAPA and HELP are computed from this table."""

from __future__ import annotations

from scmp_gateway.acts import accounts, maildrops, own, server, sessions
from scmp_gateway.verb import Role, Verb

VERBS: dict[str, Verb] = {
    "USER": Verb("USER <username>", Role.ANYONE, "name the account", None, 1, 1),
    "PASS": Verb("PASS <password>", Role.ANYONE, "give its password", None, 1, None),
    "STLS": Verb("STLS", Role.ANYONE, "begin TLS, before the login"),
    "CAPA": Verb("CAPA", Role.ANYONE, "list what you may use"),
    "HELP": Verb("HELP", Role.ANYONE, "explain what you may use"),
    "NOOP": Verb("NOOP", Role.ANYONE, "do nothing"),
    "QUIT": Verb("QUIT", Role.ANYONE, "end"),
    "CURR_CONNEC": Verb("CURR_CONNEC", Role.USER, "your own POP3 connections", own.curr_connec),
    "CHANGE_PASSWORD": Verb(
        "CHANGE_PASSWORD <old_password> <new_password>",
        Role.USER,
        "change your own password; your other sessions end",
        own.change_password,
        2,
        2,
    ),
    "ALL_CONNEC": Verb("ALL_CONNEC", Role.ADMIN, "all POP3 connections", sessions.all_connec),
    "BYTES_TRANS": Verb(
        "BYTES_TRANS", Role.ADMIN, "octets sent since the start", sessions.bytes_trans
    ),
    "USERS": Verb("USERS", Role.ADMIN, "all accounts", accounts.users),
    "STATUS": Verb("STATUS", Role.ADMIN, "state of the service", server.status),
    "MAX_USERS": Verb(
        "MAX_USERS [<number>]", Role.ADMIN, "read or set the most accounts", server.max_users, 0, 1
    ),
    "DELETE_USER": Verb(
        "DELETE_USER <username>",
        Role.ADMIN,
        "remove an account; its sessions end, its mail is kept",
        accounts.delete_user,
        1,
        1,
    ),
    "ADD_USER": Verb(
        "ADD_USER <username> <password>", Role.ADMIN, "make an account", accounts.add_user, 2, 2
    ),
    "RESET_USER_PASSWORD": Verb(
        "RESET_USER_PASSWORD <username>",
        Role.ADMIN,
        "set a random password, shown once",
        accounts.reset_user_password,
        1,
        1,
    ),
    "APOP": Verb(
        "APOP <SET|OFF> <username>",
        Role.ADMIN,
        "give a random secret for APOP, shown once, or take it away",
        accounts.apop,
        2,
        2,
    ),
    "TRANSFORM": Verb(
        "TRANSFORM [<transform_application> | OFF]",
        Role.ADMIN,
        "read, set or end what RETR passes mail through",
        server.transform,
        0,
        None,
    ),
    "IMPORT_UIDL": Verb(
        "IMPORT_UIDL <username> <server> [<format>]",
        Role.ADMIN,
        "keep the unique ids of a Maildir that came from DOVECOT or COURIER",
        maildrops.import_uidl,
        2,
        3,
    ),
    "RELOAD_CERTIFICATES": Verb(
        "RELOAD_CERTIFICATES",
        Role.ADMIN,
        "read the certificates' files again",
        server.reload_certificates,
    ),
    "RESTART_WORKERS": Verb(
        "RESTART_WORKERS",
        Role.ADMIN,
        "replace the worker processes; no session ends",
        server.restart_workers,
    ),
}


def visible(role: Role) -> dict[str, Verb]:
    """Give the verbs that a role may use; before login, those that need none."""
    return {name: verb for name, verb in VERBS.items() if verb.role <= role}
