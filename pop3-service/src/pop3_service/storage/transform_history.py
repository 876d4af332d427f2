"""How much of the history of transforms is kept: what is in use, and the newest of the rest."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from pop3_service.storage import tables

KEPT_ACTIVATIONS = 10_000
"""Activations that ended, of all subjects together; besides these, what a rollback brings back."""
KEPT_VERSIONS = 100
"""Versions of a name; besides these, those that an activation names that is kept."""
KEPT_DELETED = 1000
"""Versions that were deleted, of all names together; besides these likewise."""

_T = tables.transforms
_A = tables.transform_activations
_ENDED = _A.c.end_time.is_not(None)


async def cut_activations(connection: AsyncConnection) -> None:
    """Remove activations that ended long ago; what could be rolled back to them cannot any more."""
    last = await _after(connection, select(_A.c.id).where(_ENDED), _A.c.id, KEPT_ACTIVATIONS)
    if last is None:
        return
    rolled_back_to = select(_A.c.before).where(~_ENDED, _A.c.before.is_not(None))
    old = select(_A.c.id).where(_ENDED, _A.c.id <= last, _A.c.id.not_in(rolled_back_to))
    gone = [row.id for row in await connection.execute(old)]
    for number in gone:
        await connection.execute(update(_A).where(_A.c.before == number).values(before=None))
        await connection.execute(delete(_A).where(_A.c.id == number))


async def cut_versions(connection: AsyncConnection, name: str) -> None:
    """Remove old versions of a name, and of those that were deleted."""
    of_name = select(_T.c.id).where(_T.c.name == name, _T.c.delete_time.is_(None))
    deleted = select(_T.c.id).where(_T.c.delete_time.is_not(None))
    for versions, kept in ((of_name, KEPT_VERSIONS), (deleted, KEPT_DELETED)):
        last = await _after(connection, versions, _T.c.id, kept)
        if last is not None:
            old = versions.where(_T.c.id <= last, ~_is_named())
            await connection.execute(delete(_T).where(_T.c.id.in_(old)))


def removed_versions(name: str) -> Select[tuple[int]]:
    """Count the versions of a name that are not kept any more."""
    return select(func.coalesce(func.max(_T.c.version) - func.count(), 0)).where(_T.c.name == name)


def removed_activations() -> Select[tuple[int]]:
    """Count the activations that are not kept any more."""
    return select(func.coalesce(func.max(_A.c.id) - func.count(), 0))


def _is_named() -> ColumnElement[bool]:
    """Whether an activation names a version."""
    return or_(
        *(_T.c.id.in_(select(it).where(it.is_not(None))) for it in (_A.c.transform, _A.c.former))
    )


async def _after(
    connection: AsyncConnection, found: Select[tuple[int]], key: ColumnElement[int], kept: int
) -> int | None:
    """Give the newest that is not among so many newest ones."""
    newest_first = found.order_by(key.desc())
    last: int | None = await connection.scalar(newest_first.offset(kept).limit(1))
    return last
