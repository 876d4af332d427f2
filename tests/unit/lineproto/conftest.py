"""Connections whose dialogue the tests steer, and a clock that they move."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from unit.lineproto.talks import Talks
from unit.pop3_service.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def talks(clock: FakeClock) -> AsyncIterator[Talks]:
    told: list[dict] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    listener = Talks(clock)
    yield listener
    await listener.close()
    assert told == []  # what the loop would have written as a traceback
