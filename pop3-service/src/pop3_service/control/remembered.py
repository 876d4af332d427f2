"""Logins verified a moment ago: who polls again and again is not hashed again each time.

What is kept is a keyed hash of name and password; the key is made at the start and never leaves
the process. An account that changes is forgotten, before its change is answered.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from lineproto.clock import Clock
from pop3_service.domain.account import USER_FACTS, AccountFacts

MAX_LOGINS = 20_000
"""Logins remembered; then the oldest are forgotten."""


class RememberedLogin(NamedTuple):
    """Whose login it is, and when its password was hashed, by the monotonic clock.

    ``app_password`` is the name of the one that it was, if any.
    """

    account: str
    verify_time_s: float
    app_password: str = ""
    facts: AccountFacts = USER_FACTS


class RememberedLogins:
    """Verified names and passwords, for a short time and up to a number.

    ``lifetime_s`` gives the seconds from a verification until the next, as the settings have them
    now; 0 means that nothing is remembered.
    """

    def __init__(
        self, clock: Clock, lifetime_s: Callable[[], float], *, limit: int = MAX_LOGINS
    ) -> None:
        self._clock = clock
        self._lifetime_s = lifetime_s
        self._limit = limit
        self._key = secrets.token_bytes(32)
        self._logins: OrderedDict[bytes, RememberedLogin] = OrderedDict()
        self._by_account: dict[str, set[bytes]] = {}
        self.changes = 0
        """Counts what is forgotten: what is verified meanwhile may be outdated already."""

    def find(self, name: bytes, password: bytes) -> RememberedLogin | None:
        """Give the login that was verified by these a moment ago; None says nothing."""
        lifetime_s = self._lifetime_s()
        if not lifetime_s:
            return None
        digest = self._digest(name, password)
        login = self._logins.get(digest)
        if login is None:
            return None
        if login.verify_time_s + lifetime_s < self._clock.monotonic():
            self._drop(digest, login)
            return None
        return login

    def remember(
        self,
        name: bytes,
        password: bytes,
        account: str,
        age_s: float = 0.0,
        app_password: str = "",
        facts: AccountFacts = USER_FACTS,
    ) -> None:
        """Note that these were verified, so many seconds ago."""
        if not self._lifetime_s():
            self.forget_all()
            return
        digest = self._digest(name, password)
        verify_time_s = self._clock.monotonic() - age_s
        login = RememberedLogin(account, verify_time_s, app_password, facts)
        self._logins[digest] = login
        self._logins.move_to_end(digest)
        self._by_account.setdefault(account, set()).add(digest)
        if len(self._logins) > self._limit:
            oldest = next(iter(self._logins))
            self._drop(oldest, self._logins[oldest])

    def forget(self, account: str) -> None:
        """Drop what is known of an account."""
        self.changes += 1
        for digest in self._by_account.pop(account, ()):
            del self._logins[digest]

    def forget_all(self) -> None:
        """Drop what is known of everybody."""
        self.changes += 1
        self._logins.clear()
        self._by_account.clear()

    def _drop(self, digest: bytes, login: RememberedLogin) -> None:
        del self._logins[digest]
        digests = self._by_account[login.account]
        digests.discard(digest)
        if not digests:
            del self._by_account[login.account]

    def _digest(self, name: bytes, password: bytes) -> bytes:
        # The name's length parts the two: no other pair gives the same octets.
        octets = b"%d %b%b" % (len(name), name, password)
        return hashlib.blake2b(octets, key=self._key, digest_size=16).digest()
