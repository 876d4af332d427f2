from __future__ import annotations

import asyncio

import pytest

from pop3_service.domain.errors import LoginThrottled
from pop3_service.supervisor.defence import turns as module
from pop3_service.supervisor.defence.turns import Rank, Turns


class Crowd:
    """Those who take turns; each holds its turn until it is let go."""

    def __init__(self, at_a_time: int = 1) -> None:
        self.turns = Turns(at_a_time)
        self.served: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.go = asyncio.Event()

    def come(self, name: str, rank: Rank = Rank.CLEAN) -> asyncio.Task[None]:
        return asyncio.create_task(self._one(name, rank))

    async def _one(self, name: str, rank: Rank) -> None:
        async with self.turns.turn(name.partition(".")[0], rank):
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await self.go.wait()
            self.served.append(name)
            self.at_once -= 1


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_at_a_time_and_no_more() -> None:
    crowd = Crowd(3)
    tasks = [crowd.come(f"a.{number}") for number in range(10)]
    await settle()
    assert crowd.turns.waiting == 7
    crowd.go.set()
    await asyncio.gather(*tasks)
    assert crowd.most_at_once == 3
    assert len(crowd.served) == 10


@pytest.mark.attack(19)
async def test_a_crowd_from_one_network_lets_everybody_else_go_after_one_of_them() -> None:
    crowd = Crowd()
    tasks = [crowd.come(f"flood.{number}") for number in range(100)]
    await settle()
    tasks += [crowd.come("ana"), crowd.come("eva")]
    await settle()
    crowd.go.set()
    await asyncio.gather(*tasks)
    assert {crowd.served.index("ana"), crowd.served.index("eva")} <= {0, 1, 2, 3}


@pytest.mark.attack(19)
async def test_who_comes_to_a_crowd_from_many_networks_does_not_wait_for_all_of_it() -> None:
    crowd = Crowd()
    holding = crowd.come("holding")
    await settle()
    tasks = [crowd.come(f"flood{number}.{again}") for again in (1, 2) for number in range(100)]
    await settle()
    tasks += [holding, crowd.come("ana")]
    await settle()
    crowd.go.set()
    await asyncio.gather(*tasks)
    assert crowd.served.index("ana") <= 3
    # The crowd goes on meanwhile: the first that came is not put off, and each network has a turn
    # before any has two.
    assert crowd.served.index("flood0.1") <= 3
    assert all(not name.endswith(".2") for name in crowd.served[:102])


async def test_those_who_came_first_are_not_forgotten_while_others_come() -> None:
    crowd = Crowd()
    crowd.go.set()
    tasks = [crowd.come(f"old{number}") for number in range(10)]
    for number in range(40):  # one comes whenever one has gone
        tasks.append(crowd.come(f"late{number}"))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert max(crowd.served.index(f"old{number}") for number in range(10)) <= 22


@pytest.mark.attack(22)
async def test_those_who_are_known_go_first_and_the_others_are_not_forgotten() -> None:
    crowd = Crowd()
    tasks = []
    for rank in reversed(Rank):
        tasks += [crowd.come(f"{rank.name}{number}", rank) for number in range(40)]
        await settle()
    crowd.go.set()
    await asyncio.gather(*tasks)
    begin = crowd.served[1:33]
    assert [sum(it.startswith(rank.name) for it in begin) for rank in Rank] == [24, 4, 4]
    clean = [number for number, it in enumerate(crowd.served) if it.startswith("CLEAN")]
    suspect = [number for number, it in enumerate(crowd.served) if it.startswith("SUSPECT")]
    assert max(clean) < max(suspect)


async def test_more_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EACH", 2)
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    crowd = Crowd()
    tasks = [crowd.come(f"a.{number}") for number in range(4)]
    tasks += [crowd.come("b"), crowd.come("c"), crowd.come("d", Rank.KNOWN)]
    await settle()
    crowd.go.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [number for number, it in enumerate(outcomes) if isinstance(it, LoginThrottled)]
    assert refused == [3, 5]
    assert crowd.turns.waiting == 0


async def test_who_gives_up_holds_nobody_up() -> None:
    crowd = Crowd()
    holding = crowd.come("holding")
    await settle()
    given_up, patient = crowd.come("a"), crowd.come("b")
    await settle()
    given_up.cancel()
    # In the same round of the loop: the turn is passed on while one who waits is cancelled.
    crowd.go.set()
    await asyncio.gather(holding, given_up, patient, return_exceptions=True)
    assert crowd.served == ["holding", "b"]
    last = crowd.come("c")
    await asyncio.wait_for(last, 60)


async def test_who_is_cancelled_with_its_turn_passes_it_on() -> None:
    turns = Turns(1)
    held = turns.turn("a")
    await held.__aenter__()
    waiting = [asyncio.create_task(turns.turn(key).__aenter__()) for key in ("b", "c")]
    await settle()
    await held.__aexit__(None, None, None)
    waiting[0].cancel()  # the turn is its own, and it has not run since
    await asyncio.wait_for(waiting[1], 60)
    assert waiting[0].cancelled() or isinstance(waiting[0].exception(), asyncio.CancelledError)
