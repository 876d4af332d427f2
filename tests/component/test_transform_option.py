"""The transform that the service is started with: an act of the start, which stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from component.conftest import Service
from pop3mgmt.client import Caller
from pop3mgmt.v1.audit_pb2 import AuditEntry, AuditFilter


def transform(service: Service) -> str:
    return service.manage(lambda admin: admin.get_status()).transform


def acts(service: Service) -> list[AuditEntry]:
    async def newest(admin: Caller) -> list[AuditEntry]:
        return [it async for it in admin.list_audit_entries(AuditFilter(action="transforms."))]

    return service.manage(newest)


def test_it_is_made_active_at_each_start_and_stays_without(
    plain_service: Callable[..., Service],
) -> None:
    first = plain_service(POP3_TRANSFORM="tr a-z A-Z")
    assert transform(first) == "tr a-z A-Z"
    box = first.account(b"Subject: x\n\nbody\n")
    with first.connect() as client:
        client.log_in(box.name)
        assert client.ask_many("RETR 1")[1] == b"SUBJECT: X\r\n\r\nBODY\r\n"
    [act] = acts(first)
    assert (act.action, act.target, act.via) == (
        "transforms.use_command_line",
        "everyone",
        "command-line",
    )
    assert first.daemon.stop() == 0
    second = plain_service()
    assert transform(second) == "tr a-z A-Z"
    assert len(acts(second)) == 1
    second.transform("wc -l")
    assert second.daemon.stop() == 0
    third = plain_service(POP3_TRANSFORM="tr a-z A-Z")
    assert transform(third) == "tr a-z A-Z"
    assert third.daemon.stop() == 0
    fourth = plain_service(POP3_TRANSFORM="")
    assert transform(fourth) == ""
    with fourth.connect() as client:
        client.log_in(box.name)
        assert client.ask_many("RETR 1")[1] == b"Subject: x\r\n\r\nbody\r\n"
    assert fourth.daemon.stop() == 0
    assert transform(plain_service()) == ""


def test_the_state_tells_what_of_the_sandbox_is_in_force(service: Service) -> None:
    async def found(admin: Caller) -> str:
        async with asyncio.timeout(60):
            async for status in admin.watch_status(timedelta(seconds=0.1)):
                if status.transforms.isolation:
                    return status.transforms.isolation
        raise AssertionError

    assert service.manage(found).startswith("Landlock ABI ")
