"""What is active for whom: values of the domain to messages of the contract and back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pop3_service.api.translate import timestamp
from pop3_service.api.translate_transforms import transform_message
from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.subject import EVERYONE, Scope, Subject
from pop3_service.domain.transforms import (
    ActivationRecord,
    EndReason,
    Mode,
    Transform,
    TransformCount,
)
from pop3mgmt.v1 import transform_activations_pb2 as pb2
from pop3mgmt.v1 import transforms_pb2

_MODES = {
    Mode.ON: pb2.TRANSFORM_MODE_ON,
    Mode.SHADOW: pb2.TRANSFORM_MODE_SHADOW,
    Mode.CANARY: pb2.TRANSFORM_MODE_CANARY,
}
_REASONS = {
    EndReason.REPLACED: pb2.TRANSFORM_END_REASON_REPLACED,
    EndReason.ROLLED_BACK: pb2.TRANSFORM_END_REASON_ROLLED_BACK,
    EndReason.GIVEN_UP: pb2.TRANSFORM_END_REASON_GIVEN_UP,
    EndReason.DEACTIVATED: pb2.TRANSFORM_END_REASON_DEACTIVATED,
    EndReason.SUBJECT_DELETED: pb2.TRANSFORM_END_REASON_SUBJECT_DELETED,
}


def subject_of(text: str) -> Subject:
    """Read a subject, an account in its own spelling; empty means everyone.

    Raises:
        InvalidArgument: it is none.
    """
    subject = Subject.parse(text) if text else EVERYONE
    if subject.scope is not Scope.ACCOUNT:
        return subject
    return Subject(Scope.ACCOUNT, AccountName.meant(subject.name))


def mode_of(mode: pb2.TransformMode.ValueType) -> Mode:
    """Read a mode; none means on.

    Raises:
        InvalidArgument: it is one that is not known here.
    """
    modes = {theirs: ours for ours, theirs in _MODES.items()}
    modes[pb2.TRANSFORM_MODE_UNSPECIFIED] = Mode.ON
    if mode not in modes:
        raise InvalidArgument("a transform is on, in the shadow, or a canary")
    return modes[mode]


def activation_message(
    record: ActivationRecord, is_active: Callable[[Transform], bool]
) -> pb2.TransformActivation:
    """Write an activation with what came of it; ``is_active`` is about versions."""
    it, end = record.activation, record.end

    def version(transform: Transform | None) -> transforms_pb2.Transform | None:
        if transform is None:
            return None
        return transform_message(transform, is_active=is_active(transform))

    return pb2.TransformActivation(
        id=it.id,
        subject=str(it.subject),
        transform=version(it.transform),
        mode=_MODES[it.mode],
        former=version(it.former),
        account_names=it.accounts,
        share_percent=it.share,
        failure_limit_percent=it.failure_limit,
        set_by=it.set_by,
        set_time=_time(it.set_time_s),
        counts=_counts(record.count),
        inherits=it.inherits,
        end_time=_time(end.time_s) if end else None,
        end_reason=_REASONS[end.reason] if end else pb2.TRANSFORM_END_REASON_UNSPECIFIED,
        ended_by=end.by if end else "",
    )


def _counts(count: TransformCount) -> pb2.TransformCounts:
    duration = Duration()
    duration.FromMilliseconds(round(count.seconds * 1000))
    return pb2.TransformCounts(
        run_count=count.runs,
        failure_count=count.failures,
        difference_count=count.differences,
        skipped_count=count.skipped,
        run_duration=duration,
        last_failure=count.failure,
    )


def _time(seconds: float) -> Timestamp:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
