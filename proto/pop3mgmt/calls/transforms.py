"""The calls about transforms: the catalogue, and tests of what is in it."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator

from pop3mgmt.calls.base import TRIAL_S, Calls, History, call, streamed
from pop3mgmt.v1 import transforms_pb2, transforms_pb2_grpc
from pop3mgmt.v1.transforms_pb2 import ON_FAILURE_UNSPECIFIED, OnFailure, Transform

MAX_MESSAGE = 3 * 1024 * 1024
"""Octets of the largest message that can be sent to be tested on."""


class TransformsCalls(Calls):
    """The calls about transforms; a version of 0 is the latest."""

    @functools.cached_property
    def _transforms(self) -> transforms_pb2_grpc.TransformsServiceAsyncStub:
        return transforms_pb2_grpc.TransformsServiceStub(self._channel)

    async def list_transforms(self) -> list[transforms_pb2.TransformSummary]:
        """Give the transforms that have a name, in order of name."""
        found: list[transforms_pb2.TransformSummary] = []
        token = ""
        while True:
            request = transforms_pb2.ListTransformsRequest(page_token=token)
            page = await call(self._transforms.ListTransforms(request, **self._options()))
            found.extend(page.transforms)
            if not (token := page.next_page_token):
                return found

    async def list_transform_versions(self, name: str = "") -> History[Transform]:
        """Give the versions of a name, the newest first; without one, of command lines alone."""
        found: History[Transform] = History()
        token = ""
        while True:
            request = transforms_pb2.ListTransformVersionsRequest(name=name, page_token=token)
            page = await call(self._transforms.ListTransformVersions(request, **self._options()))
            found.extend(page.transforms)
            found.removed_count = page.removed_count
            if not (token := page.next_page_token):
                return found

    async def get_transform(self, name: str, version: int = 0) -> Transform:
        """Give one version."""
        wanted = transforms_pb2.TransformVersion(name=name, version=version)
        request = transforms_pb2.GetTransformRequest(transform=wanted)
        return (await call(self._transforms.GetTransform(request, **self._options()))).transform

    async def set_transform(
        self,
        name: str,
        command_line: str,
        on_failure: OnFailure.ValueType = ON_FAILURE_UNSPECIFIED,
        note: str = "",
    ) -> Transform:
        """Make the next version of a name; it is tried on sample messages before."""
        request = transforms_pb2.SetTransformRequest(
            name=name, command_line=command_line, on_failure=on_failure, note=note
        )
        options = self._options(at_least_s=TRIAL_S)
        return (await call(self._transforms.SetTransform(request, **options))).transform

    async def delete_transform(self, name: str) -> int:
        """Remove all versions of a name; give how many there were."""
        request = transforms_pb2.DeleteTransformRequest(name=name)
        done = await call(self._transforms.DeleteTransform(request, **self._options()))
        return done.version_count

    async def test_transform(
        self, request: transforms_pb2.TestTransformRequest
    ) -> AsyncGenerator[transforms_pb2.TestTransformResponse, None]:
        """Give reports, each with the pieces of its result behind it."""
        with streamed(self._transforms.TestTransform(request, metadata=self._metadata)) as parts:
            async for part in parts:
                yield part
