"""Own account over the contract: whose it is, who may for others, what is told and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from contract.service import Service, session
from pop3_service.control.plane import DisconnectOrder
from pop3_service.domain.audit_log import AuditFilter
from pop3_service.domain.preferences import Preferences
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import own_account_pb2, server_pb2

ANA = DisconnectOrder(account="ana", forget=True)
FORGET_ANA = DisconnectOrder(account="ana", forget=True, keep_sessions=True)


async def refused(call: Awaitable[object]) -> Reason:
    with pytest.raises(ManagementError) as error:
        await call
    return error.value.reason


async def choose(caller: Caller, account: str = "", **values: object) -> object:
    wanted = own_account_pb2.Preferences(**values)  # type: ignore[arg-type]
    return await caller.update_preferences(wanted, list(values), account)


async def test_an_app_password_is_told_once_and_lets_into_pop3_alone(service: Service) -> None:
    ana = await service.user()
    made = await ana.create_app_password("phone")
    [listed] = await ana.list_app_passwords()
    assert listed == made.app_password
    assert listed.name == "phone"
    assert not listed.HasField("last_use_time")
    assert made.password not in str(listed)
    admitted = await service.authenticator.login(b"ana", made.password.encode())
    assert admitted is not None
    assert admitted.app_password == "phone"
    login = service.client.login("ana", made.password)
    assert await refused(login) is Reason.INVALID_CREDENTIALS
    change = ana.change_password(made.password, "another one")
    assert await refused(change) is Reason.INVALID_CREDENTIALS
    assert await refused(ana.create_app_password("phone")) is Reason.APP_PASSWORD_EXISTS
    assert await refused(ana.create_app_password("two words")) is Reason.INVALID_ARGUMENT


async def test_revoking_ends_the_accounts_sessions_on_every_worker(service: Service) -> None:
    ana = await service.user()
    for name in ("one", "two", "three"):
        await ana.create_app_password(name)
    for number, worker in enumerate(service.workers):
        worker.sessions = [session(number, "ana"), session(number + 10, "eva")]
    done = await ana.revoke_app_password("two")
    assert (done.revoked_count, done.ended_session_count) == (1, 2)
    assert [it.name for it in await ana.list_app_passwords()] == ["one", "three"]
    assert all(worker.orders == [ANA] for worker in service.workers)
    assert await refused(ana.revoke_app_password("two")) is Reason.APP_PASSWORD_NOT_FOUND
    assert (await ana.revoke_all_app_passwords()).revoked_count == 2
    assert await ana.list_app_passwords() == []
    assert await refused(ana.revoke_app_password("")) is Reason.INVALID_ARGUMENT


async def test_a_reset_revokes_all_and_the_owners_change_none(service: Service) -> None:
    ana = await service.user()
    await ana.create_app_password("phone")
    await ana.change_password("secret", "Correct-Horse-17-battery")
    assert len(await ana.list_app_passwords()) == 1
    await service.admin.reset_password("ana")
    assert await service.admin.list_app_passwords("ana") == []


async def test_one_that_is_made_during_a_reset_does_not_outlive_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who had the account makes them while it is taken from him."""
    ana = await service.user()
    begun, reset = asyncio.Event(), asyncio.Event()
    in_thread = service.authenticator.in_thread

    async def slowly(work: Callable[..., object], *given: object) -> object:
        if work.__name__ == "make_verifier" and not reset.is_set():
            begun.set()
            await reset.wait()
        return await in_thread(work, *given)

    monkeypatch.setattr(service.authenticator, "in_thread", slowly)
    making = asyncio.create_task(refused(ana.create_app_password("phone")))
    async with asyncio.timeout(60):
        await begun.wait()
        await service.admin.reset_password("ana")
        reset.set()
        assert await making is Reason.INVALID_CREDENTIALS
    assert await service.admin.list_app_passwords("ana") == []


async def test_recent_logins_of_an_account_before_of_that_name_are_not_told(
    service: Service,
) -> None:
    await service.user()
    assert len(await service.admin.get_recent_logins(account_name="ana")) == 1
    await service.admin.delete_account("ana")
    service.clock.move(1)
    ana = await service.user()
    assert len(await ana.get_recent_logins()) == 1


async def test_others_are_managed_by_who_may_and_by_nobody_else(service: Service) -> None:
    ana, eva = await service.user("ana"), await service.user("eva")
    await ana.create_app_password("phone")
    assert [it.name for it in await service.admin.list_app_passwords("ana")] == ["phone"]
    for call in (
        eva.list_app_passwords("ana"),
        eva.revoke_all_app_passwords("ana"),
        eva.get_preferences("ana"),
        choose(eva, "ana", language="es"),
    ):
        assert await refused(call) is Reason.PERMISSION_DENIED
    await service.admin.set_role("eva", "auditor")
    eva = await service.client.login("eva", "secret")
    assert [it.name for it in await eva.list_app_passwords("ana")] == ["phone"]
    assert await refused(eva.revoke_all_app_passwords("ana")) is Reason.PERMISSION_DENIED
    await choose(service.admin, "ana", language="es")
    assert (await ana.get_preferences()).language == "es"
    assert (await service.admin.revoke_app_password("phone", "ana")).revoked_count == 1
    nobody = service.admin.list_app_passwords("nobody")
    assert await refused(nobody) is Reason.ACCOUNT_NOT_FOUND


