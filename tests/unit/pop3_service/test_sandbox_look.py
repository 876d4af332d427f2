"""What of the sandbox is in force is found once, in the background, and told."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from pop3_service.domain.errors import TransformFailed
from pop3_service.supervisor.transforms.sandbox import SandboxLook
from pop3_service.transform.isolation import Isolation

WHOLE = Isolation(7, files=True, network=True, signals=True, seccomp=True)


@pytest.mark.parametrize(
    ("found", "level"),
    [(WHOLE, "info"), (Isolation(3, files=True), "warning"), (TransformFailed("no"), "warning")],
)
async def test_what_is_found_is_told_in_the_log_and_for_the_status(
    found: Isolation | TransformFailed, level: str
) -> None:
    async def find() -> Isolation:
        if isinstance(found, TransformFailed):
            raise found
        return found

    sandbox = SandboxLook(find)
    assert sandbox.text == ""
    with structlog.testing.capture_logs() as logs:
        await sandbox.look()
    [entry] = logs
    assert (entry["log_level"], entry["isolation"]) == (level, sandbox.text)
    expected = Isolation(problem="no") if isinstance(found, TransformFailed) else found
    assert sandbox.text == str(expected)


async def test_who_stops_meanwhile_waits_for_nothing() -> None:
    begun = asyncio.Event()

    async def find() -> Isolation:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    sandbox = SandboxLook(find)
    async with asyncio.timeout(60), sandbox.running():
        await begun.wait()
    assert sandbox.text == ""
