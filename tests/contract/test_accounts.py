"""Accounts and logins over the contract."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Awaitable
from dataclasses import fields
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from contract.service import ADMIN_PASSWORD, Service, session
from pop3_service.control.plane import DisconnectOrder
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.scram import Verifier, make_verifier
from pop3_service.domain.settings import Settings
from pop3_service.supervisor.authentication import authenticator
from pop3_service.supervisor.identity.first_start import FirstStart
from pop3mgmt.calls.base import call
from pop3mgmt.client import LOGIN_DEADLINE_S, Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import accounts_pb2, accounts_pb2_grpc, server_pb2
from unit.pop3_service.clock import FakeClock


async def refused(call: Awaitable[Any]) -> Reason:
    """Give why a call is refused."""
    with pytest.raises(ManagementError) as error:
        await call
    return error.value.reason


async def works(caller: Caller) -> bool:
    try:
        await caller.get_account()
    except ManagementError as error:
        assert error.reason is Reason.INVALID_CREDENTIALS
        return False
    return True


# --- accounts ---


async def test_an_account_that_was_made_can_log_in_at_once(service: Service) -> None:
    made = await service.admin.create_account("ana", "secret")
    assert (made.name, made.role) == ("ana", accounts_pb2.ROLE_USER)
    assert made.create_time.ToDatetime(UTC) == service.clock.now()
    ana = await service.client.login("ana", "secret")
    assert ana.account == made
    assert await ana.get_account() == made == await service.admin.get_account("ana")
    assert (service.folder / "mail" / "ana" / "new").is_dir()


async def test_an_admin_that_was_made_can_manage(service: Service) -> None:
    made = await service.admin.create_account("eva", "secret", "admin")
    assert made.role == accounts_pb2.ROLE_ADMIN
    eva = await service.client.login("eva", "secret")
    assert [account.name for account in await eva.list_accounts()] == ["default", "eva"]


async def test_accounts_are_listed_by_name_with_their_sessions(service: Service) -> None:
    for name in ("eva", "ana"):
        await service.admin.create_account(name, "x")
    service.workers[0].sessions = [session(1, "ana"), session(2)]
    service.workers[1].sessions = [session(3, "ana")]
    listed = await service.admin.list_accounts()
    assert [(it.name, it.session_count) for it in listed] == [
        ("ana", 2),
        ("default", 0),
        ("eva", 0),
    ]
    assert (await service.admin.get_account("ana")).session_count == 2


async def test_pages_of_accounts_give_each_of_them_once(service: Service) -> None:
    names = ["default", *(f"user{n}" for n in range(5))]
    for name in names[1:]:
        await service.admin.create_account(name, "x")
    stub, metadata = service.admin._accounts, service.admin._metadata
    seen, token = [], ""
    while True:
        request = accounts_pb2.ListAccountsRequest(page_size=2, page_token=token)
        page = await stub.ListAccounts(request, metadata=metadata)
        assert page.total_count == 6
        seen += [account.name for account in page.accounts]
        if not (token := page.next_page_token):
            break
    assert seen == names


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a b", "a\r\nb", "a\0b", "x" * 256])
async def test_a_name_that_cannot_be_a_folder_is_refused(service: Service, name: str) -> None:
    assert await refused(service.admin.create_account(name, "x")) is Reason.INVALID_ARGUMENT
    assert sorted(path.name for path in (service.folder / "mail").iterdir()) == ["default"]


@pytest.mark.parametrize("password", ["", "x" * 1025, "a\r\nb", "a\0b"])
async def test_a_password_that_pop3_cannot_send_is_refused(service: Service, password: str) -> None:
    assert await refused(service.admin.create_account("ana", password)) is Reason.INVALID_ARGUMENT


async def test_a_role_that_is_none_is_refused(service: Service) -> None:
    assert await refused(service.admin.create_account("ana", "x", "chef")) is Reason.NOT_FOUND
    assert await refused(service.admin.set_role("default", "chef")) is Reason.NOT_FOUND
    stub = accounts_pb2_grpc.AccountsServiceStub(service.client.channel)
    for request in (
        accounts_pb2.CreateAccountRequest(name="ana", password="x", role=7),
        accounts_pb2.CreateAccountRequest(
            name="ana", password="x", role=accounts_pb2.ROLE_ADMIN, role_name="user"
        ),
    ):
        made = call(stub.CreateAccount(request, metadata=service.admin._metadata))
        assert await refused(made) is Reason.INVALID_ARGUMENT


async def test_a_name_is_given_once(service: Service) -> None:
    await service.user("ana", "secret")
    assert await refused(service.admin.create_account("ana", "other")) is Reason.ACCOUNT_EXISTS
    await service.client.login("ana", "secret")


async def test_one_account_is_found_by_both_spellings_of_its_name(service: Service) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Señor") for form in ("NFC", "NFD"))
    made = await service.admin.create_account(decomposed, "x")
    assert await refused(service.admin.create_account(composed, "x")) is Reason.ACCOUNT_EXISTS
    for name in (composed, decomposed):
        user = await service.client.login(name, "x")
        assert await user.get_account(name) == made
        assert await service.admin.get_account(name) == made
    await service.admin.delete_account(decomposed)
    assert await refused(service.client.login(composed, "x")) is Reason.INVALID_CREDENTIALS


async def test_twenty_accounts_made_at_once_stop_exactly_at_the_limit(service: Service) -> None:
    wanted = server_pb2.Settings(max_accounts=8)
    await service.admin.update_settings(wanted, ["max_accounts"])
    calls = (service.admin.create_account(f"user{n}", "x") for n in range(20))
    results = await asyncio.gather(*calls, return_exceptions=True)
    failures = [result for result in results if isinstance(result, ManagementError)]
    assert {failure.reason for failure in failures} == {Reason.ACCOUNT_LIMIT}
    assert len(failures) == 13
    assert len(await service.admin.list_accounts()) == 8
    assert await refused(service.admin.create_account("late", "x")) is Reason.ACCOUNT_LIMIT


async def test_a_deleted_account_loses_its_sessions_and_tokens(service: Service) -> None:
    ana = await service.user()
    service.workers[0].sessions = [session(1, "ana"), session(2, "eva")]
    service.workers[1].sessions = [session(3, "ana")]
    assert await service.admin.delete_account("ana") == 2
    assert service.workers[0].sessions == [session(2, "eva")]
    assert service.workers[1].orders == [DisconnectOrder(account="ana", forget=True)]
    assert not await works(ana)
    assert await refused(service.client.login("ana", "secret")) is Reason.INVALID_CREDENTIALS
    assert (service.folder / "mail" / "ana").is_dir()


async def test_the_mail_of_a_deleted_account_goes_only_when_asked(service: Service) -> None:
    await service.admin.create_account("ana", "x")
    await service.admin.put_message("ana", [b"Subject: x\n\nx\n"])
    await service.admin.delete_account("ana", delete_mail=True)
    assert not (service.folder / "mail" / "ana").exists()


async def test_a_name_made_anew_is_not_the_old_account(service: Service) -> None:
    ana = await service.user("ana", "secret")
    await service.admin.delete_account("ana")
    await service.admin.create_account("ana", "other")
    assert not await works(ana)
    assert await refused(service.client.login("ana", "secret")) is Reason.INVALID_CREDENTIALS


async def test_the_last_admin_cannot_go_and_one_of_two_can(service: Service) -> None:
    assert await refused(service.admin.delete_account("default")) is Reason.LAST_ADMIN
    assert await works(service.admin)
    await service.admin.create_account("eva", "x", "admin")
    await service.admin.delete_account("default")
    assert not await works(service.admin)
    eva = await service.client.login("eva", "x")
    assert await refused(eva.delete_account("eva")) is Reason.LAST_ADMIN


@pytest.mark.parametrize("name", ["nobody", "", "a/b", "x" * 1000])
async def test_an_account_that_is_not_there_is_told_as_such(service: Service, name: str) -> None:
    assert await refused(service.admin.delete_account(name)) is Reason.ACCOUNT_NOT_FOUND
    assert await refused(service.admin.reset_password(name)) is Reason.ACCOUNT_NOT_FOUND
    if name:
        assert await refused(service.admin.get_account(name)) is Reason.ACCOUNT_NOT_FOUND


async def test_a_user_sees_itself_alone(service: Service) -> None:
    await service.admin.create_account("eva", "x")
    ana = await service.user()
    assert (await ana.get_account("ana")).name == "ana"
    for name in ("eva", "nobody", "default"):
        assert await refused(ana.get_account(name)) is Reason.PERMISSION_DENIED


# --- passwords ---


async def test_a_changed_password_ends_every_login_but_the_one_that_changed_it(
    service: Service,
) -> None:
    ana = await service.user("ana", "old")
    other = await service.client.login("ana", "old")
    service.workers[0].sessions = [session(1, "ana")]
    assert await ana.change_password("old", "new") == 1
    assert await works(ana)
    assert not await works(other)
    assert await works(service.admin)
    assert await refused(service.client.login("ana", "old")) is Reason.INVALID_CREDENTIALS
    await service.client.login("ana", "new")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("wrong", "new", Reason.INVALID_CREDENTIALS),
        ("", "new", Reason.INVALID_CREDENTIALS),
        ("old", "", Reason.INVALID_ARGUMENT),
        ("old", "old", Reason.INVALID_ARGUMENT),
        ("old", "a\nb", Reason.INVALID_ARGUMENT),
        ("old", "x" * 1025, Reason.INVALID_ARGUMENT),
    ],
)
async def test_a_password_that_is_not_changed_stays(
    service: Service, old: str, new: str, reason: Reason
) -> None:
    ana = await service.user("ana", "old")
    assert await refused(ana.change_password(old, new)) is reason
    await service.client.login("ana", "old")


async def test_a_reset_password_is_random_and_ends_every_login(service: Service) -> None:
    ana = await service.user("ana", "old")
    password = await service.admin.reset_password("ana")
    assert not await works(ana)
    assert await refused(service.client.login("ana", "old")) is Reason.INVALID_CREDENTIALS
    await service.client.login("ana", password)
    assert await service.admin.reset_password("ana") != password


async def test_a_change_under_way_does_not_undo_a_reset(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who knows a stolen password could otherwise keep the account by changing it all the time."""
    ana = await service.user("ana", "stolen")
    hash_ = service.authenticator.hash
    reset: list[str] = []

    async def hash_slowly(password: bytes) -> str:
        if password == b"the thief's":
            reset.append(await service.admin.reset_password("ana"))
        return await hash_(password)

    monkeypatch.setattr(service.authenticator, "hash", hash_slowly)
    call = ana.change_password("stolen", "the thief's")
    assert await refused(call) is Reason.INVALID_CREDENTIALS
    await service.client.login("ana", reset[0])
    assert await refused(service.client.login("ana", "the thief's")) is Reason.INVALID_CREDENTIALS


