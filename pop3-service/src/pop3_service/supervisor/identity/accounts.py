"""Accounts: made, changed and removed; what was open under the old password ends first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from lineproto.clock import Clock
from pop3_service.control.plane import DisconnectOrder
from pop3_service.domain.account import Account, AccountName, Principal
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import AccountNotFound, InvalidArgument, InvalidCredentials
from pop3_service.domain.password_policy import PasswordPolicy
from pop3_service.domain.passwords import (
    check_apop_secret,
    check_new_password,
    prepare_password,
    random_password,
)
from pop3_service.domain.rights import RoleName
from pop3_service.domain.scram import Verifier
from pop3_service.domain.settings import Settings
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.identity import demo
from pop3_service.supervisor.identity.password_rules import PasswordRules
from pop3_service.supervisor.identity.roles import RolesDesk
from pop3_service.supervisor.identity.tokens import Tokens
from pop3_service.supervisor.mail.maildrops import Maildrops

DEFAULT_ADMIN = "default"
DEFAULT_PASSWORD = b"default"
SHIPPED: dict[str, bytes] = {DEFAULT_ADMIN: DEFAULT_PASSWORD, **dict(demo.ACCOUNTS)}
"""Accounts and passwords that everyone can read in this product's documents."""

log = structlog.get_logger()


def is_shipped(name: str, password: bytes) -> bool:
    """Whether a password is the one that this product ships an account with, however written."""
    return SHIPPED.get(name) == prepare_password(password)


@dataclass(frozen=True, slots=True)
class ResetPassword:
    """The random password that was set, sessions that were ended, whether it must be changed."""

    password: str = field(repr=False)
    ended_sessions: int
    must_change: bool


MakeVerifier = Callable[[AccountName, bytes], Awaitable[Verifier | None]]


class SessionControl(Protocol):
    """Ends POP3 sessions."""

    async def disconnect(self, order: DisconnectOrder) -> int:
        """End sessions on every worker; come back when each has confirmed."""


