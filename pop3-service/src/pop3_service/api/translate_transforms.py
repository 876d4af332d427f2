"""Transforms: values of the domain to messages of the contract and back."""

from __future__ import annotations

from datetime import UTC, datetime

from pop3_service.api.translate import timestamp
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.transforms import OnFailure, Transform
from pop3mgmt.v1 import transforms_pb2

_ON_FAILURE = {
    OnFailure.REFUSE: transforms_pb2.ON_FAILURE_REFUSE,
    OnFailure.ORIGINAL: transforms_pb2.ON_FAILURE_ORIGINAL,
}


def on_failure_of(wanted: transforms_pb2.OnFailure.ValueType) -> OnFailure:
    """Read what a client gets of a message that a transform fails on; none means refuse.

    Raises:
        InvalidArgument: it is one that is not known here.
    """
    known = {theirs: ours for ours, theirs in _ON_FAILURE.items()}
    known[transforms_pb2.ON_FAILURE_UNSPECIFIED] = OnFailure.REFUSE
    if wanted not in known:
        raise InvalidArgument("a message that a transform fails on is refused, or the original")
    return known[wanted]


def transform_message(transform: Transform, *, is_active: bool = False) -> transforms_pb2.Transform:
    """Write a version; ``is_active`` says whether an activation in force names it."""
    return transforms_pb2.Transform(
        name=transform.name,
        version=transform.version,
        command_line=transform.command_line,
        on_failure=_ON_FAILURE[transform.on_failure],
        note=transform.note,
        created_by=transform.created_by,
        create_time=timestamp(datetime.fromtimestamp(transform.create_time_s, UTC)),
        is_active=is_active,
    )