async def test_nobody_changes_an_account_that_has_rights_he_lacks(service: Service) -> None:
    await service.admin.create_role("helpdesk", ["own", "accounts.read", "accounts.write"])
    eva = await service.user("eva")
    await service.admin.set_role("eva", "helpdesk")
    eva = await service.client.login("eva", "secret")
    await service.admin.create_app_password("phone")
    assert await refused(eva.revoke_all_app_passwords("default")) is Reason.PERMISSION_DENIED
    assert await refused(choose(eva, "default", language="es")) is Reason.PERMISSION_DENIED
    assert len(await eva.list_app_passwords("default")) == 1


async def test_preferences_are_kept_and_forgotten_logins_see_them(service: Service) -> None:
    ana = await service.user()
    assert await ana.get_preferences() == own_account_pb2.Preferences(transform=True)
    for worker in service.workers:
        worker.sessions = [session(1, "ana")]
    await choose(ana, language="es", retention_days=30)
    wanted = own_account_pb2.Preferences(language="es", retention_days=30, transform=True)
    assert await ana.get_preferences() == wanted
    assert all(worker.orders == [FORGET_ANA] for worker in service.workers)
    assert all(len(worker.sessions) == 1 for worker in service.workers)
    assert [worker.least_retention_days for worker in service.workers] == [30, 30]
    admitted = await service.authenticator.login(b"ana", b"secret")
    assert admitted is not None
    assert admitted.facts.preferences == Preferences("es", 30)
    await choose(ana, retention_days=0)
    assert [worker.least_retention_days for worker in service.workers] == [0, 0]


async def test_what_cannot_be_chosen_is_refused(service: Service) -> None:
    ana = await service.user()
    for values in ({"language": "fr"}, {"retention_days": -1}, {"transform": False}, {}):
        assert await refused(choose(ana, **values)) is Reason.INVALID_ARGUMENT
    unknown = ana.update_preferences(own_account_pb2.Preferences(), ["colour"])
    assert await refused(unknown) is Reason.INVALID_ARGUMENT
    settings = server_pb2.Settings(transform_optional=True)
    await service.admin.update_settings(settings, ["transform_optional"])
    await choose(ana, transform=False)
    assert not (await ana.get_preferences()).transform


async def test_a_deleted_accounts_retention_is_announced_no_more(service: Service) -> None:
    ana, eva = await service.user("ana"), await service.user("eva")
    await choose(ana, retention_days=30)
    await choose(eva, retention_days=7)
    assert [worker.least_retention_days for worker in service.workers] == [7, 7]
    await service.admin.delete_account("eva")
    assert [worker.least_retention_days for worker in service.workers] == [30, 30]


async def test_recent_logins_are_told_with_those_that_were_refused(service: Service) -> None:
    ana = await service.user()
    with pytest.raises(ManagementError):
        await service.client.login("ana", "wrong")
    await service.audit.flush()
    refused_one, admitted = await ana.get_recent_logins()
    assert (refused_one.refusal_reason, refused_one.via) == ("INVALID_CREDENTIALS", "grpc")
    assert (admitted.refusal_reason, admitted.attempt_count) == ("", 1)
    assert refused_one.address == admitted.address == "127.0.0.1"
    assert [it.refusal_reason for it in await ana.get_recent_logins(1)] == ["INVALID_CREDENTIALS"]
    assert await refused(ana.get_recent_logins(1001)) is Reason.INVALID_ARGUMENT
    assert len(await service.admin.get_recent_logins(5, "ana")) == 2
    eva = await service.user("eva")
    assert await refused(eva.get_recent_logins(5, "ana")) is Reason.PERMISSION_DENIED


async def test_a_refused_login_is_told_however_its_name_was_written(service: Service) -> None:
    ana = await service.user()
    for written in ("\uff41\uff4e\uff41", "an\u00ada"):
        with pytest.raises(ManagementError):
            await service.client.login(written, f"wrong {written}")
    await service.audit.flush()
    told = [it for it in await ana.get_recent_logins() if it.refusal_reason]
    assert sum(it.attempt_count for it in told) == 2


async def test_app_passwords_leave_their_trace_in_the_audit_and_no_secret(
    service: Service,
) -> None:
    ana = await service.user()
    made = await ana.create_app_password("phone")
    await choose(ana, language="es")
    await ana.revoke_app_password("phone")
    entries = await service.audit.newest(AuditFilter(actor="ana", action="own_account."))
    assert [(it.action, it.target, it.before, it.after) for it in reversed(entries)] == [
        ("own_account.create_app_password", "ana", {}, {"app_password": "phone"}),
        ("own_account.update_preferences", "ana", {"language": ""}, {"language": "es"}),
        (
            "own_account.revoke_app_password",
            "ana",
            {"app_password": "phone"},
            {"ended_sessions": 0},
        ),
    ]
    assert made.password not in str(entries)
