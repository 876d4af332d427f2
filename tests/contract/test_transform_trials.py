"""TestTransform: what a transform makes of a message, for whom, and at what cost."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import Any

import pytest

from contract.service import Service
from pop3_service.domain.errors import TransformFailed
from pop3_service.supervisor.transforms.trials import MAX_MESSAGE, PIECE
from pop3_service.transform.runner import Output, Runner
from pop3_service.transform.samples import SAMPLES
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import transforms_pb2 as pb2
from pop3mgmt.v1.audit_pb2 import AuditEntry, AuditFilter

LETTER = b"Subject: a\n\n.\nb\n"
LOUD = b"SUBJECT: A\r\n\r\n.\r\nB\r\n"


def line(command_line: str, message: bytes | None = LETTER) -> pb2.TestTransformRequest:
    """Ask for a test of a command line, without a message on the samples."""
    request = pb2.TestTransformRequest(command_line=command_line)
    if message is not None:
        request.message = message
    return request


async def tried(
    caller: Caller, request: pb2.TestTransformRequest
) -> list[tuple[pb2.TransformTestReport, bytes]]:
    """Give reports, each with its result."""
    found: list[tuple[pb2.TransformTestReport, bytes]] = []
    async for part in caller.test_transform(request):
        if part.HasField("report"):
            found.append((part.report, b""))
        else:
            assert 0 < len(part.chunk) <= PIECE
            found[-1] = (found[-1][0], found[-1][1] + part.chunk)
    return found


async def refusal(caller: Caller, request: pb2.TestTransformRequest) -> ManagementError:
    with pytest.raises(ManagementError) as refused:
        await tried(caller, request)
    return refused.value


async def put(service: Service, name: str = "ana") -> str:
    return (await service.admin.put_message(name, [LETTER])).uidl


def stored(uidl: str, name: str = "", what: str = "tr a-z A-Z") -> pb2.TestTransformRequest:
    message = pb2.StoredMessage(account_name=name, uidl=uidl)
    return pb2.TestTransformRequest(command_line=what, stored_message=message)


async def with_rights(service: Service, *rights: str) -> Caller:
    await service.admin.create_role("some", rights)
    await service.admin.create_account("sam", "secret", "some")
    return await service.client.login("sam", "secret")


async def entry(service: Service) -> AuditEntry:
    """Give the last test's entry in the audit."""
    about = AuditFilter(action="transforms.test")
    found = [it async for it in service.admin.list_audit_entries(about, 1)]
    return found[0]


# --- what it gives ---


async def test_the_result_is_the_message_that_a_client_would_get(service: Service) -> None:
    [(report, result)] = await tried(service.admin, line("tr a-z A-Z"))
    assert result == LOUD
    assert (report.message_bytes, report.result_bytes) == (len(LOUD), len(LOUD))
    assert (report.sample_name, report.has_failed, report.failure_text) == ("", False, "")
    assert [(it.program, it.exit_status) for it in report.programs] == [("tr", 0)]
    assert report.run_duration.ToMicroseconds() > 0


async def test_a_version_is_tried_as_it_was_made(service: Service) -> None:
    await service.admin.set_transform("loud", "tr a-z A-Z | sed s/^B/C/")
    await service.admin.set_transform("loud", "cat")
    version = pb2.TransformVersion(name="loud", version=1)
    request = pb2.TestTransformRequest(transform=version, message=LETTER)
    [(report, result)] = await tried(service.admin, request)
    assert result == LOUD.replace(b"B\r\n", b"C\r\n")
    assert [it.program for it in report.programs] == ["tr", "sed"]
    request.transform.version = 0
    assert (await tried(service.admin, request))[0][1] == LETTER.replace(b"\n", b"\r\n")


async def test_without_a_message_each_sample_is_tried(service: Service) -> None:
    found = await tried(service.admin, line("cat", None))
    assert [report.sample_name for report, _ in found] == list(SAMPLES)
    for report, result in found:
        assert report.message_bytes >= len(SAMPLES[report.sample_name])
        assert report.result_bytes == len(result)


