"""App passwords: made, listed and revoked; and looked up when a POP3 client logs in.

They are for POP3 alone: a management login never asks here.
"""

from __future__ import annotations

import asyncio
import contextlib
import unicodedata
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime

import structlog

from lineproto.clock import Clock
from pop3_service.domain.account import AccountName
from pop3_service.domain.app_passwords import (
    AppPassword,
    check_app_password_name,
    digest_if_app_password,
    make_app_password,
)
from pop3_service.domain.audit import LoginEvent, describe
from pop3_service.domain.errors import InvalidArgument, ServiceError
from pop3_service.domain.scram import Verifier
from pop3_service.storage.app_passwords import AppPasswordStore, Use

STORE_EACH_S = 5.0
"""How long last uses are collected before they are stored."""
MOST_USES = 10_000
"""App passwords whose last uses wait to be stored; of more the next use is noted."""

log = structlog.get_logger()


class AppPasswordDesk:
    """The use cases of app passwords. ``make_verifier`` makes what SCRAM needs of one."""

    def __init__(
        self,
        stored: AppPasswordStore,
        make_verifier: Callable[[AccountName, bytes], Awaitable[Verifier]],
        end_pop3: Callable[[AccountName], Awaitable[int]],
        clock: Clock,
    ) -> None:
        """``end_pop3`` ends an account's POP3 sessions, and what is remembered of its logins."""
        self._stored = stored
        self._make_verifier = make_verifier
        self._end_pop3 = end_pop3
        self._clock = clock
        self._uses: dict[tuple[str, str], Use] = {}
        self._used = asyncio.Event()
        self._making = asyncio.Lock()

    async def list(self, account: AccountName) -> list[AppPassword]:
        """Give an account's, oldest first."""
        await self._flush()
        return await self._stored.list(account)

    async def create(
        self, account: AccountName, name: str, still_in: Callable[[], object]
    ) -> tuple[AppPassword, str]:
        """Make one; give it and the password, which is told only now.

        ``still_in`` raises a ServiceError when the caller's login has ended meanwhile: then what
        ended it has revoked all app passwords, and this one goes as well.

        Raises:
            InvalidArgument, AccountNotFound, AppPasswordExists, AppPasswordLimit
        """
        describe(target=account)
        made = AppPassword(check_app_password_name(name), self._clock.now())
        password = make_app_password()
        digest = digest_if_app_password(password.encode())
        assert digest is not None  # noqa: S101 - it was made in this shape
        async with self._making:  # the same threads hash what others log in with
            verifier = await self._make_verifier(account, password.encode())
        await self._stored.insert(account, made, digest, verifier)
        try:
            still_in()
        except ServiceError:
            await self._stored.delete(account, made.name)
            raise
        describe(after={"app_password": made.name})
        log.info("app password made", account=account, name=made.name)
        return made, password

    async def revoke(self, account: AccountName, name: str) -> int:
        """Revoke one; give how many POP3 sessions were ended.

        All of the account's end, whatever they were opened with: clients log in again by
        themselves, and nothing has to be known of which session is whose.

        Raises:
            AppPasswordNotFound
        """
        name = unicodedata.normalize("NFC", name)
        describe(target=account, before={"app_password": name})
        await self._stored.delete(account, name)
        ended = await self._end_pop3(account)
        describe(after={"ended_sessions": ended})
        log.info("app password revoked", account=account, name=name, sessions=ended)
        return ended

    async def revoke_all(self, account: AccountName) -> tuple[int, int]:
        """Revoke all; give how many these were and how many POP3 sessions were ended."""
        count = await self._stored.delete_all(account)
        ended = await self._end_pop3(account)
        describe(target=account, before={"app_passwords": count}, after={"ended_sessions": ended})
        log.info("app passwords revoked", account=account, count=count, sessions=ended)
        return count, ended

    async def find(self, name: bytes, password: bytes) -> tuple[AccountName, str] | None:
        """Give whose app password this is, and its name; None if it is none.

        Only a password of that shape is looked for, whoever is named: what it costs says nothing
        of the account.
        """
        digest = digest_if_app_password(password)
        if digest is None:
            return None
        try:
            account = AccountName.parse(name.decode())
        except (InvalidArgument, UnicodeDecodeError):
            return None
        found = await self._stored.find(account, digest)
        return None if found is None else (account, found)

    # --- last uses --------------------

    def note_logins(self, events: Iterable[LoginEvent]) -> None:
        """Note which app passwords logins were made with; they are stored within a while."""
        for event in events:
            if event.app_password and not event.reason and len(self._uses) < MOST_USES:
                time = datetime.fromtimestamp(event.time_s, UTC)
                key = event.account, event.app_password
                self._uses[key] = Use(event.account, event.app_password, time, event.peer)
                self._used.set()

    @contextlib.asynccontextmanager
    async def storing(self) -> AsyncIterator[None]:
        """Store last uses until the end of the block, and what is left then."""
        task = asyncio.create_task(self._store_uses())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._flush()

    async def _store_uses(self) -> None:
        while True:
            await self._used.wait()
            await self._clock.sleep(STORE_EACH_S)
            await self._flush()

    async def _flush(self) -> None:
        self._used.clear()
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            await self._stored.note_uses(uses.values())
        except ServiceError as error:
            log.warning("last uses of app passwords not stored", reason=str(error))
