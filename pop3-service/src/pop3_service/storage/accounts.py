"""The accounts, as they are stored."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, Select, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import (
    AccountExists,
    AccountLimit,
    AccountNotFound,
    InvalidCredentials,
    LastAdmin,
    RoleNotFound,
)
from pop3_service.domain.preferences import NO_PREFERENCES
from pop3_service.domain.rights import BUILT_IN, RoleName
from pop3_service.domain.scram import Verifier
from pop3_service.domain.subject import Scope, Subject
from pop3_service.storage import old_passwords, tables
from pop3_service.storage.app_passwords import app_passwords
from pop3_service.storage.preferences import preferences, read_preferences
from pop3_service.storage.transactions import to_the_end, transaction
from pop3_service.storage.transforms import end_activations

_ACCOUNTS = select(
    tables.accounts,
    exists().where(tables.apop_secrets.c.account == tables.accounts.c.name).label("has_apop"),
    *(preferences.c[name] for name in ("language", "retention_days", "transform")),
).outerjoin(preferences, preferences.c.account == tables.accounts.c.name)
NAMES_AT_A_TIME = 500
"""Names that one query looks for."""


@to_the_end
class AccountStore:
    """The accounts."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def get(self, name: str) -> Account | None:
        """Give an account, or None."""
        async with transaction(self._engine) as connection:
            query = _ACCOUNTS.where(tables.accounts.c.name == name)
            row = (await connection.execute(query)).first()
        return _account(row) if row else None

    async def page(self, after: str, size: int, *, with_retention: bool = False) -> list[Account]:
        """Give accounts in order of name, those after a name, at most ``size``.

        ``with_retention`` leaves out those that have no retention of their own.
        """
        query = _ACCOUNTS.where(tables.accounts.c.name > after)
        if with_retention:
            query = query.where(preferences.c.retention_days > 0)
        return await self._all(query.order_by(tables.accounts.c.name).limit(size))

    async def count(self) -> int:
        """Count the accounts."""
        async with transaction(self._engine) as connection:
            return await _count(connection)

    async def with_default_password(self) -> list[Account]:
        """Give the accounts whose password this product ships with."""
        query = _ACCOUNTS.where(tables.accounts.c.has_default_password)
        return await self._all(query.order_by(tables.accounts.c.name))

    async def insert(
        self, account: Account, maximum: int, verifier: Verifier | None = None
    ) -> None:
        """Add an account; the count is checked in the same transaction.

        ``verifier`` is of the same password as its hash.

        Raises:
            AccountExists: the name is taken.
            AccountLimit: there are ``maximum`` already.
        """
        try:
            async with transaction(self._engine) as connection:
                full = await _count(connection) >= maximum
                await _require_role(connection, account.role)
                await connection.execute(insert(tables.accounts).values(_values(account)))
                await _put_verifier(connection, account.name, verifier)
                if full:  # after the insert, so that a taken name is told as such
                    raise AccountLimit(maximum)
        except IntegrityError:
            raise AccountExists(account.name) from None

    async def existing(self, names: Collection[str]) -> set[str]:
        """Give those of these names that are taken."""
        async with transaction(self._engine) as connection:
            return await _existing(connection, names)

    async def roles_of(self, names: Collection[str]) -> dict[str, str]:
        """Give the role of each of these accounts that is there."""
        async with transaction(self._engine) as connection:
            return await _roles(connection, names)

    async def would_insert(self, names: Collection[str], maximum: int) -> set[str]:
        """Tell what ``insert_all`` would: give the names that are taken, or raise AccountLimit."""
        async with transaction(self._engine) as connection:
            return await _admit(connection, names, maximum)

    async def insert_all(self, accounts: Sequence[Account], maximum: int) -> set[str]:
        """Add accounts, all whose names are free or none; give the names that are taken.

        Raises:
            AccountLimit: with these there would be more than ``maximum``.
        """
        async with transaction(self._engine) as connection:
            existing = await _admit(connection, [it.name for it in accounts], maximum)
            rows = [_values(it) for it in accounts if it.name not in existing]
            if rows:
                await connection.execute(insert(tables.accounts), rows)
            return existing

    async def delete(self, name: str, by: str = "") -> None:
        """Remove an account; what transform is active for it alone ends.

        Raises:
            AccountNotFound: there is none of that name.
            LastAdmin: no admin would be left.
        """
        columns = tables.accounts.c
        async with transaction(self._engine) as connection:
            await keep_an_admin(connection, name)
            await end_activations(connection, Subject(Scope.ACCOUNT, name), by)
            await connection.execute(delete(tables.accounts).where(columns.name == name))

    async def set_role(self, name: str, role: str) -> None:
        """Give an account a role.

        Raises:
            AccountNotFound: there is none of that name.
            RoleNotFound: the role was removed meanwhile.
            LastAdmin: no admin would be left.
        """
        columns = tables.accounts.c
        async with transaction(self._engine) as connection:
            if role != RoleName.ADMIN:
                await keep_an_admin(connection, name)
            await _require_role(connection, role)
            change = update(tables.accounts).where(columns.name == name).values(role=role)
            if not (await connection.execute(change)).rowcount:
                raise AccountNotFound(name)

    async def set_password(
        self,
        name: str,
        password_hash: str,
        *,
        is_default: bool = False,
        verifier: Verifier | None = None,
        old: str | None = None,
        revoke_app_passwords: bool = False,
        time: datetime | None = None,
        must_change: bool = False,
        keep: int = 0,
    ) -> None:
        """Set a password at a time; ``is_default`` says that this product ships with it.

        The verifier of the password before goes in the same transaction. ``old`` is the hash that
        must be there until then; None for any. ``keep`` hashes of those before stay known.

        Raises:
            AccountNotFound: there is no account of that name.
            InvalidCredentials: the hash is not the old one any more.
        """
        columns = tables.accounts.c
        async with transaction(self._engine) as connection:
            query = select(columns.password_hash).where(columns.name == name)
            found = await connection.scalar(query)
            if found is None:
                raise AccountNotFound(name)
            if old is not None and found != old:
                raise InvalidCredentials("the password was changed meanwhile")
            await connection.execute(
                update(tables.accounts)
                .where(columns.name == name)
                .values(
                    password_hash=password_hash,
                    has_default_password=is_default,
                    must_change_password=must_change,
                    password_time=_stored(time),
                )
            )
            await old_passwords.push(connection, name, found, keep)
            await _put_verifier(connection, name, verifier)
            if revoke_app_passwords:
                await connection.execute(
                    delete(app_passwords).where(app_passwords.c.account == name)
                )

    async def old_passwords(self, name: str) -> list[str]:
        """Give the hashes of the passwords before the one in place, the newest first."""
        async with transaction(self._engine) as connection:
            return await old_passwords.of(connection, name)

    async def verifier(self, name: str) -> Verifier | None:
        """Give an account's verifier, or None."""
        columns = tables.scram_verifiers.c
        async with transaction(self._engine) as connection:
            query = select(tables.scram_verifiers).where(columns.account == name)
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return Verifier(row.salt, row.iterations, row.stored_key, row.server_key)

    async def put_verifier(self, account: Account, verifier: Verifier) -> None:
        """Store a verifier, unless the account has another password by now, or is gone."""
        columns = tables.accounts.c
        async with transaction(self._engine) as connection:
            query = select(columns.password_hash).where(columns.name == str(account.name))
            if await connection.scalar(query) == account.password_hash:
                await _put_verifier(connection, account.name, verifier)

    async def apop_secret(self, name: str) -> bytes | None:
        """Give an account's sealed secret of APOP, or None."""
        columns = tables.apop_secrets.c
        async with transaction(self._engine) as connection:
            query = select(columns.sealed).where(columns.account == name)
            sealed: bytes | None = await connection.scalar(query)
        return sealed

    async def set_apop_secret(self, name: str, sealed: bytes | None) -> None:
        """Store a sealed secret in place of the one before; None leaves none.

        Raises:
            AccountNotFound: there is no account of that name.
        """
        columns = tables.apop_secrets.c
        async with transaction(self._engine) as connection:
            known = select(tables.accounts.c.name).where(tables.accounts.c.name == name)
            if await connection.scalar(known) is None:
                raise AccountNotFound(name)
            await connection.execute(delete(tables.apop_secrets).where(columns.account == name))
            if sealed is not None:
                values = {"account": str(name), "sealed": sealed}
                await connection.execute(insert(tables.apop_secrets).values(values))

    async def replace_hash(self, name: str, old: str, new: str) -> bool:
        """Store a password's hash anew, unless it is not the old one any more; tell which."""
        columns = tables.accounts.c
        async with transaction(self._engine) as connection:
            result = await connection.execute(
                update(tables.accounts)
                .where(columns.name == name, columns.password_hash == old)
                .values(password_hash=new)
            )
            return result.rowcount > 0

    async def _all(self, query: Select[Any]) -> list[Account]:
        async with transaction(self._engine) as connection:
            return [_account(row) for row in await connection.execute(query)]


