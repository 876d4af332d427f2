"""What an SCMP client is told of a failure: one total table from Reason (SCMP.md, section 6)."""

from __future__ import annotations

from lineproto.reply import Err
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason

CODE: dict[Reason, str] = {
    Reason.INVALID_ARGUMENT: "INVALID",
    Reason.INVALID_CREDENTIALS: "AUTH",
    Reason.PERMISSION_DENIED: "DENIED",
    Reason.ACCOUNT_NOT_FOUND: "NOT-FOUND",
    Reason.SESSION_NOT_FOUND: "NOT-FOUND",
    Reason.MESSAGE_NOT_FOUND: "NOT-FOUND",
    Reason.ACCOUNT_EXISTS: "ALREADY-EXISTS",
    Reason.ACCOUNT_LIMIT: "LIMIT",
    Reason.CONNECTION_LIMIT: "LIMIT",
    Reason.LIMIT_BELOW_CURRENT: "LIMIT",
    Reason.LAST_ADMIN: "LAST-ADMIN",
    Reason.WOULD_LOCK_OUT: "LOCK-OUT",
    Reason.ACCOUNT_SUSPENDED: "DENIED",
    Reason.ADDRESS_DENIED: "DENIED",
    Reason.RULE_NOT_FOUND: "NOT-FOUND",
    Reason.BAN_NOT_FOUND: "NOT-FOUND",
    Reason.LOGIN_THROTTLED: "THROTTLED",
    Reason.LOGIN_TOO_SOON: "THROTTLED",
    Reason.MAILDROP_IN_USE: "UNAVAILABLE",
    Reason.CERTIFICATE_INVALID: "CERTIFICATE",
    Reason.WORKERS_BUSY: "BUSY",
    Reason.TRANSFORM_INVALID: "INVALID",
    Reason.TRANSFORM_FAILED: "UNAVAILABLE",
    Reason.MAILDROP_UNUSABLE: "UNAVAILABLE",
    Reason.MAILDROP_DAMAGED: "UNAVAILABLE",
    Reason.MAILDROP_UNAVAILABLE: "UNAVAILABLE",
    Reason.STORE_UNAVAILABLE: "UNAVAILABLE",
    Reason.SERVICE_UNAVAILABLE: "UNAVAILABLE",
    Reason.DEADLINE_EXCEEDED: "UNAVAILABLE",
    Reason.NOT_FOUND: "NOT-FOUND",
    Reason.ALREADY_EXISTS: "ALREADY-EXISTS",
    Reason.STILL_IN_USE: "IN-USE",
    Reason.INTERNAL: "INTERNAL",
    Reason.APP_PASSWORD_NOT_FOUND: "NOT-FOUND",
    Reason.APP_PASSWORD_EXISTS: "ALREADY-EXISTS",
    Reason.APP_PASSWORD_LIMIT: "LIMIT",
    Reason.PASSWORD_REFUSED: "PASSWORD",
    Reason.PASSWORD_EXPIRED: "PASSWORD",
    Reason.PASSWORD_MUST_CHANGE: "PASSWORD",
    Reason.BACKUP_INVALID: "INVALID",
    Reason.BACKUP_NOT_FOUND: "NOT-FOUND",
}

HINTS: dict[Reason, str] = {
    Reason.PERMISSION_DENIED: "WHOAMI lists your rights",
    Reason.ACCOUNT_NOT_FOUND: "USERS lists the accounts",
    Reason.SESSION_NOT_FOUND: "SESSIONS lists them",
    Reason.RULE_NOT_FOUND: "RULES lists them",
    Reason.BAN_NOT_FOUND: "BANS lists bans and suspensions",
    Reason.APP_PASSWORD_NOT_FOUND: "APP_PASSWORDS lists them",
    Reason.APP_PASSWORD_LIMIT: "REVOKE_APP_PASSWORD makes room",
    Reason.PASSWORD_REFUSED: "PASSWORD_POLICY lists the rules",
    Reason.PASSWORD_EXPIRED: "send CHANGE_PASSWORD",
    Reason.PASSWORD_MUST_CHANGE: "send CHANGE_PASSWORD",
    Reason.ACCOUNT_LIMIT: "MAX_USERS raises it",
    Reason.LAST_ADMIN: "make another admin first",
    Reason.MAILDROP_IN_USE: "KICK_USER ends its session",
    Reason.WORKERS_BUSY: "STATUS tells how many are draining",
    Reason.BACKUP_NOT_FOUND: "BACKUPS lists them",
    Reason.DEADLINE_EXCEEDED: "it may have been done; look before you try again",
}
"""What to do about it, where the service's own words do not say so: verbs of SCMP."""


def refusal(error: ManagementError, *, logged_in: bool = True) -> Err:
    """Give the reply that tells a failure, and what who is logged in can do about it."""
    hint = HINTS.get(error.reason) if logged_in else None
    return Err(f"{error.text}; {hint}" if hint else error.text, CODE[error.reason])
