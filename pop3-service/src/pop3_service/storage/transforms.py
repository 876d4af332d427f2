"""Transforms and for whom they are active, as they are stored: nothing of it is ever changed.

A version that is deleted and an activation that has ended stay for the history, which is bounded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from pop3_service.domain.errors import (
    AccountNotFound,
    InvalidArgument,
    RoleNotFound,
    ServiceUnavailable,
    TransformInUse,
    TransformNotFound,
)
from pop3_service.domain.rights import BUILT_IN
from pop3_service.domain.subject import Scope, Subject
from pop3_service.domain.transforms import (
    MAX_NAMES,
    Activation,
    ActivationEnd,
    ActivationRecord,
    EndReason,
    Mode,
    Transform,
    TransformCount,
)
from pop3_service.storage import tables
from pop3_service.storage.transactions import to_the_end, transaction
from pop3_service.storage.transform_history import (
    cut_activations,
    cut_versions,
    removed_activations,
    removed_versions,
)
from pop3_service.storage.transform_rows import (
    FORMER,
    NEW,
    activation_values,
    count_text,
    end_values,
    record_of,
    stored_time,
    subject_of,
    transform_of,
)

_T = tables.transforms
_A = tables.transform_activations
_FORMER = _T.alias("formers")
_VERSIONS = select(_T).where(_T.c.delete_time.is_(None))
_RECORDS = (
    select(
        _A,
        *(column.label(NEW + column.name) for column in _T.c),
        *(column.label(FORMER + column.name) for column in _FORMER.c),
    )
    .outerjoin(_T, _T.c.id == _A.c.transform)
    .outerjoin(_FORMER, _FORMER.c.id == _A.c.former)
)
_IN_FORCE = _A.c.end_time.is_(None)


@to_the_end
class TransformStore:
    """All versions of transforms, and all activations there were."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    # --- versions --------------------

    async def latest(self, after: str, size: int) -> tuple[list[Transform], int]:
        """Give latest versions in order of name, those after a name, and how many names there are.

        Unnamed ones are not among them.
        """
        newest = (
            select(func.max(_T.c.id))
            .where(_T.c.delete_time.is_(None), _T.c.name != "")
            .group_by(_T.c.name)
        )
        query = _VERSIONS.where(_T.c.id.in_(newest), _T.c.name > after)
        async with transaction(self._engine) as connection:
            rows = await connection.execute(query.order_by(_T.c.name).limit(size))
            found = [transform_of(row) for row in rows]
            names = select(func.count()).select_from(newest.subquery())
            return found, await connection.scalar(names) or 0

    async def versions(self, name: str, skip: int, size: int) -> tuple[list[Transform], int]:
        """Give versions of a name, the newest first, and how many there are."""
        query = _VERSIONS.where(_T.c.name == name)
        async with transaction(self._engine) as connection:
            rows = await connection.execute(
                query.order_by(_T.c.version.desc()).offset(skip).limit(size)
            )
            found = [transform_of(row) for row in rows]
            count = select(func.count()).select_from(query.subquery())
            return found, await connection.scalar(count) or 0

    async def removed_versions(self, name: str) -> int:
        """Count the versions of a name that are not kept any more."""
        async with transaction(self._engine) as connection:
            return await connection.scalar(removed_versions(name)) or 0

    async def get(self, name: str, version: int = 0) -> Transform | None:
        """Give a version, or the latest for 0; None if it is not there."""
        query = _VERSIONS.where(_T.c.name == name)
        if version:
            query = query.where(_T.c.version == version)
        async with transaction(self._engine) as connection:
            rows = await connection.execute(query.order_by(_T.c.version.desc()).limit(1))
            row = rows.first()
        return transform_of(row) if row else None

    async def insert(self, transform: Transform) -> Transform:
        """Add the next version of its name; give it with its id and number.

        Raises:
            InvalidArgument: it is a new name, and there are ``MAX_NAMES`` already.
        """
        live = select(_T.c.name).where(_T.c.delete_time.is_(None), _T.c.name != "")
        others = live.where(_T.c.name != transform.name).distinct().subquery()
        async with transaction(self._engine) as connection:
            if await connection.scalar(live.where(_T.c.name == transform.name).limit(1)) is None:
                count = await connection.scalar(select(func.count()).select_from(others)) or 0
                if count >= MAX_NAMES:
                    raise InvalidArgument(f"there are {MAX_NAMES} transforms already; delete some")
            return await _insert(connection, transform)

    async def delete(self, name: str, time_s: float) -> int:
        """Delete all versions of a name; give how many.

        Raises:
            TransformNotFound: there are none.
            TransformInUse: one of them is active, or holds beside a shadow or a canary.
        """
        versions = select(_T.c.id).where(_T.c.name == name)
        beside = and_(_A.c.mode != Mode.ON.value, _A.c.former.in_(versions))
        in_use = _RECORDS.where(_IN_FORCE, _A.c.transform.in_(versions) | beside)
        async with transaction(self._engine) as connection:
            if row := (await connection.execute(in_use.limit(1))).first():
                raise TransformInUse(name, subject_of(row))
            result = await connection.execute(
                update(_T)
                .where(_T.c.name == name, _T.c.delete_time.is_(None))
                .values(delete_time=stored_time(time_s))
            )
            if not result.rowcount:
                raise TransformNotFound(name)
            return result.rowcount

    # --- activations --------------------

    async def in_force(self) -> list[ActivationRecord]:
        """Give what is active."""
        return await self._records(_RECORDS.where(_IN_FORCE).order_by(_A.c.id))

    async def past(
        self, subject: Subject | None, skip: int, size: int
    ) -> tuple[list[ActivationRecord], int]:
        """Give what was active, the newest first, and how many there are; None for all subjects."""
        query = _RECORDS.where(~_IN_FORCE)
        if subject is not None:
            query = query.where(_is_for(subject))
        found = await self._records(query.order_by(_A.c.id.desc()).offset(skip).limit(size))
        async with transaction(self._engine) as connection:
            count = select(func.count()).select_from(query.subquery())
            return found, await connection.scalar(count) or 0

    async def removed_activations(self) -> int:
        """Count the activations that are not kept any more, of all subjects."""
        async with transaction(self._engine) as connection:
            return await connection.scalar(removed_activations()) or 0

    async def activation(self, number: int) -> Activation | None:
        """Give an activation, in force or past, by its id."""
        found = await self._records(_RECORDS.where(_A.c.id == number))
        return found[0].activation if found else None

    async def begin(self, ended: ActivationRecord | None, new: Activation) -> Activation:
        """Make something active for a subject, and end what is; give it with its id.

        Its transform is stored with it if that is new (its id is 0).

        Raises:
            AccountNotFound, RoleNotFound: the subject is not there any more.
            TransformNotFound: the version was deleted.
            ServiceUnavailable: not what ``ended`` says is in force, but something else.
        """
        async with transaction(self._engine) as connection:
            await _end(connection, new.subject, ended)
            await _require_subject(connection, new.subject)
            if new.transform is not None:
                new = replace(new, transform=await _known(connection, new.transform))
            result = await connection.execute(insert(_A).values(activation_values(new)))
            key = result.inserted_primary_key
            assert key is not None  # noqa: S101 - the table has one
            await cut_activations(connection)
            return replace(new, id=int(key[0]))

    async def end(self, ended: ActivationRecord) -> None:
        """End what is active for a subject.

        Raises:
            ServiceUnavailable: it is not in force, or something else is.
        """
        async with transaction(self._engine) as connection:
            await _end(connection, ended.activation.subject, ended)
            await cut_activations(connection)

    async def save_counts(self, counts: Mapping[int, TransformCount]) -> None:
        """Store what came of activations, by their ids."""
        async with transaction(self._engine) as connection:
            for number, count in counts.items():
                values = {"counts": count_text(count)}
                await connection.execute(update(_A).where(_A.c.id == number).values(values))

    async def _records(self, query: Select[Any]) -> list[ActivationRecord]:
        async with transaction(self._engine) as connection:
            return [record_of(row) for row in await connection.execute(query)]


