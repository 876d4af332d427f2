"""The calls about which transform is active for whom."""

from __future__ import annotations

import functools

from pop3mgmt.calls.base import TRIAL_S, Calls, History, call
from pop3mgmt.v1 import transform_activations_pb2, transform_activations_pb2_grpc
from pop3mgmt.v1.transform_activations_pb2 import TransformActivation
from pop3mgmt.v1.transforms_pb2 import OnFailure


class TransformActivationsCalls(Calls):
    """The calls about active transforms; a subject is empty for everyone."""

    @functools.cached_property
    def _activations(
        self,
    ) -> transform_activations_pb2_grpc.TransformActivationsServiceAsyncStub:
        return transform_activations_pb2_grpc.TransformActivationsServiceStub(self._channel)

    async def list_transform_activations(
        self, subject: str = "", *, include_past: bool = False
    ) -> History[TransformActivation]:
        """Give what is active, for a subject or all; what was as well, the newest first."""
        found: History[TransformActivation] = History()
        token = ""
        while True:
            request = transform_activations_pb2.ListTransformActivationsRequest(
                subject=subject, include_past=include_past, page_token=token
            )
            page = await call(
                self._activations.ListTransformActivations(request, **self._options())
            )
            found.extend(page.activations)
            found.removed_count = page.removed_count
            if not (token := page.next_page_token):
                return found

    async def activate_transform(
        self, request: transform_activations_pb2.ActivateTransformRequest
    ) -> TransformActivation:
        """Make a version active for a subject."""
        options = self._options(at_least_s=TRIAL_S)
        return (await call(self._activations.ActivateTransform(request, **options))).activation

    async def use_command_line(
        self, command_line: str, on_failure: OnFailure.ValueType = OnFailure.ON_FAILURE_UNSPECIFIED
    ) -> TransformActivation | None:
        """Make a command line active for everyone, or nothing if it is empty: then give None."""
        request = transform_activations_pb2.UseCommandLineRequest(
            command_line=command_line, on_failure=on_failure
        )
        # It is tried on sample messages before it takes effect.
        options = self._options(at_least_s=TRIAL_S)
        response = await call(self._activations.UseCommandLine(request, **options))
        return response.activation if response.HasField("activation") else None

    async def roll_back_transform(
        self, subject: str = ""
    ) -> tuple[TransformActivation, TransformActivation | None]:
        """Bring back what was active before; give what was rolled back and what is active now."""
        request = transform_activations_pb2.RollBackTransformRequest(subject=subject)
        done = await call(self._activations.RollBackTransform(request, **self._options()))
        return done.rolled_back, done.activation if done.HasField("activation") else None

    async def deactivate_transform(self, subject: str = "") -> TransformActivation:
        """End what is active for a subject; give it as it was."""
        request = transform_activations_pb2.DeactivateTransformRequest(subject=subject)
        return (await call(self._activations.DeactivateTransform(request, **self._options()))).ended
