"""What is active for whom, over gRPC: what is told of it, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from contract.service import Service
from pop3_service.domain.transforms import EndReason, Mode, OnFailure, TransformCount
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import transform_activations_pb2 as pb2
from pop3mgmt.v1.audit_pb2 import AuditFilter
from pop3mgmt.v1.transform_activations_pb2 import ActivateTransformRequest


async def refused(call: object) -> Reason:
    with pytest.raises(ManagementError) as error:
        await call  # type: ignore[misc]
    return error.value.reason


def canary(**more: object) -> ActivateTransformRequest:
    return ActivateTransformRequest(version=1, mode=pb2.TRANSFORM_MODE_CANARY, **more)


@pytest.fixture
async def two(service: Service) -> Service:
    """A service where @2 is active for everyone, and @1 was."""
    for command_line in ("cat", "cat -u"):
        await service.admin.use_command_line(command_line)
    return service


async def test_an_activation_is_told_whole(two: Service) -> None:
    await two.user("ana")
    request = canary(account_names=["ana"], share_percent=10)
    made = await two.admin.activate_transform(request)
    assert (made.subject, made.mode) == ("everyone", pb2.TRANSFORM_MODE_CANARY)
    assert (made.transform.version, made.transform.command_line) == (1, "cat")
    assert (made.former.version, made.inherits) == (2, False)
    assert (list(made.account_names), made.share_percent) == (["ana"], 10)
    assert made.failure_limit_percent == 5
    assert (made.set_by, made.HasField("end_time")) == ("default", False)
    assert made.set_time.seconds == int(two.clock.now().timestamp())
    assert made.transform.is_active
    assert not made.former.is_active


async def test_no_failure_at_all_can_be_the_limit(two: Service) -> None:
    request = canary(share_percent=10, failure_limit_percent=0)
    assert (await two.admin.activate_transform(request)).failure_limit_percent == 0


async def test_what_came_of_it_is_told(two: Service) -> None:
    made = await two.admin.activate_transform(canary(share_percent=10, failure_limit_percent=50))
    two.transforms.note([TransformCount(made.id, 5, 1, 2, 3, 1.5, "it ended with status 1")])
    [found] = await two.admin.list_transform_activations()
    counts = found.counts
    assert (counts.run_count, counts.failure_count) == (5, 1)
    assert (counts.difference_count, counts.skipped_count) == (2, 3)
    assert counts.run_duration.ToMilliseconds() == 1500
    assert counts.last_failure == "it ended with status 1"


async def test_mail_as_it_is_can_be_active(two: Service) -> None:
    request = ActivateTransformRequest(name="none", subject="role:user")
    made = await two.admin.activate_transform(request)
    assert (made.HasField("transform"), made.inherits) == (False, True)
    found = await two.admin.list_transform_activations()
    assert [it.subject for it in found] == ["everyone", "role:user"]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (ActivateTransformRequest(), Reason.INVALID_ARGUMENT),
        (ActivateTransformRequest(version=9), Reason.NOT_FOUND),
        (ActivateTransformRequest(version=-1), Reason.NOT_FOUND),
        (ActivateTransformRequest(name="nobody"), Reason.NOT_FOUND),
        (ActivateTransformRequest(version=1, subject="all"), Reason.INVALID_ARGUMENT),
        (ActivateTransformRequest(version=1, subject="role:nobody"), Reason.NOT_FOUND),
        (ActivateTransformRequest(version=1, subject="account:nobody"), Reason.ACCOUNT_NOT_FOUND),
        (ActivateTransformRequest(version=1, mode=7), Reason.INVALID_ARGUMENT),  # type: ignore[arg-type]
        (ActivateTransformRequest(version=1, share_percent=5), Reason.INVALID_ARGUMENT),
        (ActivateTransformRequest(version=1, failure_limit_percent=5), Reason.INVALID_ARGUMENT),
        (canary(), Reason.INVALID_ARGUMENT),
        (canary(share_percent=101), Reason.INVALID_ARGUMENT),
        (canary(share_percent=5, failure_limit_percent=-1), Reason.INVALID_ARGUMENT),
        (canary(account_names=["nobody"]), Reason.ACCOUNT_NOT_FOUND),
        (canary(share_percent=5, subject="account:default"), Reason.INVALID_ARGUMENT),
    ],
    ids=str,
)
async def test_what_cannot_be_active_is_refused_and_what_is_stays(
    two: Service, request_: ActivateTransformRequest, reason: Reason
) -> None:
    before = await two.admin.list_transform_activations(include_past=True)
    assert await refused(two.admin.activate_transform(request_)) is reason
    assert await two.admin.list_transform_activations(include_past=True) == before


async def test_an_account_is_meant_in_any_of_its_spellings(two: Service) -> None:
    await two.user("é")
    wide = "account:e\u0301"
    made = await two.admin.activate_transform(ActivateTransformRequest(version=1, subject=wide))
    assert made.subject == "account:é"
    assert [it.id for it in await two.admin.list_transform_activations(wide)] == [made.id]
    assert (await two.admin.deactivate_transform(wide)).id == made.id
    assert await two.admin.list_transform_activations(wide) == []
    [past] = await two.admin.list_transform_activations(wide, include_past=True)
    assert past.end_reason == pb2.TRANSFORM_END_REASON_DEACTIVATED


async def test_a_rollback_says_what_was_and_what_is(two: Service) -> None:
    was, now = await two.admin.roll_back_transform()
    assert (was.transform.version, was.ended_by) == (2, "default")
    assert was.end_reason == pb2.TRANSFORM_END_REASON_ROLLED_BACK
    assert now is not None
    assert now.transform.version == 1
    was, now = await two.admin.roll_back_transform()
    assert (was.transform.version, now) == (1, None)
    assert await refused(two.admin.roll_back_transform()) is Reason.NOT_FOUND
    assert await refused(two.admin.deactivate_transform()) is Reason.NOT_FOUND


async def test_the_history_is_told_in_pages_behind_what_is_active(
    two: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2, 1, 2):
        await two.admin.activate_transform(ActivateTransformRequest(version=version))
    await two.admin.activate_transform(ActivateTransformRequest(version=1, subject="role:user"))
    whole = await two.admin.list_transform_activations(include_past=True)
    assert [it.HasField("end_time") for it in whole] == [False, False, *[True] * 5]
    past = [it.id for it in whole[2:]]
    assert past == sorted(past, reverse=True)
    service = two.admin._activations
    for size in (1, 2, 3, 7, 8):
        found: list[int] = []
        token = ""
        while True:
            request = pb2.ListTransformActivationsRequest(
                include_past=True, page_size=size, page_token=token
            )
            page = await service.ListTransformActivations(request, metadata=two.admin._metadata)
            assert page.total_count == 7
            assert len(page.activations) <= size
            found += [it.id for it in page.activations]
            if not (token := page.next_page_token):
                break
        assert found == [it.id for it in whole]


async def test_a_command_line_says_what_a_failure_means(service: Service) -> None:
    made = await service.admin.use_command_line("cat | tr a b", 2)  # type: ignore[arg-type]
    assert made is not None
    assert (made.transform.name, made.transform.on_failure) == ("", 2)
    assert await service.admin.use_command_line(" ") is None
    assert await service.admin.list_transform_activations() == []
    assert await refused(service.admin.use_command_line("/no/such")) is Reason.TRANSFORM_INVALID
    call = service.admin.use_command_line("cat", 9)  # type: ignore[arg-type]
    assert await refused(call) is Reason.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "command_line", ["no-such-program", "/etc", "/etc/passwd", "false", "wc > cat", "wc 'x", "./wc"]
)
async def test_a_command_line_that_does_not_work_leaves_what_was(
    two: Service, command_line: str
) -> None:
    before = await two.admin.list_transform_activations(include_past=True)
    assert await refused(two.admin.use_command_line(command_line)) is Reason.TRANSFORM_INVALID
    assert await two.admin.list_transform_activations(include_past=True) == before
    assert [str(it) for it in two.workers[0].transforms.activations] == ["cat -u for everyone"]


async def test_a_trial_of_a_command_line_holds_up_no_other_change(service: Service) -> None:
    programs = service.folder / "programs"
    programs.mkdir()
    go, program = programs / "go", programs / "program"
    os.mkfifo(go)
    program.write_text(f"#!/bin/sh\nread line < {go}; cat\n")
    program.chmod(0o755)
    trial = asyncio.create_task(service.admin.use_command_line(str(program)))
    gate = await asyncio.to_thread(open, go, "w")  # a program reads: the trial has begun
    assert await service.admin.use_command_line("cat") is not None
    go.unlink()
    go.write_text("go\n")  # for those that come now
    gate.close()
    changed = await trial
    assert changed is not None
    assert changed.transform.command_line == str(program)


async def test_the_state_tells_what_is_active_and_what_is_tried(two: Service) -> None:
    made = await two.admin.activate_transform(canary(share_percent=10))
    await two.admin.activate_transform(ActivateTransformRequest(version=1, subject="role:user"))
    two.transforms.note([TransformCount(made.id, 5, 1, failure="it ended with status 1")])
    status = await two.admin.get_status()
    assert (status.transform, status.transforms.activation_count) == ("cat -u", 2)
    [trial] = status.transforms.trials
    assert (trial.id, trial.counts.run_count, trial.counts.failure_count) == (made.id, 5, 1)
    assert trial.transform.is_active
    assert status.transforms.given_up_canary_count == 0
    assert status.transforms.isolation == "as these tests say"
    await two.admin.use_command_line("")
    assert (await two.admin.get_status()).transform == ""


async def test_what_the_service_gave_up_is_told_so(two: Service) -> None:
    made = await two.admin.activate_transform(canary(share_percent=10))
    events = two.admin.watch_sessions()
    assert await anext(events) is None
    two.transforms.note([TransformCount(made.id, 9, 3, failure="it ended with status 1")])
    async with asyncio.timeout(60):
        await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    now, was, *_ = await two.admin.list_transform_activations(include_past=True)
    assert (was.id, was.ended_by) == (made.id, "")
    assert was.end_reason == pb2.TRANSFORM_END_REASON_GIVEN_UP
    assert (was.counts.run_count, was.counts.failure_count) == (9, 3)
    assert (now.transform.version, now.set_by) == (2, "")
    assert (await two.admin.get_status()).transforms.given_up_canary_count == 1


async def test_an_activation_is_told_to_the_audit(two: Service) -> None:
    await two.admin.activate_transform(canary(share_percent=10))
    await two.admin.roll_back_transform()
    await two.admin.deactivate_transform()
    entries = two.admin.list_audit_entries(AuditFilter(action="transforms."), 3)
    told = [
        (it.action, it.target, json.loads(it.before_json), json.loads(it.after_json))
        async for it in entries
    ]
    one, other = "cat -u for everyone", "cat for everyone as a canary"
    canary_told = {"transform": other, "share": 10, "accounts": 0, "limit": 5}
    assert told == [
        ("transforms.deactivate", "everyone", {"transform": one}, {"transform": None}),
        ("transforms.roll_back", "everyone", {"transform": other}, {"transform": one}),
        ("transforms.activate", "everyone", {"transform": one}, canary_told),
    ]


def test_every_mode_and_every_end_has_a_value() -> None:
    for ours, theirs in ((Mode, pb2.TransformMode), (EndReason, pb2.TransformEndReason)):
        names = {it.name for it in ours}
        prefix = "TRANSFORM_MODE_" if ours is Mode else "TRANSFORM_END_REASON_"
        assert {name.removeprefix(prefix) for name in theirs.keys()} == names | {"UNSPECIFIED"}
    assert set(OnFailure) == {"refuse", "original"}
