"""The transforms of a small service in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pop3mgmt.errors import to_status
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import transforms_pb2 as pb2
from pop3mgmt.v1 import transforms_pb2_grpc

MADE = 1_767_225_600  # 2026-01-01T00:00:00Z


class Transforms(transforms_pb2_grpc.TransformsServiceServicer):
    """``versions`` are by name, the oldest first; a test is answered by ``parts``."""

    def __init__(self, admit: Callable[[Any], None]) -> None:
        self._admit = admit
        self.removed = 0
        self.versions: dict[str, list[pb2.Transform]] = {}
        self.parts: list[pb2.TestTransformResponse] = []
        self.tested: list[pb2.TestTransformRequest] = []

    def ListTransforms(self, _: Any, context: Any) -> Any:
        self._admit(context)
        found = [
            pb2.TransformSummary(
                latest=them[-1], active_versions=[it.version for it in them if it.is_active]
            )
            for name, them in sorted(self.versions.items())
            if name
        ]
        return pb2.ListTransformsResponse(transforms=found, total_count=len(found))

    def ListTransformVersions(self, request: Any, context: Any) -> Any:
        self._admit(context)
        found = self._versions(request.name, context)[::-1]
        return pb2.ListTransformVersionsResponse(
            transforms=found, total_count=len(found), removed_count=self.removed
        )

    def GetTransform(self, request: Any, context: Any) -> Any:
        self._admit(context)
        wanted = request.transform
        versions = self._versions(wanted.name, context)
        return pb2.GetTransformResponse(transform=versions[(wanted.version or 0) - 1])

    def SetTransform(self, request: Any, context: Any) -> Any:
        self._admit(context)
        versions = self.versions.setdefault(request.name, [])
        made = pb2.Transform(
            name=request.name,
            version=len(versions) + 1,
            command_line=request.command_line,
            on_failure=request.on_failure,
            note=request.note,
            created_by="admin",
        )
        made.create_time.seconds = MADE
        versions.append(made)
        return pb2.SetTransformResponse(transform=made)

    def DeleteTransform(self, request: Any, context: Any) -> Any:
        self._admit(context)
        count = len(self._versions(request.name, context))
        del self.versions[request.name]
        return pb2.DeleteTransformResponse(version_count=count)

    def TestTransform(self, request: Any, context: Any) -> Iterator[Any]:
        self._admit(context)
        self.tested.append(request)
        yield from self.parts

    def _versions(self, name: str, context: Any) -> list[pb2.Transform]:
        if name not in self.versions:
            status = to_status(Reason.NOT_FOUND, f"there is no transform {name!r}")
            context.abort_with_status(status)
        return self.versions[name]


def report(**values: Any) -> pb2.TestTransformResponse:
    """Make a part that is a report."""
    found = pb2.TransformTestReport(
        message_bytes=2048,
        peak_memory_bytes=3 << 20,
        programs=[pb2.TransformProgramReport(program="tr", exit_status=0)],
    )
    found.run_duration.FromMilliseconds(12)
    found.cpu_duration.FromMilliseconds(8)
    found.MergeFrom(pb2.TransformTestReport(**values))
    return pb2.TestTransformResponse(report=found)


def chunk(octets: bytes) -> pb2.TestTransformResponse:
    """Make a part that is a piece of a result."""
    return pb2.TestTransformResponse(chunk=octets)
