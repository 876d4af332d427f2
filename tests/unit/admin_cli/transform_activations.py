"""What is active in a small service in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pop3mgmt.v1 import transform_activations_pb2 as pb2
from pop3mgmt.v1 import transform_activations_pb2_grpc
from pop3mgmt.v1.transforms_pb2 import ON_FAILURE_REFUSE, Transform

MADE = 1_767_225_600  # 2026-01-01T00:00:00Z
OLD = Transform(name="banner", version=1, command_line="cat", on_failure=ON_FAILURE_REFUSE)
NEW = Transform(name="banner", version=2, command_line="cat -A", on_failure=ON_FAILURE_REFUSE)


class TransformActivations(
    transform_activations_pb2_grpc.TransformActivationsServiceServicer,
):
    """What is asked is kept in ``asked``; ``active`` is what is listed."""

    def __init__(self, admit: Callable[[Any], None]) -> None:
        self._admit = admit
        self.active: list[pb2.TransformActivation] = []
        self.asked: list[Any] = []

    def ListTransformActivations(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append(request)
        return pb2.ListTransformActivationsResponse(
            activations=self.active,
            total_count=len(self.active),
            removed_count=7 if request.include_past else 0,
        )

    def ActivateTransform(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append(request)
        made = activation(request.subject, request.mode)
        if request.name == "none":
            made.ClearField("transform")
        return pb2.ActivateTransformResponse(activation=made)

    def UseCommandLine(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append(request)
        made = activation("everyone", pb2.TRANSFORM_MODE_ON)
        made.transform.CopyFrom(Transform(version=7, command_line=request.command_line))
        return pb2.UseCommandLineResponse(activation=made)

    def RollBackTransform(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append(request)
        was = activation(request.subject, pb2.TRANSFORM_MODE_ON)
        now = activation(request.subject, pb2.TRANSFORM_MODE_ON) if self.active else None
        if now is not None:
            now.transform.CopyFrom(OLD)
        return pb2.RollBackTransformResponse(rolled_back=was, activation=now)

    def DeactivateTransform(self, request: Any, context: Any) -> Any:
        self._admit(context)
        self.asked.append(request)
        was = activation(request.subject, pb2.TRANSFORM_MODE_ON)
        return pb2.DeactivateTransformResponse(ended=was)


def activation(subject: str, mode: pb2.TransformMode.ValueType) -> pb2.TransformActivation:
    made = pb2.TransformActivation(
        id=3, subject=subject, transform=NEW, mode=mode, former=OLD, set_by="admin"
    )
    made.set_time.seconds = MADE
    return made
