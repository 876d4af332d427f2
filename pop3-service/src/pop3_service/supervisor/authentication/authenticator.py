"""Passwords: hashed and verified by argon2id, off the loop, at most one at a time a core.

argon2-cffi, the binding of the reference implementation; it lets other threads run meanwhile.
A hash that moved in from another server, or was made at another cost than is set now, is replaced
at the next right login that is hashed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from lineproto.clock import Clock
from pop3_service.control.plane import Admitted
from pop3_service.control.remembered import RememberedLogins
from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import InvalidArgument, LoginThrottled, ServiceError
from pop3_service.domain.passwords import MAX_OCTETS, prepare_password
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.identity.old_hashes import is_old, matches_old

T = TypeVar("T")
OnVerified = Callable[[Account, bytes], Awaitable[None]]
FindAppPassword = Callable[[bytes, bytes], Awaitable[tuple[AccountName, str] | None]]

log = structlog.get_logger()

MAX_WAITING = 10_000
"""Checks that may wait; more are refused."""


class Authenticator:
    """Checks names and passwords. It takes the same time whether the account is there or not."""

    def __init__(
        self,
        accounts: AccountStore,
        clock: Clock,
        remember_login_s: Callable[[], float],
        *,
        memory_kib: int = 19456,
        passes: int = 2,
    ) -> None:
        """``remember_login_s`` gives the setting of now."""
        self.changes = 0
        self.on_verified: OnVerified | None = None
        """Told account and password after each check that was right; it may be old by then."""
        self.find_app_password: FindAppPassword | None = None
        """Tells whose app password it is, of a POP3 client's name and password, and its name."""
        self.on_deleted: Callable[[AccountName], None] = lambda _: None
        """Told whose account was deleted."""
        self.hindrance: Callable[[Account], ServiceError | None] = lambda _: None
        """Tells why an account's right password opens no maildrop, if so."""
        self.has_expired: Callable[[float], bool] = lambda _: False
        """Tells whether a password that was set at that Unix time lasts no longer."""
        self._clock = clock
        self._remembered = RememberedLogins(clock, remember_login_s)
        self._accounts = accounts
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="argon2")
        self._dummy_hash = self._hasher.hash(b"no account has this")
        self._waiting = 0

    def account_changed(self, name: AccountName) -> None:
        """Note that an account was changed or deleted: checks under way look again."""
        self.changes += 1
        self._remembered.forget(name)

    def everything_changed(self) -> None:
        """Note that all accounts may be others now."""
        self.changes += 1
        self._remembered.forget_all()

    async def hash(self, password: bytes) -> str:
        """Hash a new password."""
        return await self.in_thread(self._hasher.hash, prepare_password(password))

    def remembered(self, name: bytes, password: bytes) -> Admitted | None:
        """Admit whose name and password were verified a moment ago; None says nothing."""
        known = self._remembered.find(name, password)
        if known is None or (
            not known.app_password and self.has_expired(known.facts.password_time_s)
        ):
            return None
        age_s = self._clock.monotonic() - known.verify_time_s
        return Admitted(known.account, age_s, known.app_password, known.facts)

    async def login(self, name: bytes, password: bytes) -> Admitted | None:
        """Admit who has an account of this name and password; None if nobody has.

        As ``verify``, but what was verified a moment ago is not hashed again.

        Raises:
            PasswordMustChange, PasswordExpired: the password is right, and is to be changed first.
        """
        known = self.remembered(name, password)
        if known is not None:
            return known
        by_app_password = await self._by_app_password(name, password)
        if by_app_password is not None:
            return by_app_password
        account = await self.verify(name, password)
        if account is None:
            return None
        self.check_unhindered(account)
        self._remembered.remember(name, password, account.name, facts=account.facts)
        return Admitted(account.name, facts=account.facts)

    async def _by_app_password(self, name: bytes, password: bytes) -> Admitted | None:
        """Admit who has an app password; what is none goes the way of any password.

        So a wrong one costs the same for an account with app passwords, for one without, and for
        no account.
        """
        if self.find_app_password is None:
            return None
        while True:  # until nothing changes while it is looked up
            changes = self.changes
            found = await self.find_app_password(name, password)
            account = None if found is None else await self._accounts.get(found[0])
            if found is None or account is None:
                return None
            if changes == self.changes:
                break
        app_password, facts = found[1], account.facts
        self._remembered.remember(
            name, password, account.name, app_password=app_password, facts=facts
        )
        return Admitted(account.name, app_password=app_password, facts=facts)

    def check_unhindered(self, account: Account) -> None:
        """Raise what hinders the owner of an account's password from reading mail, if anything."""
        if (hindrance := self.hindrance(account)) is not None:
            raise hindrance

    async def verify(self, name: bytes, password: bytes) -> Account | None:
        """Give the account whose name and password these are, or None.

        Raises:
            LoginThrottled: too many checks wait already.
            StoreUnavailable: the accounts cannot be read.
        """
        changes = self.changes
        account = await self._find(name)
        right = await self._matches(account, password)
        if not right or account is None:
            return None
        replaces = self._is_outdated(account.password_hash)
        if replaces:
            replaced = await self._replace_hash(account, password)
            if replaced is None:
                return await self.verify(name, password)
            account = replaced
        if self.on_verified is not None:
            await self.on_verified(account, password)
        while changes != self.changes:  # this account, perhaps: does the password still count?
            changes = self.changes
            again = await self._accounts.get(account.name)
            if again is None:
                return None
            if again.password_hash != account.password_hash:
                # Another login may have replaced an outdated hash of the same password.
                return await self.verify(name, password) if replaces else None
            account = again  # what else is known of it may be new
        return account

    async def matches(self, account: Account, password: bytes) -> bool:
        """Whether this is the account's password."""
        return await self._matches(account, password)

    async def matches_hash(self, stored: str, password: bytes) -> bool:
        """Whether a hash that was stored is one of this password, of at most MAX_OCTETS."""
        return await self._matches_hash(stored, password, prepare_password(password))

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_outdated(self, stored: str) -> bool:
        """Whether a hash is not as one that is made now."""
        return is_old(stored) or self._hasher.check_needs_rehash(stored)

    async def _replace_hash(self, account: Account, password: bytes) -> Account | None:
        """Store the hash of a right password as it is made now; give the account as it is then.

        A login does not fail because that cannot be stored now. None says that the account's hash
        is not the old one any more.
        """
        try:
            hashed = await self.hash(password)
            if not await self._accounts.replace_hash(account.name, account.password_hash, hashed):
                return None
        except ServiceError as error:
            log.warning("password hash not replaced", name=account.name, error=str(error))
            return account
        log.info("password hash replaced", name=account.name)
        return replace(account, password_hash=hashed)

    async def _find(self, name: bytes) -> Account | None:
        try:
            return await self._accounts.get(AccountName.parse(name.decode()))
        except (InvalidArgument, UnicodeDecodeError):
            return None

    async def _matches(self, account: Account | None, password: bytes) -> bool:
        too_long = len(password) > MAX_OCTETS
        prepared = b"" if too_long else prepare_password(password)
        hashed = account.password_hash if account and not too_long else self._dummy_hash
        right = await self._matches_hash(hashed, password, prepared)
        return right and account is not None and not too_long

    async def _matches_hash(self, stored: str, password: bytes, prepared: bytes) -> bool:
        if is_old(stored):  # the other server hashed what the client sent
            return await self.in_thread(matches_old, stored, password)
        return await self.in_thread(self._verify, stored, prepared)

    def _verify(self, hashed: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Do what takes a core for a while, off the loop.

        Raises:
            LoginThrottled: too much waits already.
        """
        if self._waiting >= MAX_WAITING:
            raise LoginThrottled
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1