class AccountsDesk:
    """The use cases of accounts."""

    def __init__(
        self,
        accounts: AccountStore,
        authenticator: Authenticator,
        tokens: Tokens,
        roles: RolesDesk,
        sessions: SessionControl,
        maildrops: Maildrops,
        settings: Callable[[], Settings],
        clock: Clock,
        make_verifier: MakeVerifier,
        seal: Callable[[AccountName, bytes], Awaitable[bytes]],
        rules: PasswordRules,
    ) -> None:
        """``make_verifier`` makes what SCRAM needs of a new password, if anything.

        ``seal`` gives an APOP secret as it is stored.
        """
        self._rules = rules
        self.on_retention_gone: Callable[[], Awaitable[None]] | None = None
        """Called when an account that had a retention of its own was deleted."""
        self.on_deleted: list[Callable[[AccountName], Awaitable[None]]] = []
        """Called for each account that was deleted."""
        self._make_verifier = make_verifier
        self._seal = seal
        self._accounts = accounts
        self._authenticator = authenticator
        self._tokens = tokens
        self._roles = roles
        self._sessions = sessions
        self._maildrops = maildrops
        self._settings = settings
        self._clock = clock

    async def get(self, name: str) -> Account:
        """Give an account, or raise AccountNotFound."""
        account = await self._accounts.get(AccountName.meant(name))
        if account is None:
            raise AccountNotFound(name)
        return account

    async def governed(self, name: str, by: Principal) -> Account:
        """Give an account that the caller is about to change.

        Raises:
            AccountNotFound: there is none of that name.
            PermissionDenied: its role has rights that the caller lacks.
        """
        account = await self.get(name)
        by.require_all(self._roles.rights(account.role), "changing this account")
        return account

    @property
    def password_policy(self) -> PasswordPolicy:
        """The password policy in force."""
        return self._rules.policy

    async def page(self, after: str, size: int) -> tuple[list[Account], int]:
        """Give a page of accounts and the number of all."""
        return await self._accounts.page(after, size), await self._accounts.count()

    async def create(
        self,
        name: str,
        password: bytes,
        role: str,
        by: Principal,
        *,
        must_change: bool = False,
        by_policy: bool = True,
    ) -> Account:
        """Make an account and its Maildir; an admin whose name gives no mail path has none.

        ``must_change`` asks for another password before anything else. Without ``by_policy`` the
        password is not held to the policy.

        Raises:
            InvalidArgument, PasswordRefused, AccountExists, AccountLimit, MaildropUnavailable
            RoleNotFound: there is none of that name.
            PermissionDenied: the role has rights that the caller lacks.
        """
        describe(target=name)
        by.require_all(self._roles.get(role).rights, "giving this role")
        checked = AccountName.parse(name)
        has_maildrop = True
        try:
            self._maildrops.check_name(checked)
        except InvalidArgument:
            if role != RoleName.ADMIN:
                raise
            has_maildrop = False
        if by_policy:
            await self._rules.check(checked, password)
        hashed = await self._authenticator.hash(password)
        is_default = is_shipped(checked, password)
        account = Account(
            checked,
            role,
            hashed,
            self._clock.now(),
            is_default,
            must_change_password=must_change,
        )
        if has_maildrop:
            await self._maildrops.create(checked)
        verifier = await self._make_verifier(checked, password)
        async with self._roles.changing:  # the role may be another one than it was
            by.require_all(self._roles.get(role).rights, "giving this role")
            await self._accounts.insert(account, self._settings().max_accounts, verifier)
        describe(
            target=checked,
            after={
                "role": str(role),
                "maildrop": has_maildrop,
                "must_change_password": must_change,
            },
        )
        log.info("account created", name=str(checked), role=str(role), by=by.name)
        return account

    async def delete(self, name: str, by: Principal, *, delete_mail: bool = False) -> int:
        """Remove an account; give how many of its sessions were ended.

        Raises:
            AccountNotFound, LastAdmin, MaildropUnavailable, PermissionDenied
        """
        describe(target=name)
        async with self._roles.changing:
            account = await self.governed(name, by)
            await self._accounts.delete(account.name, by.name)
        ended = await self._end(account.name)
        self._authenticator.on_deleted(account.name)
        if account.preferences.retention_days and self.on_retention_gone is not None:
            await self.on_retention_gone()
        for forget in self.on_deleted:
            await forget(account.name)
        if delete_mail:
            await self._maildrops.remove(account.name)
        describe(
            before={"role": str(account.role)},
            after={"ended_sessions": ended, "mail_deleted": delete_mail},
        )
        log.info("account deleted", name=account.name, by=by.name, sessions=ended, mail=delete_mail)
        return ended

    async def set_role(self, name: str, role: str, by: Principal) -> int:
        """Give an account another role; give how many of its sessions were ended.

        Raises:
            AccountNotFound, LastAdmin, RoleNotFound
            PermissionDenied: its role, or the new one, has rights that the caller lacks.
        """
        describe(target=name)
        async with self._roles.changing:
            account = await self.governed(name, by)
            by.require_all(self._roles.get(role).rights, "giving this role")
            await self._accounts.set_role(account.name, role)
            self._tokens.set_role(account.name, role)
            self._authenticator.account_changed(account.name)
        ended = await self._disconnect(account.name)
        describe(
            before={"role": str(account.role)},
            after={"role": str(role), "ended_sessions": ended},
        )
        log.info(
            "role given", name=account.name, old=account.role, new=role, by=by.name, sessions=ended
        )
        return ended

    async def reset_password(
        self, name: str, by: Principal, *, must_change: bool = False
    ) -> ResetPassword:
        """Set a random password.

        The account's app passwords are revoked: who lost the account may not know who has them. The
        password must be changed before anything else if ``must_change`` or the policy says so.

        Raises:
            AccountNotFound, PermissionDenied
        """
        describe(target=name)
        account = await self.governed(name, by)
        must_change = must_change or self._rules.policy.reset_must_change
        password = random_password()
        hashed = await self._authenticator.hash(password.encode())
        verifier = await self._make_verifier(account.name, password.encode())
        async with self._roles.changing:
            await self.governed(name, by)  # it may have been given another role meanwhile
            await self._accounts.set_password(
                account.name,
                hashed,
                verifier=verifier,
                time=self._clock.now(),
                must_change=must_change,
                keep=self._rules.kept,
                revoke_app_passwords=True,
            )
        ended = await self._end(account.name)
        describe(
            before={"must_change_password": account.must_change_password},
            after={
                "password": "random",
                "must_change_password": must_change,
                "ended_sessions": ended,
            },
        )
        log.info(
            "password reset", name=account.name, by=by.name, sessions=ended, must_change=must_change
        )
        return ResetPassword(password, ended, must_change)

    async def change_password(
        self, caller: Principal, old: bytes, new: bytes, token: str = ""
    ) -> int:
        """Change the caller's own password; its other sessions end.

        Raises:
            InvalidCredentials: the old password is wrong, or was changed meanwhile.
            InvalidArgument, PasswordRefused: the new one cannot be taken.
        """
        describe(target=caller.name)
        account = await self.get(caller.name)
        if not await self._authenticator.matches(account, old):
            raise InvalidCredentials("the old password is wrong")
        check_new_password(new)
        if prepare_password(old) == prepare_password(new):
            raise InvalidArgument("the new password is the old one")
        await self._rules.check(account.name, new, account)
        hashed = await self._authenticator.hash(new)
        is_default = is_shipped(account.name, new)
        verifier = await self._make_verifier(account.name, new)
        await self._accounts.set_password(
            account.name,
            hashed,
            is_default=is_default,
            verifier=verifier,
            old=account.password_hash,
            time=self._clock.now(),
            keep=self._rules.kept,
        )
        ended = await self._end(account.name, keep=token)
        if token:
            self._tokens.unrestrict(token)
        describe(after={"password": "changed", "ended_sessions": ended})
        log.info("password changed", name=account.name, by=caller.name, sessions=ended)
        return ended

    async def set_apop_secret(self, name: str, secret: str, by: Principal) -> tuple[str, int]:
        """Give an account a secret for APOP; give that and how many sessions were ended.

        Raises:
            AccountNotFound, PermissionDenied
            InvalidArgument: the secret cannot be taken; an empty one means a random one.
            ServiceUnavailable: it cannot be sealed.
        """
        describe(target=name)
        account = await self.governed(name, by)
        secret = secret or random_password()
        check_apop_secret(secret.encode())
        sealed = await self._seal(account.name, secret.encode())
        async with self._roles.changing:
            await self.governed(name, by)  # it may have been given another role meanwhile
            await self._accounts.set_apop_secret(account.name, sealed)
        ended = await self.end_pop3(account.name)
        describe(
            before={"apop": account.has_apop_secret}, after={"apop": True, "ended_sessions": ended}
        )
        log.info("APOP turned on", name=account.name, by=by.name, sessions=ended)
        return secret, ended

    async def remove_apop_secret(self, name: str, by: Principal) -> int:
        """Take an account's secret for APOP away; give how many sessions were ended."""
        describe(target=name)
        async with self._roles.changing:
            account = await self.governed(name, by)
            await self._accounts.set_apop_secret(account.name, None)
        ended = await self.end_pop3(account.name)
        describe(
            before={"apop": account.has_apop_secret}, after={"apop": False, "ended_sessions": ended}
        )
        log.info("APOP turned off", name=account.name, by=by.name, sessions=ended)
        return ended

    async def warnings(self) -> list[str]:
        """Tell what an admin should mend."""
        return [
            f"account {account.name} still has its default password"
            for account in await self._accounts.with_default_password()
        ]

    async def end_pop3(self, name: AccountName) -> int:
        """End an account's POP3 sessions, and what is remembered of its logins, on every worker."""
        self._authenticator.account_changed(name)
        return await self._disconnect(name)

    async def forget_logins(self, name: AccountName) -> None:
        """Drop what is remembered of an account's logins, on every worker; no session ends."""
        self._authenticator.account_changed(name)
        order = DisconnectOrder(account=name, forget=True, keep_sessions=True)
        await self._sessions.disconnect(order)

    async def end(self, name: AccountName) -> int:
        """End an account's logins and sessions; give how many of these."""
        return await self._end(name)

    async def _end(self, name: AccountName, keep: str = "") -> int:
        """End what was opened with the password that counts no more."""
        self._authenticator.account_changed(name)
        self._tokens.end_account(name, keep=keep)
        return await self._disconnect(name)

    async def _disconnect(self, name: AccountName) -> int:
        return await self._sessions.disconnect(DisconnectOrder(account=name, forget=True))
