"""Transforms: messages of the contract to use cases and back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from pop3_service.api.access import caller, own_or
from pop3_service.api.servicers.shared import PAGE, Context
from pop3_service.api.translate_transforms import on_failure_of, report_message, transform_message
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.rights import Right
from pop3_service.domain.transforms import Transform
from pop3_service.supervisor.identity.accounts import AccountsDesk
from pop3_service.supervisor.transforms.trials import Stored, TransformTrials
from pop3_service.supervisor.transforms.versions import TransformsDesk
from pop3mgmt.v1 import transforms_pb2, transforms_pb2_grpc


class TransformsServicer(transforms_pb2_grpc.TransformsServiceServicer):
    """The catalogue of transforms."""

    def __init__(
        self, transforms: TransformsDesk, trials: TransformTrials, accounts: AccountsDesk
    ) -> None:
        self._transforms = transforms
        self._trials = trials
        self._accounts = accounts

    async def ListTransforms(
        self, request: transforms_pb2.ListTransformsRequest, context: Context
    ) -> transforms_pb2.ListTransformsResponse:
        """Give a page of the transforms; the page token is the last name."""
        size = _page_size(request.page_size)
        page, total = await self._transforms.list(request.page_token, size)
        return transforms_pb2.ListTransformsResponse(
            transforms=[
                transforms_pb2.TransformSummary(
                    latest=self._message(it), active_versions=self._active_versions(it.name)
                )
                for it in page
            ],
            next_page_token=page[-1].name if len(page) == size else "",
            total_count=total,
        )

    async def ListTransformVersions(
        self, request: transforms_pb2.ListTransformVersionsRequest, context: Context
    ) -> transforms_pb2.ListTransformVersionsResponse:
        """Give a page of the versions of a name; the page token is their offset."""
        size, token = _page_size(request.page_size), request.page_token
        if token and not (token.isascii() and token.isdigit() and len(token) < 10):
            raise InvalidArgument("page_token cannot be used")
        skip = int(token or 0)
        page, total = await self._transforms.versions(request.name, skip, size)
        end = skip + len(page)
        return transforms_pb2.ListTransformVersionsResponse(
            transforms=map(self._message, page),
            next_page_token=str(end) if page and end < total else "",
            total_count=total,
            removed_count=await self._transforms.removed_versions(request.name),
        )

    async def GetTransform(
        self, request: transforms_pb2.GetTransformRequest, context: Context
    ) -> transforms_pb2.GetTransformResponse:
        """Give one version."""
        found = await self._transforms.get(*version_of(request.transform))
        return transforms_pb2.GetTransformResponse(transform=self._message(found))

    async def DeleteTransform(
        self, request: transforms_pb2.DeleteTransformRequest, context: Context
    ) -> transforms_pb2.DeleteTransformResponse:
        """Remove all versions of a name."""
        count = await self._transforms.delete(request.name, caller().name)
        return transforms_pb2.DeleteTransformResponse(version_count=count)

    async def SetTransform(
        self, request: transforms_pb2.SetTransformRequest, context: Context
    ) -> transforms_pb2.SetTransformResponse:
        """Make the next version of a name."""
        made = await self._transforms.set(
            request.name,
            request.command_line,
            on_failure_of(request.on_failure),
            request.note,
            caller().name,
        )
        return transforms_pb2.SetTransformResponse(transform=self._message(made))

    async def TestTransform(
        self, request: transforms_pb2.TestTransformRequest, context: Context
    ) -> AsyncIterator[transforms_pb2.TestTransformResponse]:
        """Run a transform on a message, or on the samples."""
        what: Transform | str
        match request.WhichOneof("what"):
            case "transform":
                what = await self._transforms.get(*version_of(request.transform))
            case "command_line":
                what = request.command_line
            case _:
                raise InvalidArgument("name a transform, or give a command line")
        on = await self._meant(request)
        async with contextlib.aclosing(self._trials.run(what, on, caller().name)) as parts:
            async for part in parts:
                if isinstance(part, bytes):
                    yield transforms_pb2.TestTransformResponse(chunk=part)
                else:
                    yield transforms_pb2.TestTransformResponse(report=report_message(part))

    async def _meant(self, request: transforms_pb2.TestTransformRequest) -> bytes | Stored | None:
        """Give what is to be tested on; an account's mail for those alone who may read it."""
        match request.WhichOneof("on"):
            case "message":
                return request.message
            case "stored_message":
                wanted = request.stored_message
                meant = own_or(Right.MAIL_READ, wanted.account_name)
                return Stored((await self._accounts.get(meant)).name, wanted.uidl)
        return None

    def _message(self, transform: Transform) -> transforms_pb2.Transform:
        return transform_message(transform, is_active=self._transforms.is_active(transform))

    def _active_versions(self, name: str) -> list[int]:
        named = (it.transform for it in self._transforms.current.activations)
        return sorted({it.version for it in named if it is not None and it.name == name})


def version_of(wanted: transforms_pb2.TransformVersion) -> tuple[str, int]:
    """Read which version is meant.

    Raises:
        InvalidArgument: its number cannot be one.
    """
    if wanted.version < 0:
        raise InvalidArgument("a version is a number from 1 on")
    return wanted.name, wanted.version


def _page_size(size: int) -> int:
    if size < 0:
        raise InvalidArgument("page_size cannot be negative")
    return min(size or PAGE, PAGE)
