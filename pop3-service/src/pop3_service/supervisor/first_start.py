"""The first start: on an empty store, the first admin and the demo's accounts and mail are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from pop3_service.config import CHANGE_FIRST, DEFAULT, SECRET
from pop3_service.domain.account import Principal
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.rights import RoleName
from pop3_service.supervisor import demo
from pop3_service.supervisor.accounts import DEFAULT_ADMIN, DEFAULT_PASSWORD, AccountsDesk
from pop3_service.supervisor.maildrops import Maildrops

BY = Principal.system("first start")


@dataclass(frozen=True, slots=True)
class FirstStart:
    """How the service is started the first time."""

    admin_bootstrap: str = DEFAULT
    admin_password: str | None = field(default=None, repr=False)
    with_demo: bool = False

    async def make(self, accounts: AccountsDesk, maildrops: Maildrops) -> None:
        """Make what there is to be, if the store is empty.

        Raises:
            InvalidArgument, PasswordRefused: the first admin's password is missing, or not taken.
        """
        _, count = await accounts.page("", 1)
        if count:
            return
        password = self._first_password()
        await accounts.create(
            DEFAULT_ADMIN,
            password,
            RoleName.ADMIN,
            BY,
            must_change=self.admin_bootstrap == CHANGE_FIRST,
            by_policy=password != DEFAULT_PASSWORD,
        )
        is_default = password == DEFAULT_PASSWORD
        describe(
            after={
                "admin_bootstrap": self.admin_bootstrap,
                "demo": self.with_demo,
                "default_password": is_default,
            }
        )
        if self.with_demo:
            await _make_demo(accounts, maildrops)

    def _first_password(self) -> bytes:
        password = (self.admin_password or "").encode() or DEFAULT_PASSWORD
        if self.admin_bootstrap == SECRET and password == DEFAULT_PASSWORD:
            raise InvalidArgument(
                "there is no account yet, and admin_bootstrap is secret: put a password of your own"
                " for the first admin into a file, and its name into POP3_ADMIN_PASSWORD_FILE"
            )
        return password


async def _make_demo(accounts: AccountsDesk, maildrops: Maildrops) -> None:
    for name, password in demo.ACCOUNTS:
        account = await accounts.create(name, password, RoleName.USER, BY, by_policy=False)
        if not await maildrops.list(account.name):
            for message in demo.messages(name):
                await maildrops.put(account.name, demo.chunks(message))
