"""ManagementError <-> google.rpc.ErrorInfo, both ways: one table from Reason to gRPC status.

The server turns a reason into a status with ``ErrorInfo``; the client turns it back, so that the
gateway and the command line decide by reason and never by message text.
"""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from pop3mgmt.reasons import Reason

DOMAIN = "pop3mgmt.valija"

STATUS: dict[Reason, grpc.StatusCode] = {
    Reason.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.INVALID_CREDENTIALS: grpc.StatusCode.UNAUTHENTICATED,
    Reason.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.ACCOUNT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.SESSION_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.MESSAGE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.ACCOUNT_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.ACCOUNT_LIMIT: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.CONNECTION_LIMIT: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.LIMIT_BELOW_CURRENT: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.LAST_ADMIN: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.WOULD_LOCK_OUT: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.ACCOUNT_SUSPENDED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.ADDRESS_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.RULE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.BAN_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.LOGIN_THROTTLED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.LOGIN_TOO_SOON: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.MAILDROP_IN_USE: grpc.StatusCode.ABORTED,
    Reason.CERTIFICATE_INVALID: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.WORKERS_BUSY: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.TRANSFORM_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.TRANSFORM_FAILED: grpc.StatusCode.UNAVAILABLE,
    Reason.MAILDROP_UNUSABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.MAILDROP_DAMAGED: grpc.StatusCode.DATA_LOSS,
    Reason.MAILDROP_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.STORE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    Reason.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.STILL_IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.INTERNAL: grpc.StatusCode.INTERNAL,
    Reason.APP_PASSWORD_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.APP_PASSWORD_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Reason.APP_PASSWORD_LIMIT: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.PASSWORD_REFUSED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.PASSWORD_EXPIRED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.PASSWORD_MUST_CHANGE: grpc.StatusCode.PERMISSION_DENIED,
    Reason.BACKUP_INVALID: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.BACKUP_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
}

_WITHOUT_INFO: dict[grpc.StatusCode, Reason] = {
    grpc.StatusCode.UNAVAILABLE: Reason.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAUTHENTICATED: Reason.INVALID_CREDENTIALS,
    grpc.StatusCode.PERMISSION_DENIED: Reason.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT: Reason.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Reason.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND: Reason.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: Reason.ALREADY_EXISTS,
    grpc.StatusCode.CANCELLED: Reason.SERVICE_UNAVAILABLE,
}


_TLS_TROUBLE = {
    "WRONG_VERSION_NUMBER": ": it does not speak TLS",
    "Hostname Verification": ": its certificate has another name",
    "CERTIFICATE_VERIFY_FAILED": ": its certificate is not from an authority that is trusted here",
    "andshake": ": the TLS handshake failed",
}
"""What gRPC says when TLS fails, and what is told of it; the first that is found."""


class ManagementError(Exception):
    """A management call was refused; ``reason`` says why, the text is for people."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


def to_status(reason: Reason, text: str) -> grpc.Status:
    """Give the gRPC status of a failure, with ``ErrorInfo`` in its details."""
    code = STATUS[reason]
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason.value, domain=DOMAIN))
    number: int = code.value[0]
    status = status_pb2.Status(code=code_pb2.Code.ValueType(number), message=text, details=[info])
    translated: grpc.Status = rpc_status.to_status(status)
    return translated


def from_rpc_error(error: grpc.aio.AioRpcError) -> ManagementError:
    """Give back the failure that the server meant; without ``ErrorInfo``, by status code."""
    text = error.details() or error.code().name.lower()
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        status = status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
        for detail in status.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == DOMAIN and info.reason in Reason.__members__:
                return ManagementError(Reason(info.reason), text)
    reason = _WITHOUT_INFO.get(error.code(), Reason.INTERNAL)
    if reason is Reason.SERVICE_UNAVAILABLE:
        text = f"the service cannot be reached{_why_no_tls(text)}"
    return ManagementError(reason, text)


def _why_no_tls(details: str) -> str:
    return next((told for said, told in _TLS_TROUBLE.items() if said in details), "")
