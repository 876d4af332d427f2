from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contract.service import Service
from unit.pop3_service.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def service(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Service]:
    async with Service(tmp_path, clock).running() as running:
        yield running
