"""App passwords: made, listed and revoked; and looked up when a POP3 client logs in.

They are for POP3 alone: a management login never asks here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import structlog

from lineproto.clock import Clock
from pop3_service.domain.account import AccountName
from pop3_service.domain.app_passwords import (
    AppPassword,
    check_app_password_name,
    digest_if_app_password,
    make_app_password,
)
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.scram import Verifier
from pop3_service.storage.app_passwords import AppPasswordStore, Use

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

    async def list(self, account: AccountName) -> list[AppPassword]:
        """Give an account's, oldest first."""
        return await self._stored.list(account)

    async def create(self, account: AccountName, name: str) -> tuple[AppPassword, str]:
        """Make one; give it and the password, which is told only now.

        Raises:
            InvalidArgument, AccountNotFound, AppPasswordExists, AppPasswordLimit
        """
        made = AppPassword(check_app_password_name(name), self._clock.now())
        password = make_app_password()
        digest = digest_if_app_password(password.encode())
        assert digest is not None  # noqa: S101 - it was made in this shape
        verifier = await self._make_verifier(account, password.encode())
        await self._stored.insert(account, made, digest, verifier)
        describe(target=account, after={"app_password": made.name})
        log.info("app password made", account=account, name=made.name)
        return made, password

    async def revoke(self, account: AccountName, name: str) -> int:
        """Revoke one; give how many POP3 sessions were ended.

        All of the account's end, whatever they were opened with: clients log in again by
        themselves, and nothing has to be known of which session is whose.

        Raises:
            AppPasswordNotFound
        """
        await self._stored.delete(account, name)
        ended = await self._end_pop3(account)
        describe(target=account, before={"app_password": name})
        log.info("app password revoked", account=account, name=name, sessions=ended)
        return ended

    async def revoke_all(self, account: AccountName) -> tuple[int, int]:
        """Revoke all; give how many these were and how many POP3 sessions were ended."""
        count = await self._stored.delete_all(account)
        ended = await self._end_pop3(account)
        describe(target=account, before={"app_passwords": count})
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

    async def note_uses(self, uses: Iterable[Use]) -> None:
        """Keep when and from where each was used last."""
        await self._stored.note_uses(uses)
