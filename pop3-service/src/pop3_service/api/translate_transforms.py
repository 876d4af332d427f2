"""Transforms: values of the domain to messages of the contract and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration

from pop3_service.api.translate import timestamp
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.transforms import OnFailure, Transform
from pop3_service.supervisor.transforms.trials import Trial
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


def report_message(trial: Trial) -> transforms_pb2.TransformTestReport:
    """Write what came of a message that a transform was tested on."""
    # Programs that were not started have no status.
    ends = trial.cost.statuses or (None,) * len(trial.programs)
    return transforms_pb2.TransformTestReport(
        sample_name=trial.sample,
        has_failed=bool(trial.failure),
        failure_text=trial.failure,
        message_bytes=trial.octets,
        result_bytes=trial.result_octets,
        run_duration=_duration(trial.cost.seconds),
        cpu_duration=_duration(trial.cost.cpu_s),
        peak_memory_bytes=trial.cost.memory_bytes,
        programs=map(_program, trial.programs, ends),
        error_text=trial.note,
    )


def _program(name: str, status: int | None) -> transforms_pb2.TransformProgramReport:
    """Write how a program ended; a negative status is a signal."""
    made = transforms_pb2.TransformProgramReport(program=name)
    if status is not None and status < 0:
        made.signal = -status
    elif status is not None:
        made.exit_status = status
    return made


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromTimedelta(timedelta(seconds=seconds))
    return made
