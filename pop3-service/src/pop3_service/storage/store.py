"""The store: one SQLite file, opened by one process.

A lock file beside the database refuses a second process. A file that is damaged or not ours is
refused and left as it is.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import Any, Self

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from pop3_service.domain.errors import (
    StoreUnavailable,
)
from pop3_service.storage.accounts import AccountStore
from pop3_service.storage.app_passwords import AppPasswordStore
from pop3_service.storage.opening import make_ready
from pop3_service.storage.preferences import PreferencesStore
from pop3_service.storage.roles import RoleStore
from pop3_service.storage.secrets import SecretStore
from pop3_service.storage.settings import SettingsStore
from pop3_service.storage.throttle import ThrottleStore

FILE = "valija.db"
LOCK = "valija.lock"
POOL_TIMEOUT_S = 60
"""Seconds that a transaction waits for its turn."""


class Store:
    """An open database. Make it with ``open``."""

    def __init__(self, engine: AsyncEngine, lock_fd: int) -> None:
        self.accounts = AccountStore(engine)
        self.settings = SettingsStore(engine)
        self.roles = RoleStore(engine)
        self.secrets = SecretStore(engine)
        self.app_passwords = AppPasswordStore(engine)
        self.preferences = PreferencesStore(engine)
        self.throttle = ThrottleStore(engine)
        self._engine = engine
        self._lock_fd = lock_fd

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Open the database in a folder, which is made, and migrate it.

        Raises:
            StoreUnavailable: another process has it, or it cannot be used.
        """
        path = folder / FILE
        lock_fd = _lock(folder)
        try:
            await asyncio.to_thread(make_ready, path)
        except BaseException:
            os.close(lock_fd)
            raise
        # One connection: transactions wait for their turn here rather than for SQLite's lock.
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}", pool_size=1, max_overflow=0, pool_timeout=POOL_TIMEOUT_S
        )
        event.listen(engine.sync_engine, "connect", _set_up)
        event.listen(engine.sync_engine, "begin", _begin)
        return cls(engine, lock_fd)

    async def close(self) -> None:
        """Close the database and let another process have it."""
        await self._engine.dispose()
        os.close(self._lock_fd)


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"cannot use {folder}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise StoreUnavailable(f"another process uses {folder}") from None
    return fd


def _set_up(connection: Any, _: object) -> None:
    # The driver opens no transactions by itself, so that BEGIN can be IMMEDIATE.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    connection.execute(text("BEGIN IMMEDIATE"))
