"""The state of the service to a message of the contract."""

from __future__ import annotations

from pop3_service.api.translate import certificate_message, timestamp
from pop3_service.api.translate_activations import activation_message
from pop3_service.domain.ahead import TransformedMail
from pop3_service.domain.transforms import Mode
from pop3_service.supervisor.status import Status
from pop3mgmt.v1 import server_pb2

MAX_TRIALS = 100
"""Shadows and canaries that a state tells of."""


def status_message(status: Status) -> server_pb2.Status:
    """Write the state."""
    totals = status.totals
    return server_pb2.Status(
        version=status.version,
        start_time=timestamp(status.start_time),
        status_time=timestamp(status.status_time),
        total_connection_count=totals.opened_connections,
        current_connection_count=totals.current_connections,
        logged_in_session_count=totals.logged_in_sessions,
        sent_bytes=totals.sent_bytes,
        sent_message_count=totals.sent_messages,
        deleted_message_count=totals.deleted_messages,
        refused_login_count=totals.refused_logins,
        account_count=status.account_count,
        worker_count=status.workers.serving,
        draining_worker_count=status.workers.draining,
        worker_restart_count=status.workers.restarts,
        transform=status.transform,
        transforms=_transforms_message(status),
        transformed_mail=_transformed_mail_message(status.transformed_mail),
        warnings=status.warnings,
        certificates=map(certificate_message, status.certificates),
        management_certificate_not_after_time=(
            timestamp(status.management_certificate_end)
            if status.management_certificate_end
            else None
        ),
    )


def _transformed_mail_message(found: TransformedMail | None) -> server_pb2.TransformedMail | None:
    if found is None:
        return None
    return server_pb2.TransformedMail(
        ahead=found.ahead,
        waiting_count=found.progress.waiting,
        done_count=found.progress.done,
        failed_count=found.progress.failed,
        used_bytes=found.used,
        limit_bytes=found.limit,
    )


def _transforms_message(status: Status) -> server_pb2.TransformStatus:
    active = {it.activation.transform.id for it in status.transforms if it.activation.transform}
    trials = [it for it in status.transforms if it.activation.mode is not Mode.ON]
    return server_pb2.TransformStatus(
        activation_count=len(status.transforms),
        trials=[activation_message(it, lambda of: of.id in active) for it in trials[:MAX_TRIALS]],
        given_up_canary_count=status.given_up_canary_count,
        isolation=status.isolation,
    )