async def test_no_file_holds_a_password(service: Service) -> None:
    ana = await service.user("ana", "in plain sight")
    await ana.change_password("in plain sight", "for all to read")
    reset = await service.admin.reset_password("ana")
    held = b"".join(path.read_bytes() for path in service.folder.rglob("*") if path.is_file())
    for password in ("in plain sight", "for all to read", reset, ADMIN_PASSWORD):
        assert password.encode() not in held
    assert b"$argon2id$" in held


# --- logins ---


async def test_a_wrong_name_and_a_wrong_password_have_one_answer(service: Service) -> None:
    texts = []
    for name, password in (("nobody", "x"), ("default", "x"), ("default", ""), ("a/b", "x")):
        with pytest.raises(ManagementError) as error:
            await service.client.login(name, password)
        assert error.value.reason is Reason.INVALID_CREDENTIALS
        texts.append(error.value.text)
    assert len(set(texts)) == 1
    assert service.clock.slept == [2, 4, 8, 15]
    await service.client.login("default", ADMIN_PASSWORD)
    assert len(service.clock.slept) == 4


async def test_an_old_password_is_guessed_no_faster_than_at_a_login(service: Service) -> None:
    ana = await service.user()
    for guess in ("one", "two", "three"):
        changed = ana.change_password(guess, "Correct-Horse-17-battery")
        assert await refused(changed) is Reason.INVALID_CREDENTIALS
    assert service.clock.slept == [2, 4, 8]
    await ana.change_password("secret", "Correct-Horse-17-battery")
    assert len(service.clock.slept) == 3


