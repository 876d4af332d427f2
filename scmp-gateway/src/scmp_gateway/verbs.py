"""The verbs of SCMP. CAPA and HELP are computed from this table."""

from __future__ import annotations

from collections.abc import Collection

from scmp_gateway.acts import (
    accounts,
    audit,
    maildrops,
    own,
    own_account,
    passwords,
    roles,
    server,
    sessions,
)
from scmp_gateway.verb import Verb

VERBS: dict[str, Verb] = {
    "USER": Verb(
        "USER <username>",
        "name the account",
        None,
        1,
        1,
        before_login=True,
    ),
    "PASS": Verb(
        "PASS <password>",
        "give its password",
        None,
        1,
        None,
        before_login=True,
    ),
    "STLS": Verb(
        "STLS",
        "begin TLS, before the login",
        before_login=True,
    ),
    "CAPA": Verb(
        "CAPA",
        "list what you may use",
        before_login=True,
    ),
    "HELP": Verb(
        "HELP",
        "explain what you may use",
        before_login=True,
    ),
    "NOOP": Verb(
        "NOOP",
        "do nothing",
        before_login=True,
    ),
    "QUIT": Verb(
        "QUIT",
        "end",
        before_login=True,
    ),
    "CURR_CONNEC": Verb(
        "CURR_CONNEC",
        "your own POP3 connections",
        own.curr_connec,
        calls=("SessionsService/ListSessions",),
    ),
    "CHANGE_PASSWORD": Verb(
        "CHANGE_PASSWORD <old_password> <new_password>",
        "change your own password; your other sessions end",
        own.change_password,
        2,
        2,
        calls=("AccountsService/ChangePassword",),
    ),
    "PASSWORD_POLICY": Verb(
        "PASSWORD_POLICY",
        "what a new password must be",
        passwords.password_policy,
        calls=("AccountsService/GetPasswordPolicy",),
    ),
    "END_SESSION": Verb(
        "END_SESSION <id|ALL>",
        "end one POP3 connection, or all of your own",
        own_account.end_session,
        1,
        1,
        calls=("SessionsService/DisconnectSession",),
    ),
    "LOGINS": Verb(
        "LOGINS [<count> [<username>]]",
        "recent logins, refused ones too",
        own_account.logins,
        0,
        2,
        calls=("OwnAccountService/GetRecentLogins",),
    ),
    "APP_PASSWORDS": Verb(
        "APP_PASSWORDS [<username>]",
        "passwords for single POP3 clients",
        own_account.app_passwords,
        0,
        1,
        calls=("OwnAccountService/ListAppPasswords",),
    ),
    "ADD_APP_PASSWORD": Verb(
        "ADD_APP_PASSWORD <name>",
        "make a password for one POP3 client, shown once",
        own_account.add_app_password,
        1,
        1,
        calls=("OwnAccountService/CreateAppPassword",),
    ),
    "REVOKE_APP_PASSWORD": Verb(
        "REVOKE_APP_PASSWORD <name|ALL> [<username>]",
        "revoke one, or all; POP3 connections end",
        own_account.revoke_app_password,
        1,
        2,
        calls=("OwnAccountService/RevokeAppPassword",),
    ),
    "PREFERENCES": Verb(
        "PREFERENCES [<username>]",
        "language, retention and transform",
        own_account.preferences,
        0,
        1,
        calls=("OwnAccountService/GetPreferences",),
    ),
    "SET_PREFERENCE": Verb(
        "SET_PREFERENCE <name> <value> [<username>]",
        "choose LANGUAGE, RETENTION or TRANSFORM",
        own_account.set_preference,
        2,
        3,
        calls=("OwnAccountService/UpdatePreferences",),
    ),
    "ALL_CONNEC": Verb(
        "ALL_CONNEC",
        "all POP3 connections",
        sessions.all_connec,
        calls=(
            "ServerService/GetStatus",
            "SessionsService/ListSessions",
        ),
    ),
    "BYTES_TRANS": Verb(
        "BYTES_TRANS",
        "octets sent since the start",
        sessions.bytes_trans,
        calls=("ServerService/GetStatus",),
    ),
    "USERS": Verb(
        "USERS",
        "all accounts",
        accounts.users,
        calls=("AccountsService/ListAccounts",),
    ),
    "STATUS": Verb(
        "STATUS",
        "state of the service",
        server.status,
        calls=("ServerService/GetStatus",),
    ),
    "MAX_USERS": Verb(
        "MAX_USERS [<number>]",
        "read or set the most accounts",
        server.max_users,
        0,
        1,
        calls=("ServerService/GetSettings",),
        also=("ServerService/UpdateSettings",),
    ),
    "DELETE_USER": Verb(
        "DELETE_USER <username>",
        "remove an account; its sessions end, its mail is kept",
        accounts.delete_user,
        1,
        1,
        calls=("AccountsService/DeleteAccount",),
    ),
    "ADD_USER": Verb(
        "ADD_USER <username> <password> [<role>] [MUST_CHANGE]",
        "make an account",
        accounts.add_user,
        2,
        4,
        calls=("AccountsService/CreateAccount",),
    ),
    "RESET_USER_PASSWORD": Verb(
        "RESET_USER_PASSWORD <username> [MUST_CHANGE]",
        "set a random password, shown once",
        accounts.reset_user_password,
        1,
        2,
        calls=("AccountsService/ResetPassword",),
    ),
    "SET_ROLE": Verb(
        "SET_ROLE <username> <role>",
        "give an account another role; its sessions end",
        accounts.set_role,
        2,
        2,
        calls=("AccountsService/SetRole",),
    ),
    "APOP": Verb(
        "APOP <SET|OFF> <username>",
        "give a random secret for APOP, shown once, or take it away",
        accounts.apop,
        2,
        2,
        calls=(
            "AccountsService/SetApopSecret",
            "AccountsService/RemoveApopSecret",
        ),
    ),
    "TRANSFORM": Verb(
        "TRANSFORM [<transform_application> | OFF]",
        "read, set or end what RETR passes mail through",
        server.transform,
        0,
        None,
        calls=("ServerService/GetSettings",),
        also=("ServerService/UpdateSettings",),
    ),
    "IMPORT_UIDL": Verb(
        "IMPORT_UIDL <username> <server> [<format>]",
        "keep the unique ids of a Maildir that came from DOVECOT or COURIER",
        maildrops.import_uidl,
        2,
        3,
        calls=("MaildropService/ImportUniqueIds",),
    ),
    "RELOAD_CERTIFICATES": Verb(
        "RELOAD_CERTIFICATES",
        "read the certificates' files again",
        server.reload_certificates,
        calls=("ServerService/ReloadCertificates",),
    ),
    "RESTART_WORKERS": Verb(
        "RESTART_WORKERS",
        "replace the worker processes; no session ends",
        server.restart_workers,
        calls=("ServerService/RestartWorkers",),
    ),
    "AUDIT": Verb(
        "AUDIT [<count>] [<filter>...]",
        "who did what, the newest first",
        audit.audit,
        0,
        None,
        calls=("AuditService/ListAuditEntries",),
    ),
    "AUDIT_VERIFY": Verb(
        "AUDIT_VERIFY [<head>]",
        "whether the audit is as it was written",
        audit.audit_verify,
        0,
        1,
        calls=("AuditService/VerifyAudit",),
    ),
    "ROLES": Verb(
        "ROLES",
        "list the roles and their rights",
        roles.roles,
        calls=("RolesService/ListRoles",),
    ),
    "ADD_ROLE": Verb(
        "ADD_ROLE <role> <right>...",
        "make a role of rights",
        roles.add_role,
        2,
        None,
        calls=("RolesService/CreateRole",),
    ),
    "CHANGE_ROLE": Verb(
        "CHANGE_ROLE <role> <right>...",
        "give a role these rights in place of its own",
        roles.change_role,
        2,
        None,
        calls=("RolesService/UpdateRole",),
    ),
    "DELETE_ROLE": Verb(
        "DELETE_ROLE <role>",
        "remove a role that nobody has",
        roles.delete_role,
        1,
        1,
        calls=("RolesService/DeleteRole",),
    ),
}


def visible(methods: Collection[str] | None) -> dict[str, Verb]:
    """Give the verbs for who may call these methods; None is for who has not logged in."""
    return {
        name: verb
        for name, verb in VERBS.items()
        if verb.before_login or (methods is not None and set(verb.calls) <= set(methods))
    }
