"""Times as replies tell them: UTC, ISO 8601, whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def show_time(moment: Timestamp | datetime) -> str:
    """Write a time, such as 2026-11-29T10:15:00Z; a ``datetime`` has a time zone."""
    time = moment if isinstance(moment, datetime) else moment.ToDatetime(UTC)
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