async def end_activations(connection: AsyncConnection, subject: Subject, by: str) -> None:
    """End what is active for a subject that is being deleted, in the same transaction."""
    end = ActivationEnd(EndReason.SUBJECT_DELETED, by, datetime.now(UTC).timestamp())
    await connection.execute(
        update(_A).where(_IN_FORCE, _is_for(subject)).values(**end_values(end))
    )


async def _end(
    connection: AsyncConnection, subject: Subject, ended: ActivationRecord | None
) -> None:
    """End what is active for a subject, which must be what was thought to be."""
    in_force = select(_A.c.id).where(_IN_FORCE, _is_for(subject))
    if await connection.scalar(in_force) != (ended.activation.id if ended else None):
        raise ServiceUnavailable("other transforms are active meanwhile; try again")
    if ended is not None and ended.end is not None:
        change = update(_A).where(_A.c.id == ended.activation.id)
        await connection.execute(change.values(**end_values(ended.end, ended.count)))


async def _insert(connection: AsyncConnection, transform: Transform) -> Transform:
    last = select(func.max(_T.c.version)).where(_T.c.name == transform.name)
    version = (await connection.scalar(last) or 0) + 1
    result = await connection.execute(
        insert(_T).values(
            name=transform.name,
            version=version,
            command_line=transform.command_line,
            programs=json.dumps(transform.programs),
            on_failure=transform.on_failure.value,
            note=transform.note,
            created_by=str(transform.created_by),
            create_time=stored_time(transform.create_time_s),
        )
    )
    key = result.inserted_primary_key
    assert key is not None  # noqa: S101 - the table has one
    await cut_versions(connection, transform.name)
    return replace(transform, id=int(key[0]), version=version)


async def _known(connection: AsyncConnection, transform: Transform) -> Transform:
    """Give a version as it is stored; one that is new is stored."""
    if not transform.id:
        return await _insert(connection, transform)
    query = _VERSIONS.where(
        _T.c.id == transform.id,
        _T.c.name == transform.name,
        _T.c.version == transform.version,
    )
    row = (await connection.execute(query)).first()
    if row is None:
        raise TransformNotFound(transform.name, transform.version)
    return transform_of(row)


async def _require_subject(connection: AsyncConnection, subject: Subject) -> None:
    """See that an account or a role is still there."""
    match subject.scope:
        case Scope.ACCOUNT:
            accounts = tables.accounts.c
            if await connection.scalar(select(accounts.name).where(accounts.name == subject.name)):
                return
            raise AccountNotFound(subject.name)
        case Scope.ROLE if subject.name not in BUILT_IN:
            roles = tables.roles.c
            if await connection.scalar(select(roles.name).where(roles.name == subject.name)):
                return
            raise RoleNotFound(subject.name)


def _is_for(subject: Subject) -> Any:
    return and_(_A.c.scope == subject.scope.value, _A.c.subject == str(subject.name))
