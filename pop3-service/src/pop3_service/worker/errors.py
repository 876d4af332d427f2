"""What a POP3 client is told of a failure: one total table from Reason (RFC 2449, RFC 3206)."""

from __future__ import annotations

from lineproto.reply import Err
from pop3_service.pop3.catalogue import Language, Text
from pop3mgmt.reasons import Reason

TOLD: dict[Reason, tuple[Text, str | None]] = {
    Reason.INVALID_ARGUMENT: (Text.NO_MAILDROP, "SYS/PERM"),
    Reason.INVALID_CREDENTIALS: (Text.WRONG_LOGIN, "AUTH"),
    Reason.PERMISSION_DENIED: (Text.NOT_PERMITTED, "AUTH"),
    Reason.ACCOUNT_NOT_FOUND: (Text.WRONG_LOGIN, "AUTH"),
    Reason.SESSION_NOT_FOUND: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.MESSAGE_NOT_FOUND: (Text.MESSAGE_GONE, None),
    Reason.ACCOUNT_EXISTS: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.ACCOUNT_LIMIT: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.CONNECTION_LIMIT: (Text.TOO_MANY_CONNECTIONS, "SYS/TEMP"),
    Reason.LIMIT_BELOW_CURRENT: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.LAST_ADMIN: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.WOULD_LOCK_OUT: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.ACCOUNT_SUSPENDED: (Text.ACCOUNT_SUSPENDED, "AUTH"),
    Reason.ADDRESS_DENIED: (Text.ADDRESS_DENIED, "AUTH"),
    Reason.RULE_NOT_FOUND: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.BAN_NOT_FOUND: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.LOGIN_THROTTLED: (Text.TOO_MANY_WRONG_LOGINS, "SYS/TEMP"),
    Reason.LOGIN_TOO_SOON: (Text.LOGIN_TOO_SOON, "LOGIN-DELAY"),
    Reason.MAILDROP_IN_USE: (Text.MAILDROP_IN_USE, "IN-USE"),
    Reason.CERTIFICATE_INVALID: (Text.UNAVAILABLE, "SYS/PERM"),
    Reason.WORKERS_BUSY: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.TRANSFORM_INVALID: (Text.TRANSFORM_FAILED, "SYS/TEMP"),
    Reason.TRANSFORM_FAILED: (Text.TRANSFORM_FAILED, "SYS/TEMP"),
    Reason.MAILDROP_UNAVAILABLE: (Text.MAIL_UNAVAILABLE, "SYS/TEMP"),
    Reason.MAILDROP_UNUSABLE: (Text.MAIL_DAMAGED, "SYS/PERM"),
    Reason.MAILDROP_DAMAGED: (Text.MAIL_DAMAGED, "SYS/PERM"),
    Reason.STORE_UNAVAILABLE: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.SERVICE_UNAVAILABLE: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.DEADLINE_EXCEEDED: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.NOT_FOUND: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.ALREADY_EXISTS: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.STILL_IN_USE: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.INTERNAL: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.APP_PASSWORD_NOT_FOUND: (Text.WRONG_LOGIN, "AUTH"),
    Reason.APP_PASSWORD_EXISTS: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.APP_PASSWORD_LIMIT: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.PASSWORD_REFUSED: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.PASSWORD_EXPIRED: (Text.PASSWORD_EXPIRED, "AUTH"),
    Reason.PASSWORD_MUST_CHANGE: (Text.PASSWORD_MUST_CHANGE, "AUTH"),
    Reason.BACKUP_INVALID: (Text.UNAVAILABLE, "SYS/TEMP"),
    Reason.BACKUP_NOT_FOUND: (Text.UNAVAILABLE, "SYS/TEMP"),
}
"""What is said, and the response code. Details are for the log."""


def refusal(reason: Reason, language: Language) -> Err:
    """Give the reply that tells a failure."""
    text, code = TOLD[reason]
    return language.err(text, code)
