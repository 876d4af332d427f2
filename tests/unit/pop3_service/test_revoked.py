"""What was revoked is kept, so much of it, and nobody pushes out what is another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pop3_service.domain.app_passwords import AppPassword
from pop3_service.domain.automation import AutomationToken
from pop3_service.domain.errors import AppPasswordNotFound, TokenNotFound
from pop3_service.domain.rights import RoleName
from pop3_service.storage import revoked
from pop3_service.storage.store import Store
from support import database
from unit.pop3_service.test_app_passwords import VERIFIER
from unit.pop3_service.test_store import account

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    monkeypatch.setattr(revoked, "MOST_TOKENS", 3)
    monkeypatch.setattr(revoked, "MOST_APP_PASSWORDS", 2)
    store = await database.opened(tmp_path)
    for name in ("ana", "eva"):
        await store.accounts.insert(account(name, RoleName.USER), 10)
    yield store
    await store.close()


async def kept(store: Store) -> list[bytes]:
    async with store._engine.connect() as connection:
        rows = await connection.exec_driver_sql("select digest from revoked_secrets order by id")
        return [row.digest for row in rows]


async def give(store: Store, name: str, *digests: bytes) -> None:
    for digest in digests:
        made = AppPassword(digest.decode(), NOW)
        await store.app_passwords.insert(name, made, digest, VERIFIER)


async def test_revoked_is_what_was_there_and_was_revoked(store: Store) -> None:
    await give(store, "ana", b"a1", b"a2")
    await give(store, "eva", b"e1")
    with pytest.raises(AppPasswordNotFound):
        await store.app_passwords.delete("ana", "e1")
    with pytest.raises(TokenNotFound):
        await store.tokens.delete("ci")
    assert await kept(store) == []
    await store.app_passwords.delete("ana", "a2")
    assert await store.app_passwords.delete_all("eva") == 1
    assert await kept(store) == [b"a2", b"e1"]


async def test_who_makes_and_revokes_many_pushes_out_only_his_own(store: Store) -> None:
    for number in range(5):
        name = f"t{number}"
        token = AutomationToken(name, name.encode(), "admin", (), "ana", NOW, None)
        await store.tokens.insert(token)
        await store.tokens.delete(name)
    await give(store, "ana", b"a1")
    await store.app_passwords.delete("ana", "a1")
    for number in range(5):
        await give(store, "eva", b"e%d" % number)
        await store.app_passwords.delete("eva", f"e{number}")
    assert await kept(store) == [b"t2", b"t3", b"t4", b"a1", b"e3", b"e4"]
