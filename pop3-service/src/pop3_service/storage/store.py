"""The store: one SQLite file, opened by one process.

A lock file beside the database refuses a second process. A file that is damaged or not ours is
refused and left as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from sqlalchemy import event, text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only

from pop3_service.domain.errors import (
    StoreUnavailable,
)
from pop3_service.storage import opening, restore
from pop3_service.storage.access import AccessStore
from pop3_service.storage.accounts import AccountStore
from pop3_service.storage.app_passwords import AppPasswordStore
from pop3_service.storage.backup import ACCOUNTS
from pop3_service.storage.preferences import PreferencesStore
from pop3_service.storage.restore import Torn
from pop3_service.storage.roles import RoleStore
from pop3_service.storage.secrets import SecretStore
from pop3_service.storage.settings import SettingsStore
from pop3_service.storage.throttle import ThrottleStore
from pop3_service.storage.tokens import TokenStore
from pop3_service.storage.transactions import finished
from pop3_service.storage.transforms import TransformStore

FILE = ACCOUNTS
LOCK = "valija.lock"
POOL_TIMEOUT_S = 60
"""Seconds that a transaction waits for its turn."""


class Store:
    """An open database. Make it with ``open``."""

    def __init__(self, engine: AsyncEngine, lock_fd: int) -> None:
        self.accounts = AccountStore(engine)
        self.access = AccessStore(engine)
        self.settings = SettingsStore(engine)
        self.roles = RoleStore(engine)
        self.tokens = TokenStore(engine)
        self.secrets = SecretStore(engine)
        self.app_passwords = AppPasswordStore(engine)
        self.preferences = PreferencesStore(engine)
        self.throttle = ThrottleStore(engine)
        self.transforms = TransformStore(engine)
        self._engine = engine
        self._lock_fd = lock_fd
        self._usable = asyncio.Event()
        self._usable.set()
        self._torn = ""
        event.listen(engine.sync_engine, "do_connect", self._before_connecting)

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Open the database in a folder, which is made, and migrate it.

        Raises:
            StoreUnavailable: another process has it, or it cannot be used.
        """
        lock_fd = _lock(folder)
        try:
            await asyncio.to_thread(_make_ready, folder)
        except BaseException:
            os.close(lock_fd)
            raise
        # One connection: transactions wait for their turn here rather than for SQLite's lock.
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{folder / FILE}",
            pool_size=1,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_S,
        )
        event.listen(engine.sync_engine, "connect", _set_up)
        event.listen(engine.sync_engine, "begin", _begin)
        return cls(engine, lock_fd)

    async def replace(self, change: Callable[[], None], changed: Callable[[], None]) -> None:
        """Close the database, let ``change`` replace the file in a thread, and open it again.

        What is being stored is stored first; what is to be read or stored meanwhile waits.
        ``changed`` is called once another file is there, before anybody reads from it.

        Raises:
            StoreUnavailable: it is too busy to be closed, or what ``change`` raised.
        """
        try:
            await self._close_connection()
            await asyncio.to_thread(change)
            changed()
        except Torn as error:
            self._torn = str(error)
            raise StoreUnavailable(self._torn) from error
        finally:
            self._usable.set()

    async def _close_connection(self) -> None:
        # There is one connection, so nobody else has it now. Closed, its log is in the file.
        try:
            async with self._engine.connect() as connection:
                self._usable.clear()
                raw = await connection.get_raw_connection()
                await raw.driver_connection.close()  # type: ignore[union-attr]
                await connection.invalidate()
        except PoolTimeout:
            raise StoreUnavailable("the account store is too busy") from None

    def _before_connecting(self, *_: object) -> None:
        """Wait until the file is the one to open. SQLAlchemy calls this in a greenlet."""
        await_only(self._usable.wait())
        if self._torn:
            raise sqlite3.OperationalError(self._torn)

    async def close(self) -> None:
        """Close the database and let another process have it."""
        await finished()
        await self._engine.dispose()
        os.close(self._lock_fd)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process from a data folder, which is made if it is not there.

    Raises:
        StoreUnavailable: another process has it.
    """
    fd = _lock(folder)
    try:
        yield
    finally:
        os.close(fd)


def _make_ready(folder: Path) -> None:
    try:
        restore.finish(folder)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot finish the restore in {folder}: {opening.why(error)}"
        ) from error
    opening.make_ready(folder / FILE)


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