async def keep_an_admin(connection: AsyncConnection, name: str) -> None:
    """Refuse to lose the last admin who is not suspended; the account must be there.

    Raises:
        AccountNotFound: there is none of that name.
        LastAdmin: no other admin could log in.
    """
    columns = tables.accounts.c
    role = await connection.scalar(select(columns.role).where(columns.name == name))
    if role is None:
        raise AccountNotFound(name)
    suspended = exists().where(tables.suspensions.c.account == columns.name)
    others = select(columns.name).where(
        columns.role == RoleName.ADMIN.value, columns.name != str(name), ~suspended
    )
    if role == RoleName.ADMIN and await connection.scalar(others.limit(1)) is None:
        raise LastAdmin(name)


async def _require_role(connection: AsyncConnection, role: str) -> None:
    """See that a role is still there."""
    known = select(tables.roles.c.name).where(tables.roles.c.name == role)
    if role not in BUILT_IN and await connection.scalar(known) is None:
        raise RoleNotFound(role)


async def _admit(connection: AsyncConnection, names: Collection[str], maximum: int) -> set[str]:
    """Give the names that are taken; with the others there must not be too many accounts."""
    existing = await _existing(connection, names)
    if len(names) > len(existing) and (
        await _count(connection) + len(names) - len(existing) > maximum
    ):
        raise AccountLimit(maximum)
    return existing