async def test_a_large_result_comes_in_pieces(service: Service) -> None:
    body = bytes(range(32, 127)) * 20 + b"\r\n"
    message = b"Subject: large\r\n\r\n" + body * (MAX_MESSAGE // len(body) - 1)
    [(report, result)] = await tried(service.admin, line("cat", message))
    assert result == message
    assert report.result_bytes == len(message)


async def test_a_failure_is_a_report(service: Service) -> None:
    [(report, result)] = await tried(service.admin, line("tr a-z A-Z | ls /no/such/file | cat"))
    assert (report.has_failed, result) == (True, b"")
    assert report.failure_text
    assert [it.program for it in report.programs] == ["tr", "ls", "cat"]
    assert report.programs[1].exit_status == 2
    assert "ls: cannot access '/no/such/file'" in report.error_text


async def test_a_failure_on_one_sample_keeps_no_other_from_being_tried(service: Service) -> None:
    found = await tried(service.admin, line("grep -a attachment", None))
    failed = {report.sample_name for report, _ in found if report.has_failed}
    assert [report.sample_name for report, _ in found] == list(SAMPLES)
    assert failed == set(SAMPLES) - {"attachment"}


# --- what it is tried on, and by whom ---


async def test_a_message_of_an_account_is_tried_by_who_may_read_it(service: Service) -> None:
    await service.user("ana")
    uidl = await put(service)
    sam = await with_rights(service, "own", "transform.write", "mail.read")
    [(report, result)] = await tried(sam, stored(uidl, "ana"))
    assert (result, report.message_bytes) == (LOUD, len(LOUD))


async def test_a_message_of_an_account_may_be_larger_than_one_that_is_sent(
    service: Service,
) -> None:
    await service.user("ana")
    message = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * (MAX_MESSAGE // 8) + b"\r\n"
    uidl = (await service.admin.put_message("ana", [message])).uidl
    [(report, result)] = await tried(service.admin, stored(uidl, "ana", "cat"))
    assert result == message
    assert (report.message_bytes, report.result_bytes) == (len(message), len(message))


async def test_who_may_not_read_mail_tries_on_the_own_alone(service: Service) -> None:
    await service.user("ana")
    uidl = await put(service)
    sam = await with_rights(service, "own", "transform.write")
    assert (await refusal(sam, stored(uidl, "ana"))).reason is Reason.PERMISSION_DENIED
    [(_, result)] = await tried(sam, stored(await put(service, "sam")))
    assert result == LOUD


async def test_what_is_not_there_is_named(service: Service) -> None:
    await service.user("ana")
    assert (await refusal(service.admin, stored("1.M1", "ana"))).reason is Reason.MESSAGE_NOT_FOUND
    assert (await refusal(service.admin, stored("1", "bob"))).reason is Reason.ACCOUNT_NOT_FOUND
    version = pb2.TransformVersion(name="loud", version=3)
    error = await refusal(service.admin, pb2.TestTransformRequest(transform=version))
    assert (error.reason, error.text) == (Reason.NOT_FOUND, "there is no transform 'loud@3'")


@pytest.mark.parametrize(
    ("request_", "reason", "why"),
    [
        (pb2.TestTransformRequest(message=LETTER), Reason.INVALID_ARGUMENT, "name a transform"),
        (line("no-such-program"), Reason.TRANSFORM_INVALID, "no program 'no-such-program'"),
        (line("cat > /tmp/x"), Reason.TRANSFORM_INVALID, "no shell here"),
        (line(""), Reason.TRANSFORM_INVALID, "no program"),
        (line("cat", bytes(MAX_MESSAGE + 1)), Reason.INVALID_ARGUMENT, "at most 3 MiB"),
    ],
    ids=["nothing", "unknown", "shell", "empty", "large"],
)
async def test_what_cannot_be_tried_is_refused(
    service: Service, request_: pb2.TestTransformRequest, reason: Reason, why: str
) -> None:
    error = await refusal(service.admin, request_)
    assert error.reason is reason
    assert why in error.text


async def test_without_room_for_it_the_service_says_so(service: Service) -> None:
    shutil.rmtree(service.folder / "spool", ignore_errors=True)
    (service.folder / "spool").write_text("in the way")
    error = await refusal(service.admin, line("cat"))
    assert (error.reason, error.text) == (
        Reason.TRANSFORM_FAILED,
        "no room for the message: File exists",
    )


# --- what it leaves behind ---


async def test_a_test_changes_nothing_and_is_in_the_audit(service: Service) -> None:
    await service.user("ana")
    uidl = await put(service)
    await service.admin.set_transform("loud", "tr a-z A-Z")
    before = await service.admin.list_messages("ana")
    request = stored(uidl, "ana")
    request.transform.name = "loud"
    await tried(service.admin, request)
    assert await service.admin.list_messages("ana") == before
    assert len(await service.admin.list_transform_versions("loud")) == 1
    told = await entry(service)
    assert (told.actor, told.target, told.outcome) == ("default", "loud@1", "ok")
    assert json.loads(told.after_json) == {"account": "ana", "uidl": uidl}
    await tried(service.admin, line("false"))
    told = await entry(service)
    assert (told.target, told.outcome) == ("false", "ok")
    assert json.loads(told.after_json)["failed"].startswith("transform ended with status 1")
    assert not [it for it in (service.folder / "spool").rglob("*") if it.is_file()]


class Held:
    """A run that goes on until its caller is gone."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def run(self, *_: Any, **__: Any) -> Output:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        raise TransformFailed("never")


async def test_a_client_that_goes_away_ends_the_run(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    monkeypatch.setattr(Runner, "run", held.run)
    task = asyncio.ensure_future(tried(service.admin, line("cat")))
    async with asyncio.timeout(60):
        await held.begun.wait()
        task.cancel()
        await held.ended.wait()
