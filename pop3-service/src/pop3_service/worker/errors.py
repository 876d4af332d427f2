"""What a POP3 client is told of a failure: one total table from Reason (RFC 2449, RFC 3206)."""

from __future__ import annotations

from lineproto.reply import Err
from pop3_service.domain.errors import ServiceError
from pop3mgmt.reasons import Reason

CODE: dict[Reason, str | None] = {
    Reason.INVALID_ARGUMENT: None,
    Reason.INVALID_CREDENTIALS: "AUTH",
    Reason.PERMISSION_DENIED: "AUTH",
    Reason.ACCOUNT_NOT_FOUND: "AUTH",
    Reason.SESSION_NOT_FOUND: "SYS/TEMP",
    Reason.MESSAGE_NOT_FOUND: None,
    Reason.ACCOUNT_EXISTS: "SYS/TEMP",
    Reason.ACCOUNT_LIMIT: "SYS/TEMP",
    Reason.CONNECTION_LIMIT: "SYS/TEMP",
    Reason.LIMIT_BELOW_CURRENT: "SYS/TEMP",
    Reason.LAST_ADMIN: "SYS/TEMP",
    Reason.LOGIN_THROTTLED: "SYS/TEMP",
    Reason.MAILDROP_IN_USE: "IN-USE",
    Reason.CERTIFICATE_INVALID: "SYS/PERM",
    Reason.WORKERS_BUSY: "SYS/TEMP",
    Reason.TRANSFORM_INVALID: "SYS/TEMP",
    Reason.TRANSFORM_FAILED: "SYS/TEMP",
    Reason.MAILDROP_UNAVAILABLE: "SYS/TEMP",
    Reason.STORE_UNAVAILABLE: "SYS/TEMP",
    Reason.SERVICE_UNAVAILABLE: "SYS/TEMP",
    Reason.DEADLINE_EXCEEDED: "SYS/TEMP",
    Reason.INTERNAL: "SYS/TEMP",
}


def refusal(error: ServiceError) -> Err:
    """Give the reply that tells a failure."""
    return Err(str(error), CODE[error.reason])
