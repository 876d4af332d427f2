"""Lines about what is active: what may follow the transform, and what each thing is told as."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from lineproto.reply import Listing
from pop3mgmt.calls.base import History
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.transform_activations_pb2 import (
    TRANSFORM_END_REASON_GIVEN_UP,
    TRANSFORM_MODE_CANARY,
    TRANSFORM_MODE_ON,
    TRANSFORM_MODE_SHADOW,
    ActivateTransformRequest,
    TransformActivation,
    TransformCounts,
    TransformEndReason,
)
from pop3mgmt.v1.transforms_pb2 import OnFailure, Transform
from scmp_gateway.acts import transform_activations as acts
from scmp_gateway.acts.transform_activations import activation_line, active_words, end_name
from scmp_gateway.command import parse

WC = Transform(version=7, command_line="wc -l")
OLD = Transform(name="banner", version=1, command_line="cat")
NEW = Transform(name="banner", version=2, command_line="cat -A")


class Asked(Caller):
    """A caller that notes what it is asked for."""

    def __init__(self, client: ManagementClient) -> None:
        super().__init__(client, "token")
        self.asked: list[object] = []
        self.active: list[TransformActivation] = []
        self.removed = 0
        self.ended = on(NEW)

    async def activate_transform(self, request: ActivateTransformRequest) -> TransformActivation:
        self.asked = [request]
        return TransformActivation(subject="role:user", transform=NEW, mode=request.mode)

    async def list_transform_activations(
        self, subject: str = "", *, include_past: bool = False
    ) -> History[TransformActivation]:
        self.asked = [subject, include_past]
        return History(self.active, self.removed)

    async def use_command_line(
        self, command_line: str, on_failure: OnFailure.ValueType = OnFailure.ON_FAILURE_UNSPECIFIED
    ) -> TransformActivation | None:
        self.asked = [command_line]
        made = Transform(version=8, command_line=command_line)
        return on(made) if command_line else None

    async def roll_back_transform(
        self, subject: str = ""
    ) -> tuple[TransformActivation, TransformActivation | None]:
        self.asked = [subject]
        return self.ended, on(OLD) if self.active else None

    async def deactivate_transform(self, subject: str = "") -> TransformActivation:
        self.asked = [subject]
        return self.ended


def on(transform: Transform) -> TransformActivation:
    return TransformActivation(subject="everyone", transform=transform, mode=TRANSFORM_MODE_ON)


@pytest.fixture
async def caller() -> AsyncIterator[Asked]:
    async with ManagementClient("127.0.0.1:1") as client:
        yield Asked(client)


@pytest.mark.parametrize(
    ("active", "told"),
    [
        ([], "off"),
        ([on(WC)], "wc -l"),
        ([on(NEW)], "banner@2"),
        ([TransformActivation(mode=TRANSFORM_MODE_ON)], "off"),
        ([TransformActivation(mode=TRANSFORM_MODE_SHADOW, transform=NEW)], "off, shadow banner@2"),
        (
            [TransformActivation(mode=TRANSFORM_MODE_CANARY, transform=NEW, former=WC)],
            "wc -l, canary banner@2",
        ),
    ],
)
async def test_what_is_active_for_everyone_is_told_in_few_words(
    caller: Asked, active: list[TransformActivation], told: str
) -> None:
    caller.active = active
    reply = await acts.transform(caller, parse(b"TRANSFORM"))
    assert reply.encode().decode() == f"+OK transform is {told}\r\n"
    assert caller.asked == ["everyone", False]


async def test_a_command_line_is_the_rest_of_the_line(caller: Asked) -> None:
    reply = await acts.transform(caller, parse(b"TRANSFORM  sed 's/a  b/c/' | tr a b "))
    assert reply.encode() == b"+OK transform is sed 's/a  b/c/' | tr a b\r\n"
    reply = await acts.transform(caller, parse(b"transform off"))
    assert reply.encode() == b"+OK transform is off\r\n"
    assert caller.asked == [""]


async def test_options_come_in_any_order(caller: Asked) -> None:
    line = parse(b"transform_activate banner@2 limit 2% canary 10%,ana for role:user")
    reply = await acts.activate(caller, line)
    assert reply.encode() == b"+OK transform of role:user is off, canary banner@2\r\n"
    assert caller.asked == [
        ActivateTransformRequest(
            name="banner",
            version=2,
            subject="role:user",
            mode=TRANSFORM_MODE_CANARY,
            account_names=["ana"],
            share_percent=10,
            failure_limit_percent=2,
        )
    ]


async def test_without_options_it_is_on_for_everyone(caller: Asked) -> None:
    await acts.activate(caller, parse(b"TRANSFORM_ACTIVATE banner"))
    assert caller.asked == [ActivateTransformRequest(name="banner", mode=TRANSFORM_MODE_ON)]
    await acts.activate(caller, parse(b"TRANSFORM_ACTIVATE banner SHADOW"))
    assert caller.asked == [ActivateTransformRequest(name="banner", mode=TRANSFORM_MODE_SHADOW)]


@pytest.mark.parametrize(
    "rest",
    [
        "banner@x", "banner FOR", "banner SHADOW SHADOW", "banner SHADOW CANARY 5%",
        "banner CANARY", "banner CANARY ,", "banner CANARY 5%,6%", "banner LIMIT 5", "banner LATER",
    ],
)  # fmt: skip
async def test_options_that_say_nothing_sensible_are_refused(caller: Asked, rest: str) -> None:
    with pytest.raises(ManagementError) as refused:
        await acts.activate(caller, parse(f"TRANSFORM_ACTIVATE {rest}".encode()))
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert caller.asked == []


async def test_a_rollback_says_what_holds_now(caller: Asked) -> None:
    reply = await acts.roll_back(caller, parse(b"TRANSFORM_ROLLBACK"))
    assert reply.encode() == b"+OK transform of everyone is off\r\n"
    assert caller.asked == [""]
    caller.active = [on(OLD)]
    reply = await acts.roll_back(caller, parse(b"TRANSFORM_ROLLBACK role:user"))
    assert reply.encode() == b"+OK transform of everyone is banner@1\r\n"
    assert caller.asked == ["role:user"]


async def test_off_is_for_everyone_or_a_subject(caller: Asked) -> None:
    reply = await acts.off(caller, parse(b"TRANSFORM_OFF"))
    assert reply.encode() == b"+OK transform of everyone is off\r\n"
    assert caller.asked == [""]
    await acts.off(caller, parse(b"TRANSFORM_OFF account:ana"))
    assert caller.asked == ["account:ana"]


async def test_off_for_a_role_is_what_everyone_has(caller: Asked) -> None:
    caller.ended = TransformActivation(subject="role:user", transform=NEW)
    reply = await acts.off(caller, parse(b"TRANSFORM_OFF role:user"))
    assert reply.encode() == b"+OK transform of role:user is inherited\r\n"
    reply = await acts.roll_back(caller, parse(b"TRANSFORM_ROLLBACK role:user"))
    assert reply.encode() == b"+OK transform of role:user is inherited\r\n"


async def test_the_history_is_of_a_subject_or_of_all(caller: Asked) -> None:
    caller.active = [on(NEW), on(OLD)]
    reply = await acts.activations(caller, parse(b"TRANSFORM_ACTIVATIONS role:user"))
    assert isinstance(reply, Listing)
    assert reply.text == "2 activations"
    assert caller.asked == ["role:user", True]
    caller.removed = 7
    told = await acts.activations(caller, parse(b"TRANSFORM_ACTIVATIONS"))
    assert told.encode().startswith(b"+OK 2 activations, 7 older ones are not kept\r\n")
    await acts.active(caller, parse(b"TRANSFORM_ACTIVE"))
    assert caller.asked == ["", False]


def test_a_line_tells_what_is_of_use_in_its_mode() -> None:
    made = on(WC)
    made.set_by = "admin"
    made.set_time.seconds = 1_767_225_600
    made.counts.CopyFrom(TransformCounts(run_count=4, failure_count=1, last_failure='says "no"'))
    assert activation_line(made) == (
        "everyone @7 on runs=4 failures=1 by=admin since=2026-01-01T00:00:00Z"
        ' command="wc -l" failure="says \\"no\\""'
    )
    made.transform.CopyFrom(NEW)
    made.former.CopyFrom(OLD)
    made.mode = TRANSFORM_MODE_SHADOW
    assert " shadow former=banner@1 runs=4 failures=1 differences=0 skipped=0 " in (
        activation_line(made)
    )
    made.mode, made.share_percent, made.failure_limit_percent = TRANSFORM_MODE_CANARY, 10, 5
    made.ClearField("former")
    assert " canary former=none accounts=- share=10% limit=5% runs=4 " in activation_line(made)
    made.end_time.seconds, made.end_reason = 1_767_225_660, TRANSFORM_END_REASON_GIVEN_UP
    assert (
        ' ended=2026-01-01T00:01:00Z because=given-up ended-by=- command="cat -A"'
        in activation_line(made)
    )


def test_without_anything_of_its_own_a_subject_has_what_a_wider_one_has() -> None:
    made = TransformActivation(mode=TRANSFORM_MODE_SHADOW, transform=NEW, inherits=True)
    made.subject = "everyone"
    assert active_words(made) == "off, shadow banner@2"
    assert " former=none " in activation_line(made)
    made.subject = "role:user"
    assert active_words(made) == "inherited, shadow banner@2"
    assert " former=inherited " in activation_line(made)
    made.inherits = False
    assert active_words(made) == "off, shadow banner@2"


@pytest.mark.parametrize("reason", TransformEndReason.values())
def test_every_end_has_a_word(reason: TransformEndReason.ValueType) -> None:
    assert re.fullmatch("[a-z]+(-[a-z]+)*", end_name(reason))
