"""The table of rules, bans and suspensions: what ends by itself."""

import asyncio
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from pop3_service.domain.address_rules import AccessTable, AddressRule, Ban, Effect, Suspension
from pop3_service.domain.rights import RoleName
from pop3_service.storage import tables
from pop3_service.storage.store import Store
from pop3_service.supervisor.defence.access import AccessGate
from support import database
from unit.pop3_service.clock import FakeClock
from unit.pop3_service.test_store import account

MANY = 10_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await database.opened(tmp_path)
    yield opened
    await opened.close()


class Workers:
    """What the workers are told."""

    def __init__(self) -> None:
        self.told = asyncio.Queue[AccessTable]()

    async def apply(self, table: AccessTable) -> int:
        self.told.put_nowait(table)
        return 0


def a_gate(store: Store, workers: Workers, clock: FakeClock) -> AccessGate:
    return AccessGate(store.access, store.accounts, workers.apply, lambda _: frozenset(), clock)


async def test_what_has_ended_is_taken_out_and_the_rest_stays(store: Store) -> None:
    clock, workers = FakeClock(), Workers()
    clock.waits = True
    now_s = clock.now().timestamp()
    for name in ("ana", "eva"):
        await store.accounts.insert(account(name, RoleName.USER), 10)
    bans = [Ban("192.0.2.0/24", end_time_s=now_s + 10), Ban("198.51.100.0/24")]
    suspensions = [
        Suspension("ana", end_time_s=now_s + 10),
        Suspension("eva", end_time_s=now_s + 11),
    ]
    for ban in bans:
        await store.access.put_ban(ban)
    for suspension in suspensions:
        await store.access.put_suspension(suspension)
    gate = a_gate(store, workers, clock)
    await gate.load()
    ended: list[object] = []
    gate.on_ended = ended.append
    async with gate.running():
        while not clock.slept:
            await asyncio.sleep(0)
        clock.move(10)
        table = await workers.told.get()
        assert [it.network for it in table.bans] == ["198.51.100.0/24"]
        assert [it.account for it in table.suspensions] == ["eva"]
    assert [str(it) for it in ended] == ["ban of 192.0.2.0/24", "suspension of ana"]
    assert await store.access.load() == table


async def test_ten_thousand_bans_that_end_together_keep_nobody_waiting(store: Store) -> None:
    clock, workers = FakeClock(), Workers()
    end = clock.now().replace(tzinfo=None)
    rows = [
        {
            "network": f"10.{number >> 8}.{number & 255}.0/24",
            "reason": "a list",
            "end_time": end,
            "set_by": "ana",
            "set_time": end,
        }
        for number in range(MANY)
    ]
    async with store.access._engine.begin() as connection:
        await connection.execute(insert(tables.bans), rows)
    gate = a_gate(store, workers, clock)
    await gate.load()
    assert len(gate.current.table.bans) == MANY
    began_s = time.process_time()
    async with gate.running():
        table = await workers.told.get()
    assert table == AccessTable()
    assert (await store.access.load()).bans == ()
    assert time.process_time() - began_s < 3, "each is compared with each other"


async def test_the_documents_help_whoever_is_locked_out(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "ACCESS.md").read_text()
    block = text.partition("Where every admin is kept out")[2].split("```")[1]
    program = textwrap.dedent(block.removeprefix("sh")).strip()
    program = program.removeprefix('python3 -c "').removesuffix('"')
    store = await Store.open(tmp_path)
    await store.access.put_ban(Ban("0.0.0.0/0"))
    await store.access.insert_rule(AddressRule(0, Effect.DENY, "::/0"))
    await store.close()
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    store = await Store.open(tmp_path)
    assert await store.access.load() == AccessTable()
    await store.close()
