"""Holds new passwords to the policy: the rules, the estimator, and the passwords before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from lineproto.clock import Clock
from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import PasswordHindrance, PasswordRefused
from pop3_service.domain.password_policy import PasswordPolicy, Strength
from pop3_service.domain.passwords import check_new_password
from pop3_service.domain.settings import Settings
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.authentication.authenticator import Authenticator

Estimate = Callable[[AccountName, bytes], Awaitable[Strength]]


class PasswordRules:
    """The policy, by the settings of now."""

    def __init__(
        self,
        accounts: AccountStore,
        authenticator: Authenticator,
        settings: Callable[[], Settings],
        clock: Clock,
        estimate: Estimate,
    ) -> None:
        self._clock = clock
        self._accounts = accounts
        self._authenticator = authenticator
        self._settings = settings
        self._estimate = estimate

    @property
    def policy(self) -> PasswordPolicy:
        """The policy in force."""
        return PasswordPolicy.of(self._settings())

    def hindrance(self, account: Account) -> PasswordHindrance | None:
        """Tell why an account's right password opens nothing but its own change, if so."""
        return self.policy.hindrance(account, self._clock.now())

    def has_expired(self, password_time_s: float) -> bool:
        """Whether a password that was set at that Unix time lasts no longer."""
        return self._settings().has_expired(password_time_s, self._clock.now().timestamp())

    @property
    def kept(self) -> int:
        """How many hashes stay known besides the one of the password in place."""
        return max(self.policy.history - 1, 0)

    async def check(
        self, name: AccountName, password: bytes, account: Account | None = None
    ) -> None:
        """Check a password that is to be set, for an account that is there already or not.

        Raises:
            InvalidArgument: it cannot be a password at all.
            PasswordRefused: it breaks rules of the policy, which are all told.
            ServiceUnavailable: its strength cannot be estimated.
        """
        check_new_password(password)
        policy = self.policy
        strength = await self._estimate(name, password) if policy.asks_estimator else None
        broken = policy.broken_rules(name, password, strength)
        if account is not None and await self._was_used(account, password, policy.history):
            broken.append(f"it is one of the last {policy.history} passwords")
        if broken:
            raise PasswordRefused(broken)

    async def _was_used(self, account: Account, password: bytes, history: int) -> bool:
        if history < 1:
            return False
        before = (await self._accounts.old_passwords(account.name))[: history - 1]
        for stored in (account.password_hash, *before):
            if await self._authenticator.matches_hash(stored, password):
                return True
        return False
