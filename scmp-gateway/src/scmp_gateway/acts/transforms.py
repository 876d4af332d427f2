"""The catalogue of transforms, and tests of what is in it."""

from __future__ import annotations

from typing import TypeVar

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.calls.base import History
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.transform_words import parse_version
from pop3mgmt.v1.transforms_pb2 import (
    ON_FAILURE_ORIGINAL,
    ON_FAILURE_REFUSE,
    OnFailure,
    Transform,
    TransformSummary,
)
from scmp_gateway.command import Line, after_words
from scmp_gateway.times import show_time

T = TypeVar("T")
ON_FAILURE = {"REFUSE": ON_FAILURE_REFUSE, "ORIGINAL": ON_FAILURE_ORIGINAL}


async def transforms(caller: Caller, line: Line) -> Reply:
    """All transforms that have a name."""
    found = await caller.list_transforms()
    return Listing(f"{len(found)} transforms", [_summary_line(it) for it in found])


async def show(caller: Caller, line: Line) -> Reply:
    """One version, all that is known of it."""
    name, version = _version(line.words[0])
    found = await caller.get_transform(name, version)
    return Listing(
        f"transform {found.name}@{found.version}",
        [
            f"command-line: {found.command_line}",
            f"on-failure: {_on_failure(found)}",
            f"active: {'yes' if found.is_active else 'no'}",
            f"made: {_made(found)}",
            f"by: {found.created_by or '-'}",
            f"note: {found.note}".rstrip(),
        ],
    )


async def history(caller: Caller, line: Line) -> Reply:
    """All versions of a name, the newest first."""
    found = await caller.list_transform_versions("".join(line.words))
    return Listing(count_of(found, "versions"), [_version_line(it) for it in found])


async def set_(caller: Caller, line: Line) -> Reply:
    """Make the next version of a name."""
    name, on_failure, *_ = line.words
    wanted = ON_FAILURE.get(on_failure.upper())
    if wanted is None:
        raise ManagementError(
            Reason.INVALID_ARGUMENT,
            "after the name comes REFUSE or ORIGINAL, which says what a client gets of a message"
            " that it fails on",
        )
    made = await caller.set_transform(name, after_words(line, 2), wanted)
    active = "active" if made.is_active else "not active yet"
    return Ok(f"transform {made.name}@{made.version} is set, {active}")


async def delete(caller: Caller, line: Line) -> Reply:
    """Remove all versions of a name."""
    count = await caller.delete_transform(line.words[0])
    return Ok(f"transform {line.words[0]} deleted, {count} versions")


def count_of(found: History[T], what: str) -> str:
    """Say how many there are, and how many were."""
    removed = f", {found.removed_count} older ones are not kept" if found.removed_count else ""
    return f"{len(found)} {what}{removed}"


def _summary_line(summary: TransformSummary) -> str:
    active = ",".join(map(str, summary.active_versions)) or "-"
    return _line(f"{summary.latest.name} version={summary.latest.version} active={active}",
                 summary.latest)  # fmt: skip


def _version_line(transform: Transform) -> str:
    active = "yes" if transform.is_active else "no"
    return _line(f"{transform.name}@{transform.version} active={active}", transform)


def _line(begin: str, transform: Transform) -> str:
    """Tell of a version in one line; the command line is its rest."""
    return (
        f"{begin} on-failure={_on_failure(transform)} made={_made(transform)}"
        f" by={transform.created_by or '-'} {transform.command_line}"
    )


def _on_failure(transform: Transform) -> str:
    return OnFailure.Name(transform.on_failure).removeprefix("ON_FAILURE_").lower()


def _made(transform: Transform) -> str:
    return show_time(transform.create_time)


def _version(word: str) -> tuple[str, int]:
    try:
        return parse_version(word)
    except ValueError as error:
        raise ManagementError(Reason.INVALID_ARGUMENT, str(error)) from None
