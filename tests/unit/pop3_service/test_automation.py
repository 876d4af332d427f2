"""Automation tokens: what they may do, from where, until when."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.automation import PREFIX, digest_of, make_secret
from pop3_service.domain.errors import (
    InvalidArgument,
    InvalidCredentials,
    PermissionDenied,
    RoleInUse,
    RoleNotFound,
    StoreUnavailable,
    TokenExists,
    TokenNotFound,
)
from pop3_service.domain.rights import BUILT_IN, Right
from pop3_service.storage.store import Store
from pop3_service.supervisor.identity import automation
from pop3_service.supervisor.identity.automation import AutomationTokens
from pop3_service.supervisor.identity.roles import RolesDesk
from support import database
from unit.pop3_service.clock import FakeClock

HERE = "192.0.2.7:50000"
DAY = timedelta(days=1)
FOREVER = timedelta()


def person(role: str) -> Principal:
    return Principal(AccountName("eva"), role, BUILT_IN[role].rights)


ADMIN = person("admin")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await database.opened(tmp_path)
    yield opened
    await opened.close()


async def desk(store: Store, clock: FakeClock) -> AutomationTokens:
    roles = RolesDesk(store.roles)
    await roles.load()
    tokens = AutomationTokens(store.tokens, roles, clock)
    await tokens.load()
    return tokens


@pytest.fixture
async def tokens(store: Store, clock: FakeClock) -> AutomationTokens:
    return await desk(store, clock)


def test_a_token_is_recognised_and_has_256_random_bits() -> None:
    made = {make_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(text.startswith(PREFIX) and len(text) == len(PREFIX) + 43 for text in made)
    assert all(AutomationTokens.is_meant(text) for text in made)


async def test_a_token_has_its_roles_rights_but_for_those_of_an_own_account(
    tokens: AutomationTokens,
) -> None:
    text, token = await tokens.create("ci", "operator", (), FOREVER, ADMIN)
    who = tokens.principal(text)
    assert who.rights == BUILT_IN["operator"].rights - {Right.OWN}
    assert (who.name, who.token_name) == ("token/ci", "ci")
    assert token.created_by == "eva"


async def test_what_is_stored_is_the_hash_alone(
    tokens: AutomationTokens, store: Store, tmp_path: Path
) -> None:
    text, token = await tokens.create("ci", "auditor", (), FOREVER, ADMIN)
    assert (await store.tokens.all())[0].digest == digest_of(text)
    for file in tmp_path.iterdir():
        assert text.removeprefix(PREFIX).encode() not in file.read_bytes()
    assert text not in repr(token)
    assert repr(token.digest) not in repr(token)


async def test_tokens_outlive_a_restart_with_all_that_is_known_of_them(
    tokens: AutomationTokens, store: Store, clock: FakeClock
) -> None:
    text, _ = await tokens.create("ci", "auditor", ["192.0.2.0/24", "2001:db8::1"], DAY, ADMIN)
    await tokens.use(text, HERE)
    again = await desk(store, clock)
    [token] = again.all()
    assert token == tokens.all()[0]
    assert token.networks == ("192.0.2.0/24", "2001:db8::1/128")
    assert token.expire_time == clock.now() + DAY
    assert (token.last_use_time, token.last_use_address) == (clock.now(), "192.0.2.7")
    again.principal(text)


@pytest.mark.attack(24, "management")
async def test_a_token_is_no_good_after_its_time_its_revocation_or_elsewhere(
    tokens: AutomationTokens, clock: FakeClock
) -> None:
    text, _ = await tokens.create("ci", "auditor", ["192.0.2.0/24"], DAY, ADMIN)
    for address in (HERE, "[::ffff:192.0.2.9]:1"):
        await tokens.use(text, address)
    for address in ("198.51.100.1:50000", "[2001:db8::1]:5", "", "unix:/run/x"):
        with pytest.raises(InvalidCredentials):
            await tokens.use(text, address)
    for wrong in (f"{text}x", text[:-1], PREFIX, "", text.upper(), "valija_\udcff"):
        with pytest.raises(InvalidCredentials):
            tokens.principal(wrong)
        with pytest.raises(InvalidCredentials):
            await tokens.use(wrong, HERE)
    clock.move(86399)
    tokens.principal(text)
    clock.move(1)
    with pytest.raises(InvalidCredentials):
        tokens.principal(text)
    with pytest.raises(InvalidCredentials):
        await tokens.use(text, HERE)
    other, _ = await tokens.create("other", "auditor", (), FOREVER, ADMIN)
    assert tokens.expire_time(other) is None
    await tokens.revoke("other", ADMIN)
    with pytest.raises(InvalidCredentials):
        tokens.principal(other)


async def test_the_refusal_is_the_same_whatever_is_wrong(
    tokens: AutomationTokens, clock: FakeClock
) -> None:
    text, _ = await tokens.create("ci", "auditor", ["192.0.2.0/24"], DAY, ADMIN)
    told = set()
    for wrong, address in ((text, "198.51.100.1:1"), (make_secret(), HERE)):
        with pytest.raises(InvalidCredentials) as refused:
            await tokens.use(wrong, address)
        told.add(str(refused.value))
    clock.move(86400)
    with pytest.raises(InvalidCredentials) as refused:
        await tokens.use(text, HERE)
    assert told == {str(refused.value)}


async def test_its_last_use_is_noted_once_a_minute(
    tokens: AutomationTokens, store: Store, clock: FakeClock
) -> None:
    text, token = await tokens.create("ci", "auditor", (), FOREVER, ADMIN)
    assert token.last_use_time is None
    begun = clock.now()
    await tokens.use(text, HERE)
    clock.move(59)
    await tokens.use(text, "198.51.100.1:1")
    [stored] = await store.tokens.all()
    assert (stored.last_use_time, stored.last_use_address) == (begun, "192.0.2.7")
    clock.move(1)
    await tokens.use(text, "[2001:db8::1]:1")
    [stored] = await store.tokens.all()
    assert (stored.last_use_time, stored.last_use_address) == (clock.now(), "2001:db8::1")
    assert tokens.all() == [stored]


async def test_nobody_makes_or_revokes_a_token_with_rights_that_he_lacks(
    tokens: AutomationTokens,
) -> None:
    for role in ("operator", "auditor", "user"):
        with pytest.raises(PermissionDenied):
            await tokens.create("ci", "admin", (), FOREVER, person(role))
    text, _ = await tokens.create("ci", "admin", (), FOREVER, ADMIN)
    with pytest.raises(PermissionDenied):
        await tokens.revoke("ci", person("operator"))
    with pytest.raises(PermissionDenied, match="makes no other"):
        await tokens.create("more", "auditor", (), FOREVER, tokens.principal(text))
    assert [it.name for it in tokens.all()] == ["ci"]


async def test_a_token_without_any_right_is_not_made(tokens: AutomationTokens) -> None:
    with pytest.raises(InvalidArgument, match="no right"):
        await tokens.create("ci", "user", (), FOREVER, ADMIN)
    with pytest.raises(RoleNotFound):
        await tokens.create("ci", "nobody", (), FOREVER, ADMIN)


@pytest.mark.parametrize("name", ["", "a b", "a/b", ".a", "-a", "a\r\nb", "ä", "x" * 65])
async def test_a_name_is_a_plain_word(tokens: AutomationTokens, name: str) -> None:
    with pytest.raises(InvalidArgument):
        await tokens.create(name, "auditor", (), FOREVER, ADMIN)


@pytest.mark.parametrize(
    "networks", [["10.0.0.1/8"], ["x"], ["fe80::1%eth0"], ["10.0.0.0/33"], ["192.0.2.1"] * 33]
)
async def test_a_network_that_is_none_is_refused(
    tokens: AutomationTokens, networks: list[str]
) -> None:
    with pytest.raises(InvalidArgument):
        await tokens.create("ci", "auditor", networks, FOREVER, ADMIN)


@pytest.mark.parametrize("lifetime", [timedelta(seconds=-1), timedelta(days=3651)])
async def test_a_lifetime_is_ten_years_at_most(
    tokens: AutomationTokens, lifetime: timedelta
) -> None:
    with pytest.raises(InvalidArgument):
        await tokens.create("ci", "auditor", (), lifetime, ADMIN)


async def test_a_name_is_given_once_and_is_free_after_the_revocation(
    tokens: AutomationTokens,
) -> None:
    first, _ = await tokens.create("ci", "auditor", (), FOREVER, ADMIN)
    with pytest.raises(TokenExists):
        await tokens.create("ci", "operator", (), FOREVER, ADMIN)
    await tokens.revoke("ci", ADMIN)
    with pytest.raises(TokenNotFound):
        await tokens.revoke("ci", ADMIN)
    await tokens.create("ci", "auditor", (), FOREVER, ADMIN)
    with pytest.raises(InvalidCredentials):
        tokens.principal(first)


async def test_there_are_only_so_many(
    tokens: AutomationTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pop3_service.storage.tokens.MAX_TOKENS", 1)
    await tokens.create("one", "auditor", (), FOREVER, ADMIN)
    with pytest.raises(InvalidArgument, match="revoke some"):
        await tokens.create("two", "auditor", (), FOREVER, ADMIN)
    assert [it.name for it in tokens.all()] == ["one"]


async def test_a_change_of_the_role_holds_for_its_tokens_at_once(
    tokens: AutomationTokens, store: Store
) -> None:
    roles = tokens._roles
    await roles.create("watch", ["status.read", "sessions.read"], ADMIN)
    text, _ = await tokens.create("ci", "watch", (), FOREVER, ADMIN)
    await roles.update("watch", ["status.read"], ADMIN)
    assert tokens.principal(text).rights == {Right.STATUS_READ}
    with pytest.raises(RoleInUse):
        await roles.delete("watch", ADMIN)
    await tokens.revoke("ci", ADMIN)
    await roles.delete("watch", ADMIN)


async def test_a_revocation_that_cannot_be_stored_is_none(
    tokens: AutomationTokens, store: Store
) -> None:
    text, _ = await tokens.create("ci", "auditor", (), FOREVER, ADMIN)

    async def fail(name: str) -> None:
        raise StoreUnavailable("no")

    store.tokens.delete = fail  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await tokens.revoke("ci", ADMIN)
    tokens.principal(text)
    assert automation.LAST_USE_EVERY == timedelta(minutes=1)
