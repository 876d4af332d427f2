"""Preferences: what may be chosen, what counts, and how it is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import AccountNotFound, InvalidArgument
from pop3_service.domain.preferences import Preferences
from pop3_service.domain.rights import RoleName
from pop3_service.domain.settings import Settings
from pop3_service.storage.store import Store
from pop3_service.supervisor.authentication.authenticator import Authenticator
from support import database
from unit.pop3_service.clock import FakeClock

SETTINGS = Settings()


def test_what_may_be_chosen_is_taken() -> None:
    chosen = Preferences().changed({"language": "es", "retention_days": 30}, SETTINGS)
    assert chosen == Preferences("es", 30)
    assert chosen.changed({"language": ""}, SETTINGS) == Preferences("", 30)
    assert chosen.changed({"transform": True}, SETTINGS) == chosen


@pytest.mark.parametrize(
    "values",
    [
        {"language": "xx"},
        {"language": 1},
        {"retention_days": -1},
        {"retention_days": 36_501},
        {"retention_days": "3"},
        {"transform": "no"},
        {"colour": "red"},
    ],
)
def test_what_may_not_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        Preferences().changed(values, SETTINGS)


@pytest.mark.parametrize(
    ("setting", "own", "counts"),
    [(0, 0, 0), (30, 0, 30), (0, 7, 7), (30, 7, 7), (7, 30, 7), (5, 5, 5)],
)
def test_of_two_retentions_the_shorter_counts(setting: int, own: int, counts: int) -> None:
    assert Preferences(retention_days=own).expire_days(setting) == counts


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await database.opened(tmp_path)
    for name in ("ana", "eva", "ida"):
        account = Account(AccountName(name), RoleName.USER, "hash", FakeClock().now(), False)
        await opened.accounts.insert(account, 10)
    yield opened
    await opened.close()


async def test_they_are_stored_for_who_chose_and_go_with_the_account(store: Store) -> None:
    stored = store.preferences
    assert await stored.get("ana") == await stored.get("nobody") == Preferences()
    for chosen in (Preferences("es", 30), Preferences("en", 7), Preferences()):
        await stored.put("ana", chosen)
        assert await stored.get("ana") == chosen
    assert await stored.get("eva") == Preferences()
    with pytest.raises(AccountNotFound):
        await stored.put("nobody", Preferences("es"))
    await stored.put("eva", Preferences("es"))
    await store.accounts.insert(
        Account(AccountName("root"), RoleName.ADMIN, "hash", FakeClock().now(), False), 10
    )
    await store.accounts.delete("eva")
    assert await stored.get("eva") == Preferences()


async def test_the_shortest_retention_and_whose_there_are_is_known(store: Store) -> None:
    stored = store.preferences
    assert await stored.least_retention_days() == 0
    assert await with_retention(store) == {}
    await stored.put("ana", Preferences("es"))
    await stored.put("ida", Preferences(retention_days=7))
    await stored.put("eva", Preferences(retention_days=30))
    assert await stored.least_retention_days() == 7
    assert await with_retention(store) == {"eva": 30, "ida": 7}
    assert await with_retention(store, size=1) == {"eva": 30}
    assert await with_retention(store, "eva") == {"ida": 7}
    assert [it.name for it in await store.accounts.page("", 10)] == ["ana", "eva", "ida"]


async def with_retention(store: Store, after: str = "", size: int = 10) -> dict[str, int]:
    found = await store.accounts.page(after, size, with_retention=True)
    return {account.name: account.preferences.retention_days for account in found}


async def test_they_are_part_of_their_account_and_of_its_facts(store: Store) -> None:
    await store.preferences.put("eva", Preferences("es", 9, False))
    eva, ana = await store.accounts.get("eva"), await store.accounts.get("ana")
    assert eva is not None
    assert ana is not None
    assert eva.preferences == eva.facts.preferences == Preferences("es", 9, False)
    assert ana.preferences == ana.facts.preferences == Preferences()


async def test_a_login_under_way_is_told_what_was_chosen_meanwhile(store: Store) -> None:
    authenticator = Authenticator(
        store.accounts, FakeClock(), lambda: 600.0, memory_kib=8, passes=1
    )
    await store.accounts.set_password("ana", await authenticator.hash(b"secret"))

    async def choose(account: Account, _: bytes) -> None:
        await store.preferences.put(account.name, Preferences("es"))
        authenticator.account_changed(account.name)

    authenticator.on_verified = choose
    try:
        for _ in range(2):  # the second is remembered
            admitted = await authenticator.login(b"ana", b"secret")
            assert admitted is not None
            assert admitted.facts.preferences.language == "es"
    finally:
        authenticator.close()
