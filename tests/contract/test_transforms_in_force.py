"""What is active: it ends with whom it is for, comes back with a backup, and is judged."""

from __future__ import annotations

import asyncio

from contract.service import Service
from pop3_service.domain.audit import ActorKind, Via
from pop3_service.domain.audit_log import AuditFilter
from pop3_service.domain.subject import EVERYONE, Scope, Subject
from pop3_service.domain.transforms import Mode, OnFailure, TransformCount, TransformTable
from pop3mgmt.v1.sessions_pb2 import SessionEvent


def in_force(service: Service) -> list[str]:
    """What every worker has been told."""
    first, second = (worker.transforms for worker in service.workers)
    assert first == second
    return [str(it) for it in first.activations]


async def active(service: Service, subject: Subject, command_line: str = "cat") -> None:
    await service.transforms.set("clean", command_line, OnFailure.REFUSE, "", "default")
    await service.transforms.activate("clean", "default", subject=subject)


async def test_what_is_for_an_account_ends_when_it_is_deleted(service: Service) -> None:
    await service.user("ana")
    await active(service, Subject(Scope.ACCOUNT, "ana"))
    assert in_force(service) == ["clean@1 for account:ana"]
    await service.admin.delete_account("ana")
    assert in_force(service) == []
    [past], _ = await service.transforms.past()
    assert past.end is not None
    assert past.end.by == "default"


async def test_what_is_for_a_role_ends_when_it_is_deleted(service: Service) -> None:
    await service.admin.create_role("filter", ["own"])
    await active(service, Subject(Scope.ROLE, "filter"))
    await service.admin.delete_role("filter")
    assert in_force(service) == []


async def test_a_backup_holds_what_is_active(service: Service) -> None:
    await active(service, EVERYONE, "cat | tr a b")
    backup = await service.admin.create_backup()
    await service.transforms.use_command_line("wc", "default")
    assert in_force(service) == ["wc for everyone"]
    await service.admin.restore_backup(backup.name)
    assert in_force(service) == ["clean@1 for everyone"]
    [record] = service.transforms.activations()
    assert record.activation.transform is not None
    assert record.activation.transform.programs == (("cat",), ("tr", "a", "b"))


async def test_a_canary_that_is_given_up_is_told_everywhere(service: Service) -> None:
    await active(service, EVERYONE)
    await service.transforms.set("clean", "wc", OnFailure.REFUSE, "", "default")
    record = await service.transforms.activate("clean", "default", mode=Mode.CANARY, share=10)
    events = service.admin.watch_sessions()
    assert await anext(events) is None
    failed = TransformCount(record.activation.id, 10, 2, failure="it ended with status 1")
    service.transforms.note([failed])
    service.transforms.note([failed])
    async with asyncio.timeout(60):
        event = await anext(events)
    assert event is not None
    assert event.kind == SessionEvent.KIND_TRANSFORM_ROLLED_BACK
    assert not event.HasField("session")
    assert "clean@2 for everyone was given up, back to clean@1: 4 of 20 runs failed" in event.text
    assert in_force(service) == ["clean@1 for everyone"]
    async with asyncio.timeout(60):
        while not (found := await service.audit.newest(AuditFilter(action="transforms."))):
            await service.audit.flush()
    [entry] = found
    assert (entry.action, entry.actor_kind, entry.via) == (
        "transforms.roll_back",
        ActorKind.SERVICE,
        Via.SERVICE,
    )
    assert (entry.target, entry.outcome) == ("everyone", "ok")
    assert entry.before == {"transform": "clean@2 for everyone as a canary"}
    assert entry.after["transform"] == "clean@1 for everyone"
    assert (entry.after["runs"], entry.after["failures"]) == (20, 4)
    assert entry.after["last_failure"] == "it ended with status 1"
    await events.aclose()


async def test_a_worker_hears_what_is_active_by_the_first_login(service: Service) -> None:
    assert [worker.transforms for worker in service.workers] == [TransformTable()] * 2
    await service.transforms.use_command_line("wc", "default")
    assert in_force(service) == ["wc for everyone"]


async def test_the_audit_tells_of_a_transform_however_long_it_is(service: Service) -> None:
    long = "tr a " + "é" * 1000
    await service.admin.use_command_line(f"{long}1 | cat")
    await service.admin.use_command_line(f"{long}2 | cat")
    [entry, _] = await service.audit.newest(AuditFilter(action="transforms.use_command_line"))
    assert str(entry.before["transform"]).startswith("tr a éé")
    assert str(entry.after["transform"]).startswith("tr a éé")
    assert "characters" in str(entry.after["transform"])
