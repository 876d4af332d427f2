"""Transforms: versions made, shown and deleted, besides what is active of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import structlog

from pop3_service.domain.address_rules import check_text
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import TransformNotFound
from pop3_service.domain.transforms import OnFailure, Transform, parse_transform_name
from pop3_service.supervisor.transforms.activations import ActiveTransformsDesk
from pop3_service.supervisor.transforms.checks import brief

log = structlog.get_logger()


class TransformsDesk(ActiveTransformsDesk):
    """The use cases of transforms: of their versions, and of activations."""

    async def list(self, after: str = "", size: int = 1000) -> tuple[list[Transform], int]:
        """Give latest versions in order of name, those after one, and how many names there are."""
        return await self._store.latest(after, size)

    async def versions(
        self, name: str, skip: int = 0, size: int = 1000
    ) -> tuple[Sequence[Transform], int]:
        """Give versions, the newest first, and how many there are; without a name, unnamed ones.

        Raises:
            TransformNotFound: there are none of that name.
        """
        found, count = await self._store.versions(name, skip, size)
        if name and not count:
            raise TransformNotFound(name)
        return found, count

    async def removed_versions(self, name: str) -> int:
        """Count the versions of a name, unnamed ones without it, that are not kept any more."""
        return await self._store.removed_versions(name)

    async def set(
        self, name: str, command_line: str, on_failure: OnFailure, note: str, by: str
    ) -> Transform:
        """Make the next version, once it ran on samples; what says the same as the last is that.

        Raises:
            InvalidArgument, TransformInvalid
        """
        asked = {"command_line": brief(command_line), "on_failure": on_failure.value}
        describe(target=name, asked=asked)
        parse_transform_name(name)
        note = check_text(note)
        new = await self._tried(command_line, on_failure, by)
        new = replace(new, name=name, note=note)
        async with self.changing:
            last = await self._store.get(name)
            if last is not None and _says_the_same(last, new):
                describe(target=str(last), after={"unchanged": True})
                return last
            made = await self._store.insert(new)
        describe(target=str(made), before=_told(last) if last else {}, after=_told(made))
        log.info("transform set", transform=str(made), command=brief(made.command_line), by=by)
        return made

    async def delete(self, name: str, by: str) -> int:
        """Delete all versions of a name; give how many.

        Raises:
            TransformNotFound, TransformInUse
        """
        describe(target=name)
        if not name:
            raise TransformNotFound(name)
        async with self.changing:
            count = await self._store.delete(name, self._now_s())
        describe(before={"versions": count})
        log.info("transform deleted", name=name, versions=count, by=by)
        return count


def _says_the_same(one: Transform, other: Transform) -> bool:
    return (one.command_line, one.on_failure, one.note) == (
        other.command_line,
        other.on_failure,
        other.note,
    )


def _told(transform: Transform) -> dict[str, object]:
    """Give what the audit is told."""
    return {
        "version": transform.version,
        "command_line": brief(transform.command_line),
        "on_failure": transform.on_failure.value,
        "note": transform.note,
    }
