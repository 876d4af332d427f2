"""What a new password must be, how long it lasts, and what may be done until it is changed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from contract.service import ADMIN_PASSWORD, Service
from pop3_service.domain.errors import ServiceError
from pop3_service.supervisor.identity import estimator
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import accounts_pb2, server_pb2

MOVED_IN = (
    b"ana:{SHA256-CRYPT}$5$rounds=1000$abcdefgh$XIppta5rT8zJUu4vAOKQXrwq9uY4Ijlz6VjyOmkx5i4\n"
)
"""Ana, with the password "secret"."""
DAY_S = 86_400.0
STRONG = "correct horse battery staple"
STRICT = {
    "password_min_length": 12,
    "password_min_strength": 3,
    "password_refuse_common": True,
    "password_refuse_name": True,
    "password_history": 3,
}


async def configure(service: Service, **values: Any) -> None:
    await service.admin.update_settings(server_pb2.Settings(**values), list(values))


async def refused(call: Any) -> ManagementError:
    with pytest.raises(ManagementError) as error:
        await call
    return error.value


async def pop3(service: Service, name: str, password: str) -> str:
    """What POP3 makes of a name and a password: the account, or why it is refused."""
    try:
        admitted = await service.authenticator.login(name.encode(), password.encode())
    except ServiceError as error:
        return error.reason.value
    return admitted.account if admitted else Reason.INVALID_CREDENTIALS.value


# --- the rules ---


async def test_without_a_policy_the_shipped_passwords_and_the_seeds_are_taken(
    service: Service,
) -> None:
    for name, password in (("user1", "pass1"), ("aeinstein", "physics"), ("x", "x")):
        await service.admin.create_account(name, password)
        await service.client.login(name, password)
    policy = await service.admin.get_password_policy()
    assert policy == accounts_pb2.PasswordPolicy(min_length=1)


async def test_the_policy_is_one_object_that_everybody_may_read(service: Service) -> None:
    ana = await service.user()
    await configure(service, **STRICT, password_expire_days=90, password_reset_must_change=True)
    expected = accounts_pb2.PasswordPolicy(
        min_length=12,
        min_strength=3,
        refuse_common=True,
        refuse_name=True,
        history=3,
        expire_days=90,
        reset_must_change=True,
    )
    assert await ana.get_password_policy() == await service.admin.get_password_policy() == expected


@pytest.mark.parametrize("way", ["create", "change"])
async def test_a_refused_password_is_told_every_rule_that_it_breaks(
    service: Service, way: str
) -> None:
    ana = await service.user()
    await configure(service, **STRICT)

    async def put(password: str) -> None:
        if way == "create":
            await service.admin.create_account("anabel", password)
        else:
            await ana.change_password("secret", password)

    error = await refused(put("anabel1"))
    assert error.reason is Reason.PASSWORD_REFUSED
    assert error.text == (
        "this password is not taken: it has fewer than 12 characters; it holds the account's name;"
        " it is too easy to guess (strength 1 of 4, 3 is needed)"
    )
    common = await refused(put("Password1"))
    assert "it is one that many people use" in common.text
    await put(STRONG)


async def test_a_refused_password_changes_nothing(service: Service) -> None:
    ana = await service.user()
    await configure(service, **STRICT)
    await refused(ana.change_password("secret", "short"))
    await ana.get_account()
    await service.client.login("ana", "secret")
    assert (await refused(service.admin.create_account("eva", "short"))).reason is (
        Reason.PASSWORD_REFUSED
    )
    assert not (service.folder / "mail" / "eva").exists()
    assert (await refused(service.admin.get_account("eva"))).reason is Reason.ACCOUNT_NOT_FOUND


async def test_a_wrong_old_password_is_told_before_the_new_one_is_looked_at(
    service: Service,
) -> None:
    ana = await service.user()
    await configure(service, **STRICT)
    error = await refused(ana.change_password("wrong", "short"))
    assert error.reason is Reason.INVALID_CREDENTIALS


async def test_random_passwords_keep_to_the_strictest_policy(service: Service) -> None:
    ana = await service.user()
    await configure(service, **(STRICT | {"password_min_strength": 4, "password_min_length": 20}))
    password = await service.admin.reset_password("ana")
    ana = await service.client.login("ana", password)
    await ana.change_password(password, STRONG)
    again = await service.admin.reset_password("ana")
    ana = await service.client.login("ana", again)
    assert (await refused(ana.change_password(again, STRONG))).reason is Reason.PASSWORD_REFUSED


async def test_the_last_passwords_are_not_taken_again(service: Service) -> None:
    ana = await service.user(password="number 0")
    await configure(service, password_history=3)
    for number in range(3):
        await ana.change_password(f"number {number}", f"number {number + 1}")
    for used in ("number 1", "number 2"):
        error = await refused(ana.change_password("number 3", used))
        assert error.text == ("this password is not taken: it is one of the last 3 passwords")
    error = await refused(ana.change_password("number 3", "number 3"))
    assert error.reason is Reason.INVALID_ARGUMENT
    await ana.change_password("number 3", "number 0")


async def test_an_imported_hash_is_an_old_password_too(service: Service) -> None:
    await configure(service, password_history=2, password_min_length=8)
    # What moves in keeps the password it had: nobody can hold its hash to a policy.
    [line] = await service.admin.import_accounts([MOVED_IN])
    assert line.outcome == accounts_pb2.IMPORT_OUTCOME_IMPORTED
    password = await service.admin.reset_password("ana")
    ana = await service.client.login("ana", password)
    await configure(service, password_min_length=1)
    assert "one of the last 2" in (await refused(ana.change_password(password, "secret"))).text


async def test_a_strength_that_cannot_be_told_refuses_for_the_moment(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await configure(service, password_min_strength=1)
    monkeypatch.setattr(estimator, "PROGRAM", ("/no/such/program",))
    error = await refused(service.admin.create_account("ana", STRONG))
    assert error.reason is Reason.SERVICE_UNAVAILABLE


@pytest.mark.attack(20)
async def test_the_longest_password_keeps_nobody_waiting(service: Service) -> None:
    await configure(service, **STRICT)
    crafted = "4@8({[</369&#!1/|0$5+7%2" * 42

    async def others_are_answered(name: str) -> bool:
        answered = 0
        making = asyncio.ensure_future(service.admin.create_account(name, crafted))
        while not making.done():
            await service.admin.get_status()
            answered += not making.done()
        assert (await making).name == name
        return answered > 0

    # A busy machine may keep one of them until the password is estimated.
    assert any([await others_are_answered(f"ana{number}") for number in range(3)])
    assert (await refused(service.admin.create_account("eva", "x" * 2**20))).reason is (
        Reason.INVALID_ARGUMENT
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password_min_length", 0),
        ("password_min_length", 129),
        ("password_min_strength", 5),
        ("password_min_strength", -1),
        ("password_history", 25),
        ("password_expire_days", -1),
        ("password_expire_days", 3651),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(
    service: Service, name: str, value: int
) -> None:
    before = await service.admin.get_password_policy()
    with pytest.raises(ManagementError, match=name):
        await configure(service, **{name: value})
    assert await service.admin.get_password_policy() == before


# --- until it is changed ---


async def must_change(service: Service, way: str) -> str:
    """Make ana an account whose password opens nothing; give that."""
    if way == "create":
        await service.admin.create_account("ana", "secret", must_change=True)
        return "secret"
    await service.admin.create_account("ana", "secret")
    if way == "reset":
        reset = await service.admin.set_random_password("ana", must_change=True)
        assert reset.must_change_password
        return reset.new_password
    if way == "policy":
        await configure(service, password_reset_must_change=True)
        return await service.admin.reset_password("ana")
    await configure(service, password_expire_days=90)
    service.clock.move(91 * DAY_S)
    service.admin = await service.client.login("default", ADMIN_PASSWORD)
    await service.admin.change_password(ADMIN_PASSWORD, "the admin's new one")
    return "secret"


WAYS = ["create", "reset", "policy", "expire"]


@pytest.mark.parametrize("way", WAYS)
async def test_a_password_that_must_be_changed_opens_no_maildrop(
    service: Service, way: str
) -> None:
    password = await must_change(service, way)
    reason = "PASSWORD_EXPIRED" if way == "expire" else "PASSWORD_MUST_CHANGE"
    assert await pop3(service, "ana", password) == reason
    assert await pop3(service, "ana", "wrong") == "INVALID_CREDENTIALS"
    ana = await service.client.login("ana", password)
    await ana.change_password(password, "new one")
    assert await pop3(service, "ana", "new one") == "ana"
    assert await pop3(service, "ana", password) == "INVALID_CREDENTIALS"


@pytest.mark.parametrize("way", WAYS)
async def test_and_over_management_it_opens_nothing_but_its_change(
    service: Service, way: str
) -> None:
    password = await must_change(service, way)
    ana = await service.client.login("ana", password)
    assert any("must be changed" in warning for warning in ana.warnings)
    assert ana.account.must_change_password is (way != "expire")
    for call in (ana.get_account, ana.list_sessions, ana.list_messages, ana.get_status):
        assert (await refused(call())).reason is Reason.PASSWORD_MUST_CHANGE
    assert (await ana.get_password_policy()).min_length == 1
    await ana.renew()
    other = await service.client.login("ana", password)
    await ana.change_password(password, "new one")
    account = await ana.get_account()
    assert not account.must_change_password
    assert account.password_time.ToDatetime() == service.clock.now().replace(tzinfo=None)
    assert (await refused(other.get_account())).reason is Reason.INVALID_CREDENTIALS
    again = await service.client.login("ana", "new one")
    assert again.warnings == []


async def test_an_admin_who_must_change_the_password_has_no_more_than_others(
    service: Service,
) -> None:
    await service.admin.create_account("eva", "secret", "admin", must_change=True)
    eva = await service.client.login("eva", "secret")
    assert len(eva.warnings) == 1
    for call in (eva.list_accounts(), eva.get_settings(), eva.create_account("x", "x")):
        assert (await refused(call)).reason is Reason.PASSWORD_MUST_CHANGE
    await eva.change_password("secret", "another")
    assert len(await eva.list_accounts()) == 2


async def test_a_password_expires_at_its_time_and_a_longer_policy_takes_that_back(
    service: Service,
) -> None:
    await service.user()
    await configure(service, password_expire_days=30)
    account = await service.admin.get_account("ana")
    set_at = account.password_time.ToDatetime()
    assert account.password_expire_time.ToDatetime() == set_at + timedelta(days=30)
    service.clock.move(30 * DAY_S - 1)
    assert await pop3(service, "ana", "secret") == "ana"
    service.clock.move(1)
    assert await pop3(service, "ana", "secret") == "PASSWORD_EXPIRED"
    admin = await service.client.login("default", ADMIN_PASSWORD)
    await admin.change_password(ADMIN_PASSWORD, "the admin's new one")
    service.admin = admin
    await configure(service, password_expire_days=31)
    assert await pop3(service, "ana", "secret") == "ana"
    await configure(service, password_expire_days=0)
    assert not (await admin.get_account("ana")).HasField("password_expire_time")


async def test_a_reset_asks_for_no_change_unless_it_is_told_to(service: Service) -> None:
    await service.user()
    reset = await service.admin.set_random_password("ana")
    assert not reset.must_change_password
    assert await pop3(service, "ana", reset.new_password) == "ana"
