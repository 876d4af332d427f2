"""SIGTERM and SIGINT become an event, and no later one disturbs the end."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from lineproto.stopping import stop_signals

SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture(autouse=True)
def _handlers_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_is_an_event(number: signal.Signals) -> None:
    with stop_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(60):
            await stop.wait()


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_later_signal_does_not_disturb_the_end(number: signal.Signals) -> None:
    with stop_signals() as stop:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(60):
            await stop.wait()
        os.kill(os.getpid(), number)
        await asyncio.sleep(0)
    assert [signal.getsignal(one) for one in SIGNALS] == [signal.SIG_IGN] * 2
    os.kill(os.getpid(), number)
    await asyncio.sleep(0)
