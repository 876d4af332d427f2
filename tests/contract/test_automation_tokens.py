"""Automation tokens over the contract: good where a login is, for what their role may."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from contract.service import GATEWAY_SECRET, Service
from contract.world import ADMIN, Person, World
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason


async def made(service: Service, role: str = "auditor", **more: Any) -> Caller:
    """A caller with a token of its own."""
    return service.client.caller((await service.admin.create_token("ci", role, **more)).secret)


async def refused(call: Awaitable[Any]) -> Reason:
    with pytest.raises(ManagementError) as error:
        await call
    return error.value.reason


async def test_a_token_makes_the_calls_of_its_role_and_no_others(service: Service) -> None:
    ci = await made(service)
    assert (await ci.get_status()).version == "1.2.3"
    assert [it.name for it in await ci.list_accounts()] == ["default"]
    assert await refused(ci.create_account("eva", "x")) is Reason.PERMISSION_DENIED
    assert await refused(ci.restart_workers()) is Reason.PERMISSION_DENIED


async def test_a_token_provisions_accounts(service: Service) -> None:
    await service.admin.create_role("provisioning", ["accounts.read", "accounts.write"])
    ci = await made(service, "provisioning")
    assert (await ci.create_account("ana", "lumpy-orange-kettle-42")).role_name == "user"
    await ci.reset_password("ana")
    await ci.set_apop_secret("ana")
    for climbing in (
        ci.create_account("eva", "lumpy-orange-kettle-42", "auditor"),
        ci.set_role("ana", "operator"),
        ci.reset_password("default"),
        ci.delete_account("default"),
    ):
        assert await refused(climbing) is Reason.PERMISSION_DENIED
    await ci.delete_account("ana")
    assert [it.name for it in await ci.list_accounts()] == ["default"]


async def test_a_token_has_no_account_of_its_own(service: Service) -> None:
    ci = await made(service, "admin")
    for call in (ci.change_password("x", "y"), ci.change_password("", "")):
        assert await refused(call) is Reason.PERMISSION_DENIED
    assert await refused(ci.get_account()) is Reason.INVALID_ARGUMENT
    assert await refused(ci.list_messages()) is Reason.INVALID_ARGUMENT
    assert (await ci.get_account("default")).name == "default"
    who = await ci.get_caller()
    assert (who.account_name, who.token_name, who.role_name) == ("", "ci", "admin")
    assert "own" not in who.rights
    assert "AccountsService/ChangePassword" not in who.methods
    assert not who.HasField("expire_time")


async def test_a_token_is_neither_renewed_nor_logged_out(service: Service) -> None:
    ci = await made(service)
    assert await refused(ci.renew()) is Reason.PERMISSION_DENIED
    assert await refused(ci.logout()) is Reason.PERMISSION_DENIED
    await ci.get_status()


async def test_a_token_is_no_password(service: Service) -> None:
    ci = await made(service, "admin")
    for name in ("default", "ci", "token/ci"):
        verified = await service.authenticator.verify(name.encode(), ci.token.encode())
        assert verified is None
        assert await refused(service.client.login(name, ci.token)) is Reason.INVALID_CREDENTIALS


@pytest.mark.attack(24, "management")
async def test_a_token_seen_before_is_worth_nothing_once_it_is_revoked(service: Service) -> None:
    ci = await made(service)
    events = ci.watch_sessions()
    assert await anext(events) is None
    waiting = asyncio.ensure_future(anext(events))
    await service.admin.revoke_token("ci")
    assert await refused(ci.get_status()) is Reason.INVALID_CREDENTIALS
    async with asyncio.timeout(60):
        assert await refused(waiting) is Reason.INVALID_CREDENTIALS


@pytest.mark.attack(24, "management")
async def test_a_token_seen_before_is_worth_nothing_after_its_time(service: Service) -> None:
    ci = await made(service, lifetime=timedelta(hours=2))
    service.clock.move(7199)
    await ci.get_status()
    service.clock.move(1)
    assert await refused(ci.get_status()) is Reason.INVALID_CREDENTIALS


@pytest.mark.attack(24, "management")
async def test_a_stolen_token_is_worth_nothing_in_another_network(service: Service) -> None:
    ci = await made(service, networks=["192.0.2.0/24", "2001:db8::/32"])
    assert await refused(ci.get_status()) is Reason.INVALID_CREDENTIALS
    async with ManagementClient(service.target, gateway_secret=lambda: GATEWAY_SECRET) as gateway:
        for client, works in {
            "192.0.2.7:5000": True,
            "[2001:db8::5]:5000": True,
            "[::ffff:192.0.2.7]:5000": True,
            "198.51.100.7:5000": False,
        }.items():
            passed_on = gateway.caller(ci.token, client_address=client)
            if works:
                await passed_on.get_status()
            else:
                assert await refused(passed_on.get_status()) is Reason.INVALID_CREDENTIALS
    [token] = await service.admin.list_tokens()
    assert token.last_use_address == "192.0.2.7"


async def test_it_is_told_when_and_from_where_a_token_was_used(service: Service) -> None:
    ci = await made(service)
    [token] = await service.admin.list_tokens()
    assert not token.HasField("last_use_time")
    await ci.get_status()
    [token] = await service.admin.list_tokens()
    assert token.last_use_time.ToDatetime() == service.clock.now().replace(tzinfo=None)
    assert (token.last_use_address, token.created_by) == ("127.0.0.1", "default")


async def test_a_token_outlives_its_maker_and_is_listed_with_him(service: Service) -> None:
    await service.admin.create_account("eva", "lumpy-orange-kettle-42", "admin")
    eva = await service.client.login("eva", "lumpy-orange-kettle-42")
    ci = service.client.caller((await eva.create_token("ci", "auditor")).secret)
    await service.admin.delete_account("eva")
    await ci.get_status()
    [token] = await service.admin.list_tokens()
    assert token.created_by == "eva"


async def test_the_token_itself_is_kept_nowhere(service: Service) -> None:
    ci = await made(service)
    await ci.get_status()
    data = service.folder / "data"
    kept = b"".join(file.read_bytes() for file in data.iterdir() if file.is_file())
    assert ci.token.encode() not in kept
    assert hashlib.sha256(ci.token.encode()).digest() in kept


async def test_scripts_use_a_token_by_pop3ctl_and_by_telnet(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        made = await world.service.admin.create_token("ci", "operator")
        file = tmp_path / "token"
        file.write_text(f"{made.secret}\n")
        nobody = Person("", "")
        for where in ({"POP3CTL_TOKEN": made.secret}, {"POP3CTL_TOKEN_FILE": str(file)}):
            told = await world.pop3ctl(nobody, "sessions", "list", **where)
            assert (told.status, len(told.json)) == (0, 4)
            told = await world.pop3ctl(nobody, "settings", "set", "max_accounts=1", **where)
            assert (told.status, told.reason) == (5, "PERMISSION_DENIED")
        async with world.telnet() as client:
            reply = await client.say(f"AUTH_TOKEN {made.secret}")
            assert reply.line == "+OK logged in as token/ci (operator)"
            assert len((await client.say("SESSIONS")).listing) == 4
            assert (await client.say("KICK_USER ana")).line == "+OK 2 connections ended"
            assert (await client.say("MAX_USERS 1")).line.startswith("-ERR [DENIED] ")
            await world.service.admin.revoke_token("ci")
            assert (await client.say("SESSIONS")).line.startswith("-ERR [AUTH] ")
            reply = await client.say(f"AUTH_TOKEN {made.secret}")
            assert reply.line.startswith("-ERR [AUTH] ")
            await client.log_in(ADMIN)
