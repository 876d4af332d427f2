"""Which transform is active for whom: messages of the contract to use cases and back."""

from __future__ import annotations

from pop3_service.api.access import caller
from pop3_service.api.servicers.shared import Context
from pop3_service.api.translate import page_bounds
from pop3_service.api.translate_activations import activation_message, mode_of, subject_of
from pop3_service.api.translate_transforms import on_failure_of
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.transforms import DEFAULT_FAILURE_LIMIT, ActivationRecord, Mode
from pop3_service.supervisor.transforms.versions import TransformsDesk
from pop3mgmt.v1 import transform_activations_pb2 as pb2
from pop3mgmt.v1 import transform_activations_pb2_grpc


class TransformActivationsServicer(
    transform_activations_pb2_grpc.TransformActivationsServiceServicer
):
    """What is active for whom."""

    def __init__(self, transforms: TransformsDesk) -> None:
        self._transforms = transforms

    async def ListTransformActivations(
        self, request: pb2.ListTransformActivationsRequest, context: Context
    ) -> pb2.ListTransformActivationsResponse:
        """Give a page of what is active, and behind it of what was."""
        start, size = page_bounds(request.page_size, request.page_token)
        subject = subject_of(request.subject) if request.subject else None
        found = [
            it
            for it in self._transforms.activations()
            if subject is None or it.activation.subject == subject
        ]
        page, total, removed = found[start : start + size], len(found), 0
        if request.include_past:
            skip, most = max(start - total, 0), size - len(page)
            past, count = await self._transforms.past(subject, skip, most)
            page, total = [*page, *past], total + count
            removed = await self._transforms.removed_activations()
        end = start + len(page)
        return pb2.ListTransformActivationsResponse(
            activations=map(self._message, page),
            next_page_token=str(end) if page and end < total else "",
            total_count=total,
            removed_count=removed,
        )

    async def ActivateTransform(
        self, request: pb2.ActivateTransformRequest, context: Context
    ) -> pb2.ActivateTransformResponse:
        """Make a version active for a subject."""
        if not request.name and not request.version:
            raise InvalidArgument("name a transform, or say which version without a name")
        mode = mode_of(request.mode)
        has_limit = request.HasField("failure_limit_percent")
        if has_limit and mode is not Mode.CANARY:
            raise InvalidArgument("only a canary has a failure limit")
        made = await self._transforms.activate(
            request.name,
            caller().name,
            version=request.version,
            subject=subject_of(request.subject),
            mode=mode,
            share=request.share_percent,
            accounts=request.account_names,
            failure_limit=request.failure_limit_percent if has_limit else DEFAULT_FAILURE_LIMIT,
        )
        return pb2.ActivateTransformResponse(activation=self._message(made))

    async def UseCommandLine(
        self, request: pb2.UseCommandLineRequest, context: Context
    ) -> pb2.UseCommandLineResponse:
        """Make a command line active for everyone, or nothing."""
        made = await self._transforms.use_command_line(
            request.command_line, caller().name, on_failure_of(request.on_failure)
        )
        return pb2.UseCommandLineResponse(activation=self._message(made) if made else None)

    async def RollBackTransform(
        self, request: pb2.RollBackTransformRequest, context: Context
    ) -> pb2.RollBackTransformResponse:
        """Bring back what was active before."""
        was, now = await self._transforms.roll_back(subject_of(request.subject), caller().name)
        return pb2.RollBackTransformResponse(
            rolled_back=self._message(was), activation=self._message(now) if now else None
        )

    async def DeactivateTransform(
        self, request: pb2.DeactivateTransformRequest, context: Context
    ) -> pb2.DeactivateTransformResponse:
        """End what is active for a subject."""
        was = await self._transforms.deactivate(subject_of(request.subject), caller().name)
        return pb2.DeactivateTransformResponse(ended=self._message(was))

    def _message(self, record: ActivationRecord) -> pb2.TransformActivation:
        return activation_message(record, self._transforms.is_active)