async def test_a_password_of_a_mebibyte_is_wrong_and_does_no_harm(service: Service) -> None:
    assert await refused(service.client.login("ana", "x" * 2**20)) is Reason.INVALID_CREDENTIALS


async def test_too_many_logins_at_once_are_told_to_wait(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authenticator, "MAX_WAITING", 0)
    call = service.client.login("default", ADMIN_PASSWORD)
    assert await refused(call) is Reason.LOGIN_THROTTLED


async def test_a_login_that_has_no_answer_in_time_is_told_as_such(
    service: Service, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pop3mgmt.client.LOGIN_DEADLINE_S", 0.1)
    service.client.deadline_s = 0.1
    clock.waits = True
    assert await refused(service.client.login("default", "wrong")) is Reason.DEADLINE_EXCEEDED


async def test_an_ended_login_ends_alone(service: Service) -> None:
    other = await service.client.login("default", ADMIN_PASSWORD)
    await other.logout()
    assert not await works(other)
    assert await works(service.admin)


async def test_a_token_ends_after_an_hour_without_renewal(
    service: Service, clock: FakeClock
) -> None:
    assert service.admin.expire_time == clock.now() + timedelta(hours=1)
    clock.move(3599)
    assert await works(service.admin)
    clock.move(1)
    assert not await works(service.admin)
    assert await refused(service.admin.renew()) is Reason.INVALID_CREDENTIALS


async def test_a_token_can_be_renewed_for_a_day_and_no_longer(
    service: Service, clock: FakeClock
) -> None:
    end = clock.now() + timedelta(hours=24)
    for _ in range(47):
        clock.move(1800)
        assert await service.admin.renew() == min(clock.now() + timedelta(hours=1), end)
    clock.move(1799)
    assert await works(service.admin)
    clock.move(1)
    assert not await works(service.admin)


def test_a_login_is_waited_for_longer_than_the_longest_delay() -> None:
    [delay] = [item for item in fields(Settings) if item.name == "max_login_delay_s"]
    assert delay.metadata["high"] < LOGIN_DEADLINE_S


async def test_a_default_password_is_told_until_it_is_changed(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with Service(tmp_path, clock).running(password=None) as service:
        assert service.admin.account.has_default_password
        assert any("default" in warning for warning in service.admin.warnings)
        assert len((await service.admin.get_status()).warnings) == 1
        await service.admin.change_password("default", "my own")
        again = await service.client.login("default", "my own")
        assert not again.account.has_default_password
        assert again.warnings == []


async def test_a_default_password_that_is_chosen_is_told_as_well(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with Service(tmp_path, clock).running(password="default") as service:
        assert service.admin.account.has_default_password
        await service.admin.change_password("default", "my own")
        await service.admin.change_password("my own", "default")
        again = await service.client.login("default", "default")
        assert again.account.has_default_password
        assert (await service.admin.create_account("user1", "pass1")).has_default_password
        assert not (await service.admin.create_account("user2", "pass1")).has_default_password


@pytest.mark.parametrize("written", ["default", "\uff44\uff45fault", "def\u00adault"])
async def test_a_default_password_is_one_however_it_is_written(
    service: Service, written: str
) -> None:
    await service.admin.change_password(ADMIN_PASSWORD, written)
    again = await service.client.login("default", "default")
    assert again.account.has_default_password
    with pytest.raises(InvalidArgument, match="POP3_ADMIN_PASSWORD_FILE"):
        FirstStart("secret", written)._first_password()


async def test_an_admin_password_that_was_given_is_no_default(service: Service) -> None:
    assert not service.admin.account.has_default_password
    assert service.admin.warnings == []


# --- verifiers of SCRAM ---


async def scram_on(service: Service) -> None:
    await service.admin.update_settings(server_pb2.Settings(scram=True), ["scram"])


def right(verifier: Verifier | None, password: bytes) -> bool:
    assert verifier is not None
    return make_verifier(password, verifier.salt, verifier.iterations) == verifier


async def test_nothing_is_stored_for_scram_while_it_is_off(service: Service) -> None:
    await service.admin.create_account("ana", "secret")
    await service.client.login("ana", "secret")
    assert await service.store.accounts.verifier("ana") is None


async def test_a_verifier_follows_its_password(service: Service) -> None:
    await scram_on(service)
    accounts = service.store.accounts
    ana = await service.user("ana", "secret")
    assert right(await accounts.verifier("ana"), b"secret")
    await ana.change_password("secret", "another")
    assert right(await accounts.verifier("ana"), b"another")
    password = await service.admin.reset_password("ana")
    assert right(await accounts.verifier("ana"), password.encode())
    await service.admin.delete_account("ana")
    assert await accounts.verifier("ana") is None


async def test_a_verifier_is_stored_at_the_first_login_once_scram_is_on(service: Service) -> None:
    accounts = service.store.accounts
    await service.admin.create_account("ana", "secret")
    await scram_on(service)
    with pytest.raises(ManagementError):
        await service.client.login("ana", "wrong")
    assert await accounts.verifier("ana") is None
    await service.client.login("ana", "secret")
    assert right(await accounts.verifier("ana"), b"secret")


# --- APOP ---


async def test_an_apop_secret_is_given_shown_once_and_taken_away(service: Service) -> None:
    await service.user("ana")
    for worker in service.workers:
        worker.sessions = [session(1, "ana")]
    secret = await service.admin.set_apop_secret("ana")
    assert len(secret) == 20
    assert await service.admin.set_apop_secret("ana") != secret
    assert await service.admin.set_apop_secret("ana", "a secret of their own") == (
        "a secret of their own"
    )
    assert [it.has_apop_secret for it in await service.admin.list_accounts()] == [True, False]
    assert service.workers[0].orders == [DisconnectOrder(account="ana", forget=True)] * 3
    for worker in service.workers:
        worker.sessions = [session(1, "ana")]
    assert await service.admin.remove_apop_secret("ana") == 2
    assert await service.admin.remove_apop_secret("ana") == 0
    assert not (await service.admin.get_account("ana")).has_apop_secret


async def test_an_apop_secret_ends_no_management_login(service: Service) -> None:
    ana = await service.user("ana")
    await service.admin.set_apop_secret("ana")
    assert await works(ana)


async def test_no_file_holds_an_apop_secret(service: Service) -> None:
    await service.user("ana")
    secret = await service.admin.set_apop_secret("ana")
    held = b"".join(path.read_bytes() for path in service.folder.rglob("*") if path.is_file())
    assert secret.encode() not in held


@pytest.mark.parametrize(
    ("name", "secret", "reason"),
    [
        ("nobody", "", Reason.ACCOUNT_NOT_FOUND),
        ("ana", "too short", Reason.INVALID_ARGUMENT),
        ("ana", "x" * 1025, Reason.INVALID_ARGUMENT),
        ("ana", "x" * 20 + "\n", Reason.INVALID_ARGUMENT),
    ],
)
async def test_an_apop_secret_that_cannot_be_changes_nothing(
    service: Service, name: str, secret: str, reason: Reason
) -> None:
    await service.user("ana")
    assert await refused(service.admin.set_apop_secret(name, secret)) is reason
    assert not (await service.admin.get_account("ana")).has_apop_secret


async def test_apop_secrets_are_the_admins_to_give(service: Service) -> None:
    ana = await service.user("ana")
    assert await refused(ana.set_apop_secret("ana")) is Reason.PERMISSION_DENIED
    assert await refused(ana.remove_apop_secret("ana")) is Reason.PERMISSION_DENIED
