"""Connections whose dialogue the tests steer, and a clock that they move."""

from collections.abc import AsyncIterator

import pytest

from unit.lineproto.talks import Talks
from unit.pop3_service.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def talks(clock: FakeClock) -> AsyncIterator[Talks]:
    listener = Talks(clock)
    yield listener
    await listener.close()
