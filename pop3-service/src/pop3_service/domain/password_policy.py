"""The password policy: what a new password must be, and how long one lasts."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import PasswordExpired, PasswordHindrance, PasswordMustChange
from pop3_service.domain.passwords import prepare_password
from pop3_service.domain.settings import Settings

LEAST_NAME = 3
"""Characters of a name that a password may be searched for; "a" is in nearly every password."""
_PREFIX = "password_"


@dataclass(frozen=True, slots=True)
class Strength:
    """What an estimator says of a password.

    ``score`` is zxcvbn's, of how many guesses it stands: below 10^3 0, then 1, from 10^6 2, from
    10^8 3, from 10^10 4. ``is_common``: it is one that many people use, or nearly.
    """

    score: int
    is_common: bool


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """The policy in force; each field is the setting of its name behind ``password_``."""

    min_length: int = 1
    min_strength: int = 0
    refuse_common: bool = False
    refuse_name: bool = False
    history: int = 0
    expire_days: int = 0
    reset_must_change: bool = False

    @classmethod
    def of(cls, settings: Settings) -> PasswordPolicy:
        """Give the policy that settings make."""
        return cls(**{item.name: getattr(settings, _PREFIX + item.name) for item in fields(cls)})

    @property
    def asks_estimator(self) -> bool:
        """Whether a new password's strength must be known."""
        return self.min_strength > 0 or self.refuse_common

    def broken_rules(
        self, name: AccountName, password: bytes, strength: Strength | None
    ) -> list[str]:
        """Say, for people, which rules a new password breaks; its history is looked at elsewhere.

        ``strength`` may be None unless ``asks_estimator``.
        """
        text = as_text(password)
        broken = []
        if len(text) < self.min_length:
            broken.append(f"it has fewer than {self.min_length} characters")
        if self.refuse_name and holds_name(text, name):
            broken.append("it holds the account's name")
        if strength is not None and self.refuse_common and strength.is_common:
            broken.append("it is one that many people use")
        if strength is not None and strength.score < self.min_strength:
            broken.append(
                f"it is too easy to guess (strength {strength.score} of 4,"
                f" {self.min_strength} is needed)"
            )
        return broken

    def expire_time(self, account: Account) -> datetime | None:
        """Tell when an account's password expires; None for never."""
        if not self.expire_days:
            return None
        return account.password_since + timedelta(days=self.expire_days)

    def hindrance(self, account: Account, now: datetime) -> PasswordHindrance | None:
        """Tell why a right password opens nothing but its own change, if so."""
        if account.must_change_password:
            return PasswordMustChange(account.name)
        expire_time = self.expire_time(account)
        if expire_time is not None and expire_time <= now:
            return PasswordExpired(account.name)
        return None


def as_text(password: bytes) -> str:
    """Give the characters of a password, as they are counted and looked through."""
    return prepare_password(password).decode("utf-8", "replace")


def holds_name(password: str, name: AccountName) -> bool:
    """Whether a password holds an account's name or what is before its ``@``, also backwards.

    Case and other ways to write the same characters (NFKC) make no difference.
    """
    text = _folded(password)
    for part in {_folded(name), _folded(name.partition("@")[0])}:
        if len(part) >= LEAST_NAME and (part in text or part[::-1] in text):
            return True
    return False


def _folded(text: str) -> str:
    # Folding may undo what NFKC made, and NFKC may make what is to be folded.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).casefold()
