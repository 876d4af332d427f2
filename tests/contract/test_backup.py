"""Backups over the contract: made, listed, sent and restored while the service runs."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from contract.service import ADMIN_PASSWORD, Service, session
from pop3_service.control.plane import DisconnectOrder
from pop3_service.domain.audit_log import AuditFilter
from pop3_service.storage import backup, restore
from pop3mgmt.backup_file import unpack
from pop3mgmt.calls.base import call
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import audit_pb2, backup_pb2, server_pb2
from pop3mgmt.v1.server_pb2 import Settings
from support.backed_up import fill, made_of


async def exported(caller: Caller) -> tuple[backup_pb2.Backup, bytes]:
    pieces = [it async for it in caller.export_backup()]
    assert [it.HasField("backup") for it in pieces] == [True] + [False] * (len(pieces) - 1)
    return pieces[0].backup, b"".join(it.chunk for it in pieces)


def chunks(octets: bytes) -> Iterator[bytes]:
    return iter([octets])


async def test_a_backup_is_sent_as_it_was_made(service: Service) -> None:
    await service.user("ana")
    told, octets = await exported(service.admin)
    manifest = unpack(io.BytesIO(octets), lambda _: None)
    assert (told.version, told.name, told.account_count) == ("1.2.3", "", 2)
    assert told.create_time.ToDatetime() == service.clock.now().replace(tzinfo=None)
    assert [(it.name, it.size_bytes, it.checksum) for it in told.files] == [
        (it.name, it.octets, it.sha256) for it in manifest.files
    ]
    assert not list((service.folder / "data").glob("backup.work.*"))


async def test_a_backup_is_kept_on_the_server_and_listed(service: Service) -> None:
    assert await service.admin.list_backups() == []
    with structlog.testing.capture_logs() as logs:
        made = await service.admin.create_backup()
    assert [(it["event"], it["name"], it["by"]) for it in logs] == [
        ("backup made", made.name, "default")
    ]
    assert made.name.startswith("valija-20260101T000000Z-")
    (service.folder / "data" / "backups" / "broken.tar").write_bytes(b"?")
    assert await service.admin.list_backups() == [made]


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "on the server"])
async def test_a_restore_brings_back_accounts_settings_and_secrets(
    service: Service, sent: bool
) -> None:
    admin = service.admin
    ana = await service.user("ana", "her own")
    secret = await admin.set_apop_secret("ana")
    await admin.update_settings(server_pb2.Settings(max_accounts=55), ["max_accounts"])
    salts = await service.store.secrets.get("scram salts")
    if sent:
        _, octets = await exported(admin)
    else:
        name = (await admin.create_backup()).name
    await admin.delete_account("ana")
    await service.user("eva")
    await admin.update_settings(server_pb2.Settings(max_accounts=66), ["max_accounts"])
    (service.folder / "data" / "apop.key").write_text("00" * 32 + "\n")
    service.workers[0].sessions = [session(1, "eva"), session(2, "ana"), session(3)]
    service.workers[1].sessions = [session(4, "eva")]

    if sent:
        done = await admin.import_backup(chunks(octets))
    else:
        done = await admin.restore_backup(name)
    assert (done.restored, done.ended_session_count, list(done.warnings)) == (True, 3, [])
    assert done.backup.account_count == 2

    # All that was opened before has ended, the caller's own login too.
    for worker in service.workers:
        assert worker.orders[-1] == DisconnectOrder(everybody=True, forget=True)
        assert worker.settings.max_accounts == 55
    assert [it.id for it in service.workers[0].sessions] == ["3"]
    for caller in (admin, ana):
        with pytest.raises(ManagementError) as raised:
            await caller.get_account()
        assert raised.value.reason is Reason.INVALID_CREDENTIALS
    again = await service.client.login("default", ADMIN_PASSWORD)
    assert [it.name for it in await again.list_accounts()] == ["ana", "default"]
    await service.client.login("ana", "her own")
    with pytest.raises(ManagementError):
        await service.client.login("eva", "secret")
    assert (await again.get_settings()).max_accounts == 55
    assert await service.store.secrets.get("scram salts") == salts
    sealed = await service.store.accounts.apop_secret("ana")
    assert sealed is not None
    sealer = await service.apop._ready()
    assert sealer.open(sealed, "ana") == secret.encode()


@pytest.mark.parametrize("sent", [True, False], ids=["sent", "on the server"])
async def test_what_was_revoked_since_the_backup_stays_revoked(
    service: Service, sent: bool
) -> None:
    admin = service.admin
    ana = await service.user("ana", "her own")
    stolen = (await admin.create_token("stolen", "admin")).secret
    kept = (await admin.create_token("kept", "admin")).secret
    for name in ("phone", "laptop", "tablet"):
        await ana.create_app_password(name)
    octets = (await exported(admin))[1] if sent else b""
    name = "" if sent else (await admin.create_backup()).name
    await admin.revoke_token("stolen")
    await admin.create_token("stolen", "auditor")  # the name alone says nothing
    await ana.revoke_app_password("phone")

    for dry_run in (True, False):
        if sent:
            done = await admin.import_backup(chunks(octets), dry_run=dry_run)
        else:
            done = await admin.restore_backup(name, dry_run=dry_run)
        assert list(done.warnings) == [
            "2 tokens and app passwords in it were revoked since, and stay so"
        ]
    with_kept = service.client.caller(kept)
    assert [it.name for it in await with_kept.list_tokens()] == ["kept"]
    with pytest.raises(ManagementError) as refused:
        await service.client.caller(stolen).list_tokens()
    assert refused.value.reason is Reason.INVALID_CREDENTIALS
    found = await service.store.app_passwords.list("ana")
    assert sorted(it.name for it in found) == ["laptop", "tablet"]
    # It is known after the restore as well: the next one does not bring them back either.
    again = await service.client.login("default", ADMIN_PASSWORD)
    if sent:
        await again.import_backup(chunks(octets))
    else:
        await again.restore_backup(name)
    assert [it.name for it in await with_kept.list_tokens()] == ["kept"]


async def test_a_dry_run_changes_nothing(service: Service) -> None:
    _, octets = await exported(service.admin)
    name = (await service.admin.create_backup()).name
    await service.user("ana")
    for done in (
        await service.admin.import_backup(chunks(octets), dry_run=True),
        await service.admin.restore_backup(name, dry_run=True),
    ):
        assert (done.restored, done.backup.account_count) == (False, 1)
    assert len(await service.admin.list_accounts()) == 2
    assert not (service.folder / "data" / restore.STAGED).exists()
    assert all(not worker.orders for worker in service.workers)


async def test_what_cannot_be_restored_changes_nothing(service: Service) -> None:
    _, octets = await exported(service.admin)
    for bad in (b"", octets[:-5000], b"x" * 2000):
        with pytest.raises(ManagementError) as raised:
            await service.admin.import_backup(chunks(bad))
        assert raised.value.reason is Reason.BACKUP_INVALID
    for name in ("", "../valija.db", "gone.tar"):
        with pytest.raises(ManagementError) as raised:
            await service.admin.restore_backup(name)
        assert raised.value.reason is Reason.BACKUP_NOT_FOUND
    assert (await service.admin.get_account()).name == "default"


async def test_a_remembered_login_is_forgotten_with_the_restore(service: Service) -> None:
    _, octets = await exported(service.admin)
    await service.user("ana", "secret")
    assert await service.authenticator.login(b"ana", b"secret") is not None
    await service.admin.import_backup(chunks(octets))
    assert await service.authenticator.login(b"ana", b"secret") is None


async def test_a_login_under_way_looks_again_after_a_restore(service: Service) -> None:
    _, octets = await exported(service.admin)
    await service.user("ana", "secret")
    going = [asyncio.create_task(service.authenticator.login(b"ana", b"secret")) for _ in range(50)]
    await service.admin.import_backup(chunks(octets))
    await asyncio.gather(*going)
    # Whichever came in before, none of them is remembered.
    assert await service.authenticator.login(b"ana", b"secret") is None


async def test_changes_that_come_meanwhile_are_all_before_or_all_after(service: Service) -> None:
    _, octets = await exported(service.admin)
    results = await asyncio.gather(
        *(service.admin.create_account(f"user{number}", "secret") for number in range(30)),
        service.admin.import_backup(chunks(octets)),
        return_exceptions=True,
    )
    assert isinstance(results[-1], backup_pb2.Restoration)
    again = await service.client.login("default", ADMIN_PASSWORD)
    there = {it.name for it in await again.list_accounts()} - {"default"}
    # Who came before is gone with the old data; who came later is told to log in, or is there.
    told = [it for it in results[:-1] if isinstance(it, BaseException)]
    assert all(isinstance(it, ManagementError) for it in told)
    assert {it.reason for it in told if isinstance(it, ManagementError)} <= {
        Reason.INVALID_CREDENTIALS
    }
    assert there <= {it.name for it in results[:-1] if not isinstance(it, BaseException)}


async def test_a_backup_without_an_admin_is_refused(service: Service) -> None:
    folder = fill(service.folder / "other", "other")
    with sqlite3.connect(folder / "valija.db") as database:
        database.execute("update accounts set role = 'user'")
    database.close()
    with pytest.raises(ManagementError, match="no admin in it"):
        await service.admin.import_backup(chunks(made_of(folder)))


async def test_only_who_may_gets_a_backup(service: Service) -> None:
    user = await service.user()
    calls = (
        user.list_backups(),
        user.create_backup(),
        exported(user),
        user.restore_backup("x.tar"),
        user.import_backup(chunks(b"x")),
    )
    for refused in calls:
        with pytest.raises(ManagementError) as raised:
            await refused
        assert raised.value.reason is Reason.PERMISSION_DENIED


async def test_logins_go_on_while_a_backup_is_read_slowly(service: Service) -> None:
    stream = service.admin.export_backup()
    await anext(stream)
    await service.user("ana")
    await service.client.login("ana", "secret")
    assert (await service.admin.create_backup()).account_count == 2
    await stream.aclose()


@pytest.mark.parametrize("act", ["demoted", "deleted"])
async def test_who_loses_his_rights_while_he_sends_a_backup_restores_nothing(
    service: Service, act: str
) -> None:
    eva = await service.user("eva")
    await service.admin.set_role("eva", "admin")
    _, octets = await exported(service.admin)  # she is an admin in it
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def requests() -> AsyncIterator[backup_pb2.ImportBackupRequest]:
        yield backup_pb2.ImportBackupRequest(chunk=octets[:1000])
        begun.set()
        await goes_on.wait()
        yield backup_pb2.ImportBackupRequest(chunk=octets[1000:])

    sent = asyncio.ensure_future(call(eva._backup.ImportBackup(requests(), metadata=eva._metadata)))
    await begun.wait()
    async with asyncio.timeout(60):
        while not list((service.folder / "data").glob("backup.work.*/sent")):
            await asyncio.sleep(0)
    if act == "demoted":
        await service.admin.create_role("keeper", ["backup.write"])
        await service.admin.set_role("eva", "keeper")
        reason = Reason.PERMISSION_DENIED
    else:
        await service.admin.delete_account("eva")
        reason = Reason.INVALID_CREDENTIALS
    goes_on.set()
    with pytest.raises(ManagementError) as raised:
        await sent
    assert raised.value.reason is reason
    await service.admin.get_account()  # no restore has ended this login
    meant = audit_pb2.AuditFilter(action="backup.import")
    (told,) = [it async for it in service.admin.list_audit_entries(meant)]
    assert (told.actor, told.outcome) == ("eva", reason.value)


async def test_a_restore_whose_sender_hangs_up_is_told_as_what_it_was(service: Service) -> None:
    _, octets = await exported(service.admin)
    async with service.backups._turn:  # another backup is being made
        sent = asyncio.ensure_future(service.admin.import_backup(chunks(octets)))
        async with asyncio.timeout(60):
            while not service.backups._acts:
                await asyncio.sleep(0)
        sent.cancel()
        await asyncio.gather(sent, return_exceptions=True)
        await service.admin.get_account()  # on the same connection: the service knows of both
    async with asyncio.timeout(60):
        while not (told := await service.audit.newest(AuditFilter(action="backup.import"))):
            await asyncio.sleep(0)
    assert [(it.actor, it.outcome, it.after["accounts"]) for it in told] == [("default", "ok", 1)]


async def test_old_backups_in_the_services_folder_go_by_the_setting(service: Service) -> None:
    admin = service.admin
    names = []
    for kept in (2, 2, 2, 1):
        await admin.update_settings(Settings(backups_kept=kept), ["backups_kept"])
        names.append((await admin.create_backup()).name)
        service.clock.move(1)
    assert [it.name for it in await admin.list_backups()] == names[-1:]
    [told] = await service.audit.newest(AuditFilter(action="backup.create"), limit=1)
    assert told.target == names[-1]
    assert told.after == {"accounts": 1, "removed": 2, "removed_until": names[-2]}
    await admin.update_settings(Settings(backups_kept=0), ["backups_kept"])
    for _ in range(3):
        await admin.create_backup()
    assert len(await admin.list_backups()) == 4


async def test_a_backup_is_made_though_old_ones_cannot_be_removed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[str]:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(backup, "cut", fail)
    made = await service.admin.create_backup()
    assert await service.admin.list_backups() == [made]
