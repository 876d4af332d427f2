"""AuditService: entries listed, followed and verified."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from contract.service import Service
from pop3_service.api.servicers.audit import KINDS
from pop3_service.domain.audit import ActorKind
from pop3_service.storage.audit import FILE
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.audit_pb2 import AuditEntry, AuditFilter


async def listed(caller: Caller, limit: int = 0, **meant: str) -> list[AuditEntry]:
    return [it async for it in caller.list_audit_entries(AuditFilter(**meant), limit)]


def change(service: Service, *statements: str) -> None:
    with sqlite3.connect(service.folder / "data" / FILE) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_every_kind_of_actor_has_a_value() -> None:
    assert KINDS.keys() == set(ActorKind)
    assert set(KINDS.values()) == set(AuditEntry.ActorKind.values()) - {0}


async def test_entries_are_given_newest_first_in_pages(service: Service) -> None:
    for number in range(25):
        await service.admin.create_account(f"u{number}", "secret")
    found = await listed(service.admin, action="accounts.")
    assert [it.target for it in found] == [f"u{it}" for it in reversed(range(25))]
    assert [it.target for it in await listed(service.admin, 3, action="accounts.")] == [
        "u24", "u23", "u22",
    ]  # fmt: skip
    entry = found[0]
    assert entry.entry_time.ToDatetime(UTC) == service.clock.now()
    assert (entry.actor, entry.via, entry.outcome, entry.count) == ("default", "grpc", "ok", 1)
    assert entry.actor_kind == AuditEntry.ACTOR_KIND_ACCOUNT
    assert entry.after_json == ('{"maildrop": true, "must_change_password": false, "role": "user"}')


async def test_a_page_token_leads_on(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pop3_service.api.servicers.audit.PAGE", 2)
    for number in range(5):
        await service.admin.create_account(f"u{number}", "secret")
    assert len(await listed(service.admin, action="accounts.create")) == 5
    assert len(await listed(service.admin, 3, action="accounts.create")) == 3


async def test_entries_are_found_by_time(service: Service) -> None:
    await service.admin.create_account("ana", "secret")
    began = service.clock.now()
    service.clock.move(10)
    await service.admin.create_account("eva", "secret")
    later, earlier = AuditFilter(action="accounts."), AuditFilter(action="accounts.")
    later.since_time.FromDatetime(began + timedelta(seconds=5))
    earlier.until_time.FromDatetime(began + timedelta(seconds=5))
    assert [it.target async for it in service.admin.list_audit_entries(later)] == ["eva"]
    assert [it.target async for it in service.admin.list_audit_entries(earlier)] == ["ana"]
    assert datetime.fromtimestamp(0, UTC) < began


async def test_what_is_no_page_is_refused(service: Service) -> None:
    for size, token in ((-1, ""), (0, "x"), (0, "²")):
        request = service.admin._audit.ListAuditEntries
        with pytest.raises(Exception, match="page_size or page_token"):
            await request(_request(size, token), metadata=service.admin._metadata, timeout=60)
    assert [it async for it in service.admin.list_audit_entries(None, 1)]


def _request(size: int, token: str) -> object:
    from pop3mgmt.v1.audit_pb2 import ListAuditEntriesRequest

    return ListAuditEntriesRequest(page_size=size, page_token=token)


async def test_entries_are_followed_as_they_are_written(service: Service) -> None:
    watching = service.admin.watch_audit(AuditFilter(action="accounts."))
    assert not (await anext(watching)).HasField("entry")
    await service.admin.list_accounts()
    await service.admin.create_account("ana", "secret")
    told = await anext(watching)
    assert (told.entry.target, told.skipped_count) == ("ana", 0)
    await watching.aclose()  # type: ignore[attr-defined]


async def test_the_audit_is_for_those_with_the_right(service: Service) -> None:
    user = await service.user()
    with pytest.raises(ManagementError) as refused:
        await user.verify_audit()
    assert refused.value.reason is Reason.PERMISSION_DENIED
    await service.admin.create_role("reader", ["audit.read"])
    await service.admin.set_role("ana", "reader")
    reader = await service.client.login("ana", "secret")
    assert not (await reader.verify_audit()).damage
    assert await listed(reader)


async def test_the_chain_is_verified(service: Service) -> None:
    await service.admin.create_account("ana", "secret")
    found = await service.admin.verify_audit()
    assert not found.damage
    assert found.entry_count == found.batch_count > 1
    assert not (await service.admin.verify_audit(found.head)).damage
    with pytest.raises(ManagementError) as refused:
        await service.admin.verify_audit("nonsense")
    assert refused.value.reason is Reason.INVALID_ARGUMENT


async def test_a_changed_row_a_removed_row_and_a_cut_end_are_all_found(service: Service) -> None:
    for name in ("ana", "eva", "leo"):
        await service.admin.create_account(name, "secret")
    [last, _, first] = await listed(service.admin, action="accounts.create")
    head = (await service.admin.verify_audit()).head

    change(service, f"UPDATE entries SET target = 'eve' WHERE sequence = {first.sequence}")
    [damage] = (await service.admin.verify_audit()).damage
    assert (damage.first_sequence, damage.text) == (first.sequence, "an entry was changed")
    change(service, f"UPDATE entries SET target = 'ana' WHERE sequence = {first.sequence}")
    assert not (await service.admin.verify_audit(head)).damage

    change(service, "CREATE TABLE kept AS SELECT * FROM entries",
           f"DELETE FROM entries WHERE sequence = {first.sequence}")  # fmt: skip
    [damage] = (await service.admin.verify_audit()).damage
    assert (damage.first_sequence, damage.text) == (first.sequence, "the entry was removed")
    change(service, f"INSERT INTO entries SELECT * FROM kept WHERE sequence = {first.sequence}")
    assert not (await service.admin.verify_audit(head)).damage

    change(service, f"DELETE FROM entries WHERE sequence >= {last.sequence}",
           f"DELETE FROM batches WHERE first >= {last.sequence}")  # fmt: skip
    [damage] = (await service.admin.verify_audit(head)).damage
    assert damage.text.startswith("the end is cut")
