"""Results that processes share, whatever they do in any order: whole, held, within the quota."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import scale
from pop3_service.transform.sweeping import BLOCK, disk_octets
from support.caching import BOOT, CacheProcess, content, is_whole

QUOTA = 12 * BLOCK
ACCOUNTS = st.sampled_from(("ana", "bob", "eva"))
MESSAGES = st.sampled_from(("m0", "m1", "m2", "m3"))
SIZES = st.sampled_from((40, BLOCK, BLOCK + 1, 3 * BLOCK, 20 * BLOCK))
PROCESSES = st.sampled_from((0, 1))


class TwoProcesses(RuleBasedStateMachine):
    """Two caches over one folder, against what may be there."""

    processes: tuple[CacheProcess, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="valija-cache-"))
        for process in self.processes:
            process.do("begin", str(self.folder), QUOTA)
        self.held: set[tuple[int, str]] = set()
        self.there: dict[tuple[str, str], str] = {}
        """What was read of a result, or published: it stays so until it is evicted."""
        self.there_while_held: set[tuple[str, str]] = set()
        self.writers = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def some_held(self) -> bool:
        return bool(self.held)

    def is_held(self, account: str) -> bool:
        return any(account == other for _, other in self.held)

    @rule(process=PROCESSES, account=ACCOUNTS)
    def hold_or_let_go(self, process: int, account: str) -> None:
        if (process, account) in self.held:
            self.processes[process].do("let_go", account)
            self.held.discard((process, account))
        else:
            assert self.processes[process].do("hold", account)
            self.held.add((process, account))

    @precondition(some_held)
    @rule(data=st.data(), message=MESSAGES, size=SIZES)
    def publish(self, data: st.DataObject, message: str, size: int) -> None:
        process, account = data.draw(st.sampled_from(sorted(self.held)))
        self.writers += 1
        writer = f"w{self.writers}"
        self.processes[process].do("publish", account, message, writer, size)
        known = self.there.get((account, message))
        told = self.processes[process].do("read", account, message)
        if known is not None and told is not None:
            assert told == known
        elif told is not None:
            assert told == content(writer, message, size).decode()
            self.there[account, message] = told

    @precondition(some_held)
    @rule(data=st.data(), message=MESSAGES)
    def read(self, data: st.DataObject, message: str) -> None:
        process, account = data.draw(st.sampled_from(sorted(self.held)))
        told = self.processes[process].do("read", account, message)
        known = self.there.get((account, message))
        assert (told is None) == (known is None)
        assert told == known

    @rule(process=PROCESSES, seconds=st.sampled_from((1, 400, 40 * 86_400)))
    def time_goes_by(self, process: int, seconds: int) -> None:
        for each in self.processes:
            each.do("move", seconds)
        self.processes[process].do("sweep")

    @rule(process=PROCESSES, account=ACCOUNTS)
    def forget(self, process: int, account: str) -> None:
        if not self.is_held(account):
            self.processes[process].do("forget", account)

    @invariant()
    def what_is_there_is_what_was_published(self) -> None:
        """Evicted is what nobody holds alone; what is there is whole and counted."""
        seen: dict[str, dict[str, int]] = {}
        for process, account in self.held:
            seen[account] = self.processes[process].do("sizes", account)
        for (account, message), octets in list(self.there.items()):
            if account in seen and message in seen[account]:
                assert seen[account][message] == len(octets)
                assert is_whole(octets.encode(), message)
            elif account in seen and (account, message) in self.there_while_held:
                raise AssertionError("a held result is gone")
            elif account in seen:
                del self.there[account, message]
        self.there_while_held = {
            (account, message) for account, sizes in seen.items() for message in sizes
        }
        used = self.processes[0].do("used")
        results = self.folder / "transformed" / BOOT / "results"
        on_disk = sum(disk_octets(path.stat()) for path in results.glob("*/*/*"))
        assert on_disk <= used <= QUOTA


@pytest.fixture(autouse=True, scope="module")
def processes() -> Iterator[tuple[CacheProcess, ...]]:
    TwoProcesses.processes = (CacheProcess(), CacheProcess())
    yield TwoProcesses.processes
    for process in TwoProcesses.processes:
        process.close()


TestTwoProcesses = TwoProcesses.TestCase
TestTwoProcesses.settings = settings(
    max_examples=scale.EXAMPLES // 10,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
)


def test_processes_at_work_at_the_same_time_see_whole_results_only(
    tmp_path: Path, processes: tuple[CacheProcess, ...]
) -> None:
    workers = [*processes, CacheProcess(), CacheProcess()]
    for worker in workers:
        worker.do("begin", str(tmp_path), 20 * BLOCK)
    for seed, worker in enumerate(workers):
        worker.tell("work", seed, scale.EXAMPLES)
    assert [worker.answer() for worker in workers] == [[]] * len(workers)
    processes[0].do("move", 1000)
    processes[0].do("sweep")
    results = tmp_path / "transformed" / BOOT / "results"
    on_disk = sum(disk_octets(path.stat()) for path in results.glob("*/*/*"))
    assert processes[0].do("used") == on_disk <= 20 * BLOCK
    for worker in workers[2:]:
        worker.close()


def test_a_process_that_is_killed_leaves_whole_results_and_no_lock(
    tmp_path: Path, processes: tuple[CacheProcess, ...]
) -> None:
    quota = 20 * BLOCK
    for seed in range(scale.KILLS):
        doomed = CacheProcess()
        doomed.do("begin", str(tmp_path), quota)
        doomed.tell("work", seed, 100_000)
        processes[0].do("begin", str(tmp_path), quota)
        assert processes[0].do("work", 1000 + seed, 5) == []
        doomed.process.kill()
        doomed.close()
        assert processes[0].do("work", 2000 + seed, 5) == []
    processes[0].do("move", 1000)
    processes[0].do("sweep")
    results = tmp_path / "transformed" / BOOT / "results"
    on_disk = sum(disk_octets(path.stat()) for path in results.glob("*/*/*"))
    assert processes[0].do("used") == on_disk <= quota
    assert list((tmp_path / "transformed" / BOOT / "spool").iterdir()) == []
