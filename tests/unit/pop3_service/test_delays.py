"""The delays of wrong logins."""

import asyncio

from pop3_service.control.delays import Delays
from unit.lineproto.talks import turns
from unit.pop3_service.clock import FakeClock


async def test_who_is_held_up_waits_as_long_as_it_was_told() -> None:
    clock = FakeClock()
    clock.waits = True
    wait = asyncio.create_task(Delays(clock).wait(15))
    for passed_s, over in ((0, False), (14.5, False), (0.5, True)):
        clock.move(passed_s)
        await turns()
        assert wait.done() is over


async def test_after_the_end_nobody_waits() -> None:
    clock = FakeClock()
    clock.waits = True
    delays = Delays(clock)
    waits = [asyncio.create_task(delays.wait(seconds)) for seconds in (2, 15)]
    await turns()
    assert not any(wait.done() for wait in waits)
    delays.end()
    await asyncio.wait_for(asyncio.gather(*waits, delays.wait(15)), 10)


async def test_who_goes_meanwhile_leaves_no_wait_behind() -> None:
    clock = FakeClock()
    clock.waits = True
    before = asyncio.all_tasks()
    wait = asyncio.create_task(Delays(clock).wait(15))
    await turns()
    assert len(asyncio.all_tasks()) == len(before) + 2
    wait.cancel()
    await turns()
    assert asyncio.all_tasks() == before
