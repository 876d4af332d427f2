"""Every call that changes something leaves one entry in the audit, durable before its reply."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contract.service import Service
from contract.test_access import GUARDED, refusal
from pop3_service.api.auditing import ACT_VERBS, READ_VERBS, action_of, is_told, verb_of
from pop3_service.api.methods import ACCESS
from pop3_service.domain.audit import OK, ActorKind, AuditEntry, Via
from pop3_service.domain.audit_log import AuditFilter
from pop3_service.storage.audit import FILE, AuditStore
from pop3_service.supervisor.defence.refusals import WRITTEN
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.maildrop_pb2 import ID_SOURCE_DOVECOT
from pop3mgmt.v1.server_pb2 import Settings
from pop3mgmt.v1.transform_activations_pb2 import ActivateTransformRequest
from pop3mgmt.v1.transforms_pb2 import ON_FAILURE_ORIGINAL

OURS = sorted(method for method in ACCESS if method.startswith("/pop3mgmt."))
TOLD = [method for method in OURS if is_told(method)]


async def newest(service: Service, count: int = 1, **meant: Any) -> list[AuditEntry]:
    await service.audit.flush()
    return await service.audit.newest(AuditFilter(**meant), limit=count)


async def last(service: Service, **meant: Any) -> AuditEntry:
    [entry] = await newest(service, **meant)
    return entry


def test_every_method_is_a_read_or_an_act() -> None:
    assert {verb_of(method) for method in OURS} <= READ_VERBS | ACT_VERBS
    assert not READ_VERBS & ACT_VERBS


def test_every_act_has_a_name_of_its_own() -> None:
    names = [action_of(method) for method in TOLD]
    assert len(set(names)) == len(names)
    assert {"accounts.create", "accounts.change_password", "server.update_settings",
            "sessions.disconnect", "maildrop.put_message", "login.grpc",
            "transforms.roll_back"} <= set(names)  # fmt: skip


def test_what_only_reads_is_not_told() -> None:
    silent = [method for method in OURS if not is_told(method)]
    assert all(verb_of(method) in READ_VERBS or method.endswith("/RenewToken") for method in silent)


async def test_an_act_is_told_with_all_that_it_was(service: Service) -> None:
    await service.admin.create_account("ana", "secret")
    entry = await last(service, action="accounts.create")
    assert (entry.actor, entry.actor_kind) == ("default", ActorKind.ACCOUNT)
    assert (entry.target, entry.outcome) == ("ana", OK)
    assert entry.via is Via.GRPC
    assert entry.address in ("127.0.0.1", "::1")
    assert entry.after["role"] == "user"
    assert entry.time_s == service.clock.now().timestamp()


async def test_an_entry_is_durable_when_its_caller_hears_of_the_act(service: Service) -> None:
    await service.admin.create_account("ana", "secret")
    connection = sqlite3.connect(service.folder / "data" / FILE)
    query = "SELECT count(*) FROM entries WHERE action = 'accounts.create' AND target = 'ana'"
    assert connection.execute(query).fetchone() == (1,)
    connection.close()


async def _put(caller: Caller, name: str) -> object:
    return await caller.put_message(name, [b"Subject: x\n\nx\n"])


async def _got(caller: Caller, name: str) -> object:
    return [piece async for piece in caller.get_message("1", name)]


@pytest.mark.parametrize(
    ("action", "act"),
    [
        ("tokens.create", lambda it: it.create_token("x", "no such role")),
        ("tokens.revoke", lambda it: it.revoke_token("x")),
        ("backup.restore", lambda it: it.restore_backup("x")),
        ("maildrop.put_message", lambda it: _put(it, "x")),
        ("maildrop.get_message", lambda it: _got(it, "x")),
        ("maildrop.import_unique_ids", lambda it: it.import_unique_ids("x", ID_SOURCE_DOVECOT)),
    ],
)
async def test_what_was_refused_is_told_with_whom_it_was_about(
    service: Service, action: str, act: Callable[[Caller], Awaitable[object]]
) -> None:
    with pytest.raises(ManagementError):
        await act(service.admin)
    entry = await last(service, action=action)
    assert (entry.actor, entry.target) == ("default", "x")
    assert entry.outcome != OK


async def test_a_refused_app_password_is_told_with_whose_it_would_be(service: Service) -> None:
    with pytest.raises(ManagementError):
        await service.admin.create_app_password("")
    assert (await last(service, action="own_account.create_app_password")).target == "default"
    with pytest.raises(ManagementError):
        await service.admin.revoke_app_password("phone")
    entry = await last(service, action="own_account.revoke_app_password")
    assert (entry.target, entry.before) == ("default", {"app_password": "phone"})


async def test_a_refused_transform_is_told_with_what_it_was_to_be(service: Service) -> None:
    admin, nothing = service.admin, "/no/such -x"
    with pytest.raises(ManagementError):
        await admin.set_transform("loud", nothing, ON_FAILURE_ORIGINAL)
    entry = await last(service, action="transforms.set")
    assert (entry.target, entry.outcome) == ("loud", "TRANSFORM_INVALID")
    asked = {"command_line": nothing, "on_failure": "original"}
    assert (entry.before, entry.after) == ({}, {"asked": asked})
    with pytest.raises(ManagementError):
        await admin.use_command_line(nothing)
    entry = await last(service, action="transforms.use_command_line")
    assert (entry.target, entry.after) == ("everyone", {"asked": {"transform": nothing}})
    with pytest.raises(ManagementError):
        await admin.activate_transform(ActivateTransformRequest(name="loud", version=7))
    entry = await last(service, action="transforms.activate")
    assert entry.after == {"asked": {"transform": "loud@7", "mode": "on"}}
    await admin.set_transform("loud", "cat")  # what came about is told as what it is
    assert "asked" not in (await last(service, action="transforms.set")).after


async def test_refusals_of_a_caller_in_a_loop_are_counted(service: Service) -> None:
    ana = await service.user("ana")
    for _ in range(WRITTEN + 30):
        with pytest.raises(ManagementError):
            await ana.create_account("eva", "secret")
    found = await newest(service, 100, actor="ana", action="accounts.create")
    assert len(found) == WRITTEN
    # Nobody else is affected by that.
    with pytest.raises(ManagementError):
        await service.admin.create_account("ana", "secret")
    assert (await last(service, action="accounts.create")).actor == "default"


async def test_settings_are_told_before_and_after(service: Service) -> None:
    await service.admin.update_settings(Settings(max_accounts=7, apop=True),
                                        ["max_accounts", "apop"])  # fmt: skip
    entry = await last(service, action="server.")
    assert entry.target == "max_accounts apop"
    assert entry.before == {"max_accounts": 10_000, "apop": False}
    assert entry.after == {"max_accounts": 7, "apop": True}


async def test_roles_are_told_before_and_after(service: Service) -> None:
    admin = service.admin
    await service.user("ana")
    await admin.create_role("helpdesk", ["accounts.read"])
    await admin.update_role("helpdesk", ["accounts.read", "own"])
    await admin.set_role("ana", "helpdesk")
    given, changed, made = await newest(service, 3, actor="default", outcome=OK)
    assert (given.action, given.target) == ("accounts.set_role", "ana")
    assert (given.before, given.after["role"]) == ({"role": "user"}, "helpdesk")
    assert (changed.action, changed.target) == ("roles.update", "helpdesk")
    assert changed.before == {"rights": ["accounts.read"]}
    assert changed.after == {"rights": ["accounts.read", "own"]}
    assert (made.action, made.target) == ("roles.create", "helpdesk")


async def test_a_ban_that_ends_by_itself_is_told(service: Service) -> None:
    await service.user("ana")
    await service.admin.ban("198.51.100.7", "guessing", 3600)
    await service.admin.suspend_account("ana", "unpaid", 3600)
    service.clock.move(3600)
    async with asyncio.timeout(60):
        while len(await newest(service, 10, action="access.end_")) < 2:
            await asyncio.sleep(0)
    found = {it.action: it for it in await newest(service, 2, action="access.end_")}
    ban, suspension = found["access.end_ban"], found["access.end_suspension"]
    assert (ban.actor_kind, ban.target) == (ActorKind.SERVICE, "198.51.100.7/32")
    assert ban.before == {"reason": "guessing", "set_by": "default"}
    assert suspension.target == "ana"


async def test_what_fails_is_told_with_its_reason(service: Service) -> None:
    await service.admin.create_account("ana", "secret")
    with pytest.raises(ManagementError):
        await service.admin.create_account("ana", "secret")
    entry = await last(service, outcome="refused")
    assert (entry.action, entry.target) == ("accounts.create", "ana")
    assert entry.outcome == Reason.ACCOUNT_EXISTS.value
    assert entry.after == {}


async def test_what_is_denied_is_told(service: Service) -> None:
    user = await service.user("ana")
    with pytest.raises(ManagementError):
        await user.delete_account("default")
    entry = await last(service, action="accounts.delete")
    assert (entry.actor, entry.actor_kind) == ("ana", ActorKind.ACCOUNT)
    assert entry.outcome == Reason.PERMISSION_DENIED.value


async def test_reads_are_not_told(service: Service) -> None:
    before = await newest(service, 100)
    await service.admin.list_accounts()
    await service.admin.get_settings()
    await service.admin.renew()
    assert await newest(service, 100) == before


@pytest.mark.parametrize("method", GUARDED)
async def test_a_call_without_a_token_is_told_if_it_would_change_something(
    service: Service, method: str
) -> None:
    before = await newest(service, 100)
    await refusal(service, method)
    entries = await newest(service, 100)
    if not is_told(method):
        assert entries == before
        return
    [entry] = entries[: len(entries) - len(before)]
    assert (entry.action, entry.actor_kind) == (action_of(method), ActorKind.NOBODY)
    assert entry.outcome == Reason.INVALID_CREDENTIALS.value


async def test_logins_are_told_right_and_wrong(service: Service) -> None:
    with pytest.raises(ManagementError):
        await service.client.login("default", "wrong")
    refused, there = await newest(service, 2, action="login.grpc")
    assert (there.actor, there.actor_kind, there.outcome) == ("default", ActorKind.ACCOUNT, OK)
    assert (refused.actor, refused.actor_kind) == ("default", ActorKind.NOBODY)
    assert refused.outcome == Reason.INVALID_CREDENTIALS.value


async def test_anothers_mail_that_is_read_is_told_and_ones_own_is_not(service: Service) -> None:
    user = await service.user("ana")
    uidl = (await service.admin.put_message("ana", [b"Subject: x\n\nmail\n"])).uidl
    assert [chunk async for chunk in user.get_message(uidl)]
    assert await newest(service, action="maildrop.get_message") == []
    assert [chunk async for chunk in service.admin.get_message(uidl, "ana")]
    entry = await last(service, action="maildrop.get_message")
    assert (entry.actor, entry.target) == ("default", "ana")
    stored = await last(service, action="maildrop.put_message")
    assert (stored.target, stored.after["uidl"]) == ("ana", uidl)


async def test_no_secret_is_in_an_entry(service: Service) -> None:
    user = await service.user("ana", "ana's secret")
    await user.change_password("ana's secret", "another secret")
    made = await service.admin.reset_password("ana")
    apop = await service.admin.set_apop_secret("ana")
    await service.admin.set_apop_secret("ana", "the APOP secret itself")
    octets = (service.folder / "data" / FILE).read_bytes()
    octets += (service.folder / "data" / f"{FILE}-wal").read_bytes()
    assert b"accounts.change_password" in octets
    for secret in ("ana's secret", "another secret", made, apop, "the APOP secret itself",
                   user.token, service.admin.token):  # fmt: skip
        assert secret.encode() not in octets
        assert json.dumps(secret)[1:-1].encode() not in octets


async def test_without_the_audit_nothing_is_changed(service: Service) -> None:
    path = service.folder / "data" / FILE
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TRIGGER t BEFORE INSERT ON batches"
                           " BEGIN SELECT RAISE(ABORT, 'disk full'); END")  # fmt: skip
    connection.close()
    # The first act is done, and its caller is told that it is not known to be.
    for name in ("ana", "eva"):
        with pytest.raises(ManagementError) as failed:
            await service.admin.create_account(name, "secret")
        assert failed.value.reason is Reason.STORE_UNAVAILABLE
    names = {it.name for it in await service.admin.list_accounts()}
    assert names == {"default", "ana"}
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER t")
    connection.close()
    await service.admin.create_account("eva", "secret")
    assert (await service.audit.verify()).damage == ()


async def test_an_act_is_told_even_if_its_caller_is_gone(service: Service) -> None:
    call = asyncio.create_task(service.admin.create_account("ana", "secret"))
    while not call.done() and await service.store.accounts.get("ana") is None:
        await asyncio.sleep(0)
    call.cancel()
    async with asyncio.timeout(60):
        while not await newest(service, action="accounts.create"):
            await asyncio.sleep(0)
    assert (await last(service, action="accounts.create")).outcome == OK


@pytest.mark.attack(59, "audit")
async def test_a_flood_of_calls_without_a_token_does_not_wait_for_the_disk(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, append = asyncio.Event(), AuditStore.append

    async def append_slowly(store: AuditStore, *what: Any) -> Any:
        await disk.wait()
        return await append(store, *what)

    monkeypatch.setattr(AuditStore, "append", append_slowly)
    delete = "/pop3mgmt.v1.AccountsService/DeleteAccount"
    async with asyncio.timeout(60):
        await asyncio.gather(*(refusal(service, delete) for _ in range(200)))
    disk.set()
    entries = await newest(service, 1000, action="accounts.delete")
    assert sum(it.count for it in entries) == 200
    assert len(entries) <= 2  # those that came before the disk stood still, and the others
