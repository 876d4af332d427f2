"""Roles: made of rights, given, changed; in force for logins and streams that are open."""

import asyncio

import pytest

from contract.service import Service, event
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason


async def refused(call) -> Reason:
    with pytest.raises(ManagementError) as told:
        await call
    return told.value.reason


async def test_a_role_is_made_changed_and_removed(service: Service) -> None:
    admin = service.admin
    made = await admin.create_role("helpdesk", ["own", "accounts.write", "accounts.read"])
    assert (made.name, list(made.rights), made.built_in) == (
        "helpdesk", ["accounts.read", "accounts.write", "own"], False
    )  # fmt: skip
    assert await refused(admin.create_role("helpdesk", ["own"])) is Reason.ALREADY_EXISTS
    assert list((await admin.update_role("helpdesk", ["own"])).rights) == ["own"]
    names = [role.name for role in await admin.list_roles()]
    assert names == ["user", "auditor", "operator", "admin", "helpdesk"]
    await admin.create_account("ana", "secret", "helpdesk")
    assert await refused(admin.delete_role("helpdesk")) is Reason.STILL_IN_USE
    await admin.set_role("ana", "user")
    await admin.delete_role("helpdesk")
    assert await refused(admin.delete_role("helpdesk")) is Reason.NOT_FOUND
    assert await refused(admin.update_role("helpdesk", ["own"])) is Reason.NOT_FOUND
    for name in ("user", "auditor", "operator", "admin"):
        assert await refused(admin.update_role(name, ["own"])) is Reason.INVALID_ARGUMENT
        assert await refused(admin.delete_role(name)) is Reason.INVALID_ARGUMENT


async def test_roles_are_there_after_a_restart(service: Service) -> None:
    await service.admin.create_role("helpdesk", ["own", "status.read"])
    assert [(role.name, set(role.rights)) for role in await service.store.roles.all()] == [
        ("helpdesk", {"own", "status.read"})
    ]


async def test_a_new_role_counts_for_a_login_that_is_open(service: Service) -> None:
    ana = await service.user()
    assert await refused(ana.get_status()) is Reason.PERMISSION_DENIED
    await service.admin.set_role("ana", "operator")
    assert (await ana.get_status()).version
    now = await ana.get_caller()
    assert (now.account_name, now.role_name) == ("ana", "operator")
    assert "sessions.disconnect" in now.rights
    assert "BansService/x" not in now.methods
    assert "AccountsService/ListAccounts" in now.methods
    await service.admin.set_role("ana", "user")
    assert await refused(ana.get_status()) is Reason.PERMISSION_DENIED