async def _existing(connection: AsyncConnection, names: Collection[str]) -> set[str]:
    return set(await _roles(connection, names))


async def _roles(connection: AsyncConnection, names: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    table = tables.accounts.c
    rest = iter([str(name) for name in names])
    while some := list(itertools.islice(rest, NAMES_AT_A_TIME)):
        query = select(table.name, table.role).where(table.name.in_(some))
        found.update((row.name, row.role) for row in await connection.execute(query))
    return found


async def _count(connection: AsyncConnection) -> int:
    return await connection.scalar(select(func.count()).select_from(tables.accounts)) or 0


async def _put_verifier(connection: AsyncConnection, name: str, verifier: Verifier | None) -> None:
    """Replace an account's verifier; None leaves it without one."""
    table = tables.scram_verifiers
    await connection.execute(delete(table).where(table.c.account == str(name)))
    if verifier is not None:
        values = {
            "salt": verifier.salt,
            "iterations": verifier.iterations,
            "stored_key": verifier.stored_key,
            "server_key": verifier.server_key,
        }
        await connection.execute(insert(table).values(account=str(name), **values))


def _values(account: Account) -> dict[str, Any]:
    return {
        "name": str(account.name),
        "role": str(account.role),
        "password_hash": account.password_hash,
        "create_time": _stored(account.create_time),
        "has_default_password": account.has_default_password,
        "must_change_password": account.must_change_password,
        "password_time": _stored(account.password_time),
    }


def _stored(time: datetime | None) -> datetime | None:
    return time.astimezone(UTC).replace(tzinfo=None) if time else None


def _account(row: Row[Any]) -> Account:
    return Account(
        AccountName(row.name),
        row.role,
        row.password_hash,
        row.create_time.replace(tzinfo=UTC),
        row.has_default_password,
        bool(row.has_apop),
        NO_PREFERENCES if row.language is None else read_preferences(row),
        row.must_change_password,
        row.password_time.replace(tzinfo=UTC) if row.password_time else None,
    )
