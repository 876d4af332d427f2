"""APOP (RFC 1939 section 7): secrets of its own, sealed in the database, and the check of digests.

The service must know the secret itself, so it is none of the passwords: those are hashed for good.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from pop3_service.control.plane import Admitted, Evidence
from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidArgument, ServiceUnavailable
from pop3_service.domain.settings import Settings
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.authentication.proof import WrongProof
from pop3_service.supervisor.key_file import BadKey, load_key

if TYPE_CHECKING:
    from pop3_service.supervisor.authentication.sealing import Sealer

NOBODY = "."
"""For whom the secret is sealed that is opened where there is none; no account has that name."""

log = structlog.get_logger()


class Apop:
    """Seals secrets, and checks digests. ``key_path`` is made when it is needed first."""

    def __init__(
        self,
        accounts: AccountStore,
        key_path: Path,
        settings: Callable[[], Settings],
        changes: Callable[[], int],
    ) -> None:
        """``changes`` counts the changes of accounts; what was seen before is read anew."""
        self._changes = changes
        self._accounts = accounts
        self._key_path = key_path
        self._settings = settings
        self._sealer: Sealer | None = None
        self._making = asyncio.Lock()
        self._dummy = b""

    def key_changed(self) -> None:
        """Note that the key's file may be another now."""
        self._sealer = None

    async def seal(self, name: AccountName, secret: bytes) -> bytes:
        """Give a secret as it is stored.

        Raises:
            ServiceUnavailable: the key cannot be used.
        """
        return (await self._ready()).seal(secret, name)

    async def check(self, evidence: Evidence) -> Admitted | WrongProof:
        """Look at name and digest; the state is the timestamp of the greeting.

        An account that is not there, or has no secret, is treated as one with another secret.
        """
        name, _, digest = evidence.response.rpartition(b" ")
        if not self._settings().apop:
            return WrongProof(name, why="APOP is off")
        sealer = await self._ready()
        account, changes = _account_name(name), self._changes()
        sealed = await self._accounts.apop_secret(account)
        secret = self._open(sealer, sealed, account)
        right = hmac.compare_digest(_digest(evidence.state, secret), digest)
        found = await self._accounts.get(account) if right and sealed is not None else None
        if found is None:
            return WrongProof(name)
        if changes != self._changes():  # is it still the secret of this account?
            return await self.check(evidence)
        return Admitted(found.name, facts=found.facts)

    def _open(self, sealer: Sealer, sealed: bytes | None, name: AccountName) -> bytes:
        # Imported already: by who made the sealer.
        from pop3_service.supervisor.authentication import sealing

        if sealed is not None:
            try:
                return sealer.open(sealed, name)
            except sealing.Unsealable:
                log.error("APOP: sealed with another key; set it anew", name=name)
        # A secret that nobody knows: it is opened for the time that this takes.
        return sealer.open(self._dummy, NOBODY) + secrets.token_bytes(16)

    async def _ready(self) -> Sealer:
        async with self._making:  # two at once would each make a key
            if self._sealer is None:
                self._sealer = await asyncio.to_thread(_make_sealer, self._key_path)
                self._dummy = self._sealer.seal(secrets.token_bytes(16), NOBODY)
        return self._sealer


def _make_sealer(path: Path) -> Sealer:
    """Read or make the key. Raises ServiceUnavailable."""
    # Imported here: it takes time and 10 MB, which who has no APOP does not pay.
    from pop3_service.supervisor.authentication import sealing

    try:
        return sealing.Sealer(load_key(path))
    except BadKey as error:
        raise ServiceUnavailable(f"the key of APOP's secrets cannot be used: {error}") from None


def _digest(timestamp: bytes, secret: bytes) -> bytes:
    made = hashlib.md5(timestamp + secret, usedforsecurity=False)  # RFC 1939 has no other
    return made.hexdigest().encode()


def _account_name(octets: bytes) -> AccountName:
    """Prepare a name to look for; what none can be is looked for as a name that nobody has."""
    try:
        return AccountName.parse(octets.decode())
    except (InvalidArgument, UnicodeDecodeError):
        return AccountName(NOBODY)