async def test_a_stream_ends_when_its_right_is_gone(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pop3_service.api.wrapping.LOOK_AGAIN_S", 0.01)
    await service.admin.create_role("watcher", ["own", "sessions.read"])
    await service.admin.create_account("ana", "secret", "watcher")
    ana = await service.client.login("ana", "secret")
    events = ana.watch_sessions()
    assert await anext(events) is None
    await service.admin.update_role("watcher", ["status.read"])
    async with asyncio.timeout(60):
        assert await refused(anext(events)) is Reason.PERMISSION_DENIED


async def test_a_stream_of_others_ends_for_who_is_left_with_his_own(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pop3_service.api.wrapping.LOOK_AGAIN_S", 0.01)
    ana = await service.user()
    await service.admin.set_role("ana", "operator")
    events = ana.watch_sessions()
    assert await anext(events) is None
    await service.admin.set_role("ana", "user")
    service.sessions.publish(event(1, "ben"))
    async with asyncio.timeout(60):
        assert await refused(anext(events)) is Reason.PERMISSION_DENIED


async def test_a_stream_of_his_own_goes_on_with_more_rights(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pop3_service.api.wrapping.LOOK_AGAIN_S", 0.01)
    ana = await service.user()
    events = ana.watch_sessions()
    assert await anext(events) is None
    await service.admin.set_role("ana", "operator")
    service.sessions.publish(event(1, "ana"))
    async with asyncio.timeout(60):
        assert await anext(events) is not None


async def test_nobody_climbs(service: Service) -> None:
    admin = service.admin
    await admin.create_role("helpdesk", ["own", "accounts.read", "accounts.write", "roles.write"])
    await admin.create_account("ana", "secret", "helpdesk")
    await admin.create_account("ben", "secret")
    ana = await service.client.login("ana", "secret")
    for call in (
        ana.create_account("eva", "x", "admin"),
        ana.create_account("eva", "x", "auditor"),
        ana.set_role("ana", "admin"),
        ana.set_role("default", "user"),
        ana.reset_password("default"),
        ana.delete_account("default"),
        ana.set_apop_secret("default"),
        ana.remove_apop_secret("default"),
        ana.create_role("chief", ["own", "mail.read"]),
        ana.update_role("helpdesk", ["own", "mail.read"]),
    ):
        assert await refused(call) is Reason.PERMISSION_DENIED
    await ana.reset_password("ben")
    await ana.set_role("ben", "helpdesk")
    assert (await ana.get_account("ben")).role_name == "helpdesk"


@pytest.mark.parametrize("act", ["reset_password", "set_apop_secret"])
async def test_an_act_on_an_account_that_rises_meanwhile_is_refused(
    service: Service, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    await service.admin.create_role("helpdesk", ["own", "accounts.read", "accounts.write"])
    await service.admin.create_account("ana", "secret", "helpdesk")
    await service.admin.create_account("ben", "secret")
    ana = await service.client.login("ana", "secret")
    begun, risen = asyncio.Event(), asyncio.Event()
    slow = {"reset_password": "hash", "set_apop_secret": "seal"}[act]
    of = service.authenticator if slow == "hash" else service.desk
    name = slow if slow == "hash" else "_seal"
    before = getattr(of, name)

    async def slowly(*given):
        begun.set()
        await risen.wait()
        return await before(*given)

    monkeypatch.setattr(of, name, slowly)
    acting = asyncio.create_task(refused(getattr(ana, act)("ben")))
    async with asyncio.timeout(60):
        await begun.wait()
        await service.admin.set_role("ben", "admin")
        risen.set()
        assert await acting is Reason.PERMISSION_DENIED
    await service.client.login("ben", "secret")
    assert not (await service.admin.get_account("ben")).has_apop_secret


async def test_a_role_that_grows_meanwhile_is_not_given(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.admin.create_role("helpdesk", ["own", "accounts.read", "accounts.write"])
    await service.admin.create_role("reader", ["own"])
    await service.admin.create_account("ana", "secret", "helpdesk")
    ana = await service.client.login("ana", "secret")
    begun, grown = asyncio.Event(), asyncio.Event()
    before = service.authenticator.hash

    async def slowly(password):
        begun.set()
        await grown.wait()
        return await before(password)

    monkeypatch.setattr(service.authenticator, "hash", slowly)
    making = asyncio.create_task(refused(ana.create_account("eva", "secret", "reader")))
    async with asyncio.timeout(60):
        await begun.wait()
        await service.admin.update_role("reader", ["own", "mail.read"])
        grown.set()
        assert await making is Reason.PERMISSION_DENIED
    assert await refused(service.admin.get_account("eva")) is Reason.ACCOUNT_NOT_FOUND


async def test_the_last_admin_stays_one(service: Service) -> None:
    assert await refused(service.admin.set_role("default", "user")) is Reason.LAST_ADMIN
    await service.admin.create_account("eva", "x", "admin")
    await service.admin.set_role("default", "user")
    assert await refused(service.admin.set_role("eva", "user")) is Reason.PERMISSION_DENIED
    eva = await service.client.login("eva", "x")
    assert await refused(eva.set_role("eva", "user")) is Reason.LAST_ADMIN


async def test_who_sets_settings_lets_himself_into_nobodys_mail(service: Service) -> None:
    from pop3mgmt.v1.server_pb2 import Settings

    await service.admin.create_role("tuner", ["own", "settings.write"])
    await service.admin.create_account("ana", "secret", "tuner")
    ana = await service.client.login("ana", "secret")
    own = Settings(oauth_jwks="https://ana.example/keys", oauth_account_claim="sub")
    for path in ("oauth_jwks", "oauth_issuer", "oauth_audience", "oauth_account_claim"):
        assert await refused(ana.update_settings(own, [path])) is Reason.PERMISSION_DENIED
    assert (await ana.update_settings(Settings(max_accounts=9), ["max_accounts"])).max_accounts == 9
    assert (await service.admin.update_settings(own, ["oauth_account_claim"])).oauth_account_claim


async def test_who_runs_programs_on_mail_does_not_set_their_bounds(service: Service) -> None:
    from pop3mgmt.v1.server_pb2 import Settings

    await service.admin.create_role("filter", ["own", "transform.read", "transform.write"])
    await service.admin.create_account("ana", "secret", "filter")
    ana = await service.client.login("ana", "secret")
    assert await ana.use_command_line("cat") is not None
    call = ana.update_settings(Settings(transform_isolation="prefer"), ["transform_isolation"])
    assert await refused(call) is Reason.PERMISSION_DENIED
    with pytest.raises(ManagementError):
        await ana.get_settings()
