"""Whose run is next: accounts take turns, and nobody's background holds a waiting client up."""

from __future__ import annotations

import asyncio

from pop3_service.transform.turns import PATIENCE, PLACES_EACH, Turns


class Runs:
    """Runs that have their turn until they are told to end."""

    def __init__(self, at_a_time: int = 1, spell_s: float = 3600.0) -> None:
        self.turns = Turns(at_a_time, spell_s=spell_s)
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    def add(self, name: str, *, background: bool = False) -> asyncio.Task[None]:
        """Begin a run called ``account.number`` when its turn comes."""
        self.ends[name] = asyncio.Event()
        return asyncio.create_task(self._run(name, background))

    async def _run(self, name: str, background: bool) -> None:
        async with self.turns.turn(name.partition(".")[0], background=background):
            self.begun.append(name)
            await self.ends[name].wait()

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_first_retr_waits_for_one_run_of_whoever_has_10_000_waiting() -> None:
    runs = Runs()
    tasks = [runs.add(f"big.{number}") for number in range(10_000)]
    await settle()
    tasks += [runs.add("ana.0"), runs.add("eva.0"), runs.add("ana.1")]
    await settle()
    for _ in range(8):
        await runs.end(runs.begun[-1])
    assert runs.begun == [
        "big.0", "big.1", "ana.0", "eva.0", "big.2", "ana.1", "big.3", "big.4", "big.5",
    ]  # fmt: skip
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert runs.turns.waiting == 0


async def test_what_nobody_waits_for_begins_when_nobody_waits() -> None:
    runs = Runs()
    tasks = [runs.add("ana.0"), runs.add("ahead.0", background=True), runs.add("eva.0")]
    await settle()
    tasks.append(runs.add("ana.1"))
    for name in ("ana.0", "eva.0", "ana.1", "ahead.0"):
        assert runs.begun[-1] == name
        await runs.end(name)
    await asyncio.gather(*tasks)


async def test_no_more_begin_at_a_time_than_may() -> None:
    runs = Runs(3)
    tasks = [runs.add(f"a{number}.0") for number in range(10)]
    await settle()
    assert len(runs.begun) == 3
    for done in range(10):
        await runs.end(f"a{done}.0")
        assert len(runs.begun) == min(10, done + 4)
    await asyncio.gather(*tasks)


async def test_a_run_that_goes_on_lets_the_next_begin_after_a_spell() -> None:
    runs = Runs(1, spell_s=0.01)
    tasks = [runs.add(f"a{number}.0") for number in range(3)]
    async with asyncio.timeout(60):
        while len(runs.begun) < 3:
            await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_runs_of_one_account_that_hang_leave_places_for_others() -> None:
    runs = Runs(4, spell_s=0.0)
    tasks = [runs.add(f"mallory.{number}") for number in range(100)]
    async with asyncio.timeout(60):
        while len(runs.begun) < PLACES_EACH:
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert len(runs.begun) == PLACES_EACH
    tasks.append(runs.add("ana.0"))
    await settle()
    assert runs.begun[-1] == "ana.0"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_gives_up_at_any_moment_leaves_no_trace() -> None:
    for turns_taken in range(8):
        runs = Runs()
        first = runs.add("ana.0")
        await settle()
        waiting = [runs.add("eva.0"), runs.add("eva.1", background=True)]
        for _ in range(turns_taken // 2):
            await asyncio.sleep(0)
        if turns_taken % 2:  # its turn comes, and it gives up before it knows
            runs.ends["ana.0"].set()
        for task in waiting:
            task.cancel()
        await settle()
        runs.ends["ana.0"].set()
        await asyncio.gather(first, *waiting, return_exceptions=True)
        assert runs.turns.waiting == 0
        last = runs.add("bob.0")
        await settle()
        assert runs.begun[-1] == "bob.0"
        await runs.end("bob.0")
        await last


async def test_a_run_in_the_background_begins_however_many_go_before_it() -> None:
    runs = Runs()
    tasks = [runs.add("big.0"), runs.add("ana.0", background=True)]
    tasks += [runs.add(f"big.{number}") for number in range(1, 100)]
    await settle()
    for _ in range(PATIENCE + 1):
        await runs.end(runs.begun[-1])
    assert "ana.0" in runs.begun
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
