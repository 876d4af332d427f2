"""App passwords, as they are stored: by their SHA-256, with what SCRAM needs of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    UniqueConstraint,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pop3_service.domain.app_passwords import MOST, AppPassword
from pop3_service.domain.errors import (
    AccountNotFound,
    AppPasswordExists,
    AppPasswordLimit,
    AppPasswordNotFound,
)
from pop3_service.domain.scram import Verifier
from pop3_service.storage import tables
from pop3_service.storage.revoked import note_revoked
from pop3_service.storage.transactions import to_the_end, transaction

app_passwords = Table(
    "app_passwords",
    tables.metadata,
    Column(
        "account", String(255), ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True
    ),
    Column("name", String(64), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("iterations", Integer, nullable=False),
    Column("stored_key", LargeBinary, nullable=False),
    Column("server_key", LargeBinary, nullable=False),
    Column("create_time", DateTime, nullable=False),
    Column("last_use_time", DateTime),
    Column("last_use_peer", String(64), nullable=False),
    UniqueConstraint("account", "digest", name="uq_app_passwords_digest"),
)
_C = app_passwords.c


@dataclass(frozen=True, slots=True)
class Use:
    """A login with an app password: whose, of what name, when, and from where."""

    account: str
    name: str
    time: datetime
    peer: str


@to_the_end
class AppPasswordStore:
    """The app passwords of all accounts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def list(self, account: str) -> list[AppPassword]:
        """Give an account's, oldest first."""
        query = select(app_passwords).where(_C.account == account)
        async with transaction(self._engine) as connection:
            rows = await connection.execute(query.order_by(_C.create_time, _C.name))
            return [_app_password(row) for row in rows]

    async def find(self, account: str, digest: bytes) -> str | None:
        """Give the name of the account's app password with this hash, or None."""
        query = select(_C.name).where(_C.account == account, _C.digest == digest)
        async with transaction(self._engine) as connection:
            found: str | None = await connection.scalar(query)
        return found

    async def verifiers(self, account: str) -> dict[str, Verifier]:
        """Give what SCRAM needs of each, by name."""
        query = select(app_passwords).where(_C.account == account)
        async with transaction(self._engine) as connection:
            return {
                row.name: Verifier(row.salt, row.iterations, row.stored_key, row.server_key)
                for row in await connection.execute(query)
            }

    async def insert(
        self, account: str, made: AppPassword, digest: bytes, verifier: Verifier
    ) -> None:
        """Store a new one.

        Raises:
            AccountNotFound, AppPasswordExists
            AppPasswordLimit: the account has as many as it may.
        """
        try:
            async with transaction(self._engine) as connection:
                known = select(tables.accounts.c.name).where(tables.accounts.c.name == account)
                if await connection.scalar(known) is None:
                    raise AccountNotFound(account)
                await connection.execute(
                    insert(app_passwords).values(
                        account=str(account),
                        name=made.name,
                        digest=digest,
                        salt=verifier.salt,
                        iterations=verifier.iterations,
                        stored_key=verifier.stored_key,
                        server_key=verifier.server_key,
                        create_time=_stored(made.create_time),
                        last_use_peer="",
                    )
                )
                count = select(func.count()).where(_C.account == account)
                if (await connection.scalar(count) or 0) > MOST:
                    raise AppPasswordLimit(MOST)
        except IntegrityError:
            raise AppPasswordExists(made.name) from None

    async def delete(self, account: str, name: str) -> None:
        """Remove one, and keep that it is revoked.

        Raises:
            AppPasswordNotFound: there is none of that name.
        """
        async with transaction(self._engine) as connection:
            if not await _revoke(connection, account, _C.name == name):
                raise AppPasswordNotFound(name)

    async def delete_all(self, account: str) -> int:
        """Remove all of an account, and keep that they are revoked; give how many."""
        async with transaction(self._engine) as connection:
            return await _revoke(connection, account)

    async def note_uses(self, uses: Iterable[Use]) -> None:
        """Store the last use of each; one that is gone, or was used later, stays as it is."""
        async with transaction(self._engine) as connection:
            for use in uses:
                time = _stored(use.time)
                earlier = or_(_C.last_use_time.is_(None), _C.last_use_time <= time)
                await connection.execute(
                    update(app_passwords)
                    .where(_C.account == use.account, _C.name == use.name, earlier)
                    .values(last_use_time=time, last_use_peer=use.peer[:64])
                )


async def _revoke(connection: AsyncConnection, account: str, *which: ColumnElement[bool]) -> int:
    of_it = (_C.account == account, *which)
    digests = [row.digest for row in await connection.execute(select(_C.digest).where(*of_it))]
    await connection.execute(delete(app_passwords).where(*of_it))
    await note_revoked(connection, digests, account)
    return len(digests)


def _stored(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)


def _app_password(row: Row[Any]) -> AppPassword:
    last_use = row.last_use_time
    return AppPassword(
        row.name,
        row.create_time.replace(tzinfo=UTC),
        None if last_use is None else last_use.replace(tzinfo=UTC),
        row.last_use_peer,
    )
