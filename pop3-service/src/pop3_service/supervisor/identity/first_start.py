"""The first start: on an empty store, the demo's accounts and mail and the first admin are made.

The admin comes last: while there is none, the first start is not over, and the next one goes on.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from pop3_service.config import CHANGE_FIRST, DEFAULT, SECRET
from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import AccountExists, InvalidArgument
from pop3_service.domain.rights import RoleName
from pop3_service.supervisor.identity import demo
from pop3_service.supervisor.identity.accounts import (
    DEFAULT_ADMIN,
    DEFAULT_PASSWORD,
    AccountsDesk,
    is_shipped,
)
from pop3_service.supervisor.mail.maildrops import Maildrops

BY = Principal.system("first start")


@dataclass(frozen=True, slots=True)
class FirstStart:
    """How the service is started the first time."""

    admin_bootstrap: str = DEFAULT
    admin_password: str | None = field(default=None, repr=False)
    with_demo: bool = False

    async def make(self, accounts: AccountsDesk, maildrops: Maildrops) -> None:
        """Make what there is to be, if the store is empty or the first start was cut off.

        Raises:
            InvalidArgument, PasswordRefused: the first admin's password is missing, or not taken.
        """
        if await _is_over(accounts):
            return
        password = self._first_password()
        if self.with_demo:
            await _make_demo(accounts, maildrops)
        is_default = is_shipped(DEFAULT_ADMIN, password)
        await accounts.create(
            DEFAULT_ADMIN,
            password,
            RoleName.ADMIN,
            BY,
            must_change=self.admin_bootstrap == CHANGE_FIRST,
            by_policy=not is_default,
        )
        describe(
            after={
                "admin_bootstrap": self.admin_bootstrap,
                "demo": self.with_demo,
                "default_password": is_default,
            }
        )

    def _first_password(self) -> bytes:
        password = (self.admin_password or "").encode() or DEFAULT_PASSWORD
        if self.admin_bootstrap == SECRET and is_shipped(DEFAULT_ADMIN, password):
            raise InvalidArgument(
                "there is no account yet, and admin_bootstrap is secret: put a password of your own"
                " for the first admin into a file, and its name into POP3_ADMIN_PASSWORD_FILE"
            )
        return password


async def _is_over(accounts: AccountsDesk) -> bool:
    names = {name for name, _ in demo.ACCOUNTS}
    found, _ = await accounts.page("", len(names) + 1)
    return any(it.name not in names or it.role != RoleName.USER for it in found)


async def _make_demo(accounts: AccountsDesk, maildrops: Maildrops) -> None:
    """Make what is not there yet of the demo; mail of others is left alone."""
    for text, password in demo.ACCOUNTS:
        name = AccountName(text)
        with contextlib.suppress(AccountExists):
            await accounts.create(text, password, RoleName.USER, BY, by_policy=False)
        wanted, listed = demo.messages(text), await maildrops.list(name)
        if len(listed) > len(wanted):
            continue
        there = [await _octets(maildrops, name, it.uidl) for it in listed]
        missing = [it for it in wanted if it not in there]
        if len(there) + len(missing) == len(wanted):
            for message in missing:
                await maildrops.put(name, demo.chunks(message))


async def _octets(maildrops: Maildrops, name: AccountName, uidl: str) -> bytes:
    return b"".join([piece async for piece in maildrops.read(name, uidl)])
