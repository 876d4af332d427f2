"""What pop3ctl's exit code means: one total table from Reason, for scripts to rely on."""

from __future__ import annotations

from pop3mgmt.reasons import Reason

USAGE = 2
DAMAGED = 11
INTERNAL = 70
INTERRUPTED = 130

EXIT_CODES: dict[Reason, int] = {
    Reason.INVALID_ARGUMENT: 3,
    Reason.TRANSFORM_INVALID: 3,
    Reason.CERTIFICATE_INVALID: 3,
    Reason.INVALID_CREDENTIALS: 4,
    Reason.PERMISSION_DENIED: 5,
    Reason.ACCOUNT_NOT_FOUND: 6,
    Reason.SESSION_NOT_FOUND: 6,
    Reason.MESSAGE_NOT_FOUND: 6,
    Reason.ACCOUNT_EXISTS: 7,
    Reason.ACCOUNT_LIMIT: 8,
    Reason.CONNECTION_LIMIT: 8,
    Reason.LIMIT_BELOW_CURRENT: 8,
    Reason.LAST_ADMIN: 8,
    Reason.WOULD_LOCK_OUT: 8,
    Reason.ACCOUNT_SUSPENDED: 5,
    Reason.ADDRESS_DENIED: 5,
    Reason.RULE_NOT_FOUND: 6,
    Reason.BAN_NOT_FOUND: 6,
    Reason.LOGIN_THROTTLED: 9,
    Reason.LOGIN_TOO_SOON: 9,
    Reason.MAILDROP_IN_USE: 10,
    Reason.MAILDROP_UNUSABLE: 10,
    Reason.MAILDROP_DAMAGED: 10,
    Reason.MAILDROP_UNAVAILABLE: 10,
    Reason.TRANSFORM_FAILED: 10,
    Reason.STORE_UNAVAILABLE: 10,
    Reason.WORKERS_BUSY: 10,
    Reason.SERVICE_UNAVAILABLE: 10,
    Reason.DEADLINE_EXCEEDED: 10,
    Reason.NOT_FOUND: 6,
    Reason.ALREADY_EXISTS: 7,
    Reason.STILL_IN_USE: 8,
    Reason.INTERNAL: INTERNAL,
    Reason.APP_PASSWORD_NOT_FOUND: 6,
    Reason.APP_PASSWORD_EXISTS: 7,
    Reason.APP_PASSWORD_LIMIT: 8,
    Reason.PASSWORD_REFUSED: 3,
    Reason.PASSWORD_EXPIRED: 5,
    Reason.PASSWORD_MUST_CHANGE: 5,
    Reason.BACKUP_INVALID: 3,
    Reason.BACKUP_NOT_FOUND: 6,
}

MEANINGS: dict[int, str] = {
    0: "done",
    USAGE: "wrong usage, or a local file that cannot be used",
    3: "a value, certificate or backup that is not accepted",
    4: "not logged in, or a wrong name or password",
    5: "this login may not do that",
    6: "no such account, session, message, role, token, transform, app password, rule, ban or"
    " backup",
    7: "an account, a role, a token or an app password of that name already exists",
    8: "a limit: accounts, connections, app passwords, the last admin, locking yourself out, what"
    " is still in use",
    9: "too many wrong logins; wait",
    10: "service, maildrop or transform unavailable, busy, or too slow",
    DAMAGED: "'audit verify' found that the audit is not as it was written",
    INTERNAL: "internal error",
    INTERRUPTED: "interrupted or declined: Ctrl-C, a closed pipe, a 'no'",
}
