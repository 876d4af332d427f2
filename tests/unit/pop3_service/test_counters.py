from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pop3_service.control.counters import FIELDS, CounterBoard
from pop3_service.domain.session import Totals


@pytest.fixture
def board() -> Iterator[CounterBoard]:
    made = CounterBoard.create(3)
    yield made
    made.close()


def test_a_new_board_counts_nothing(board: CounterBoard) -> None:
    assert board.totals() == Totals()


def test_totals_are_the_sums_over_the_slots(board: CounterBoard) -> None:
    for index in range(3):
        slot = board.slot(index)
        for name in FIELDS:
            slot.add(name, index + 1)
        slot.add("opened", 10)
        slot.add("logins", 4)
    totals = board.totals()
    assert (totals.opened_connections, totals.current_connections) == (36, 30)
    assert totals.logged_in_sessions == 12
    assert {totals.sent_bytes, totals.sent_messages, totals.deleted_messages} == {6}
    assert totals.refused_logins == 6
    assert board.current_connections() == 30


def test_what_a_dead_worker_had_open_counts_as_closed_and_the_rest_is_kept(
    board: CounterBoard,
) -> None:
    first, other = board.slot(0), board.slot(1)
    for slot in (first, other):
        for name in ("opened", "logins"):
            slot.add(name, 5)
        slot.add("sent_bytes", 2**40)
    successor = board.slot(0)
    totals = board.totals()
    assert (totals.opened_connections, totals.current_connections) == (10, 5)
    assert totals.logged_in_sessions == 5
    successor.add("opened")
    assert board.totals().current_connections == 6
    assert board.totals().sent_bytes == 2**41


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from((*FIELDS, "settle")), st.integers(0, 9)),
        max_size=60,
    )
)
def test_no_total_is_ever_negative(steps: list[tuple[int, str, int]]) -> None:
    board = CounterBoard.create(2)
    slots = [board.slot(0), board.slot(1)]
    for index, name, count in steps:
        if name == "settle":
            slots[index] = board.slot(index)
        else:
            slots[index].add(name, count)
        totals = board.totals()
        assert min(getattr(totals, name) for name in Totals.__slots__) >= 0
        assert board.current_connections() >= 0
    board.close()


def test_another_process_counts_on_the_same_board(board: CounterBoard) -> None:
    board.slot(2).add("sent_bytes", 1)
    program = (
        "import sys\n"
        "from pop3_service.control.counters import CounterBoard\n"
        "CounterBoard(int(sys.argv[1]), 3).slot(2).add('sent_bytes', 41)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(board.fd)], pass_fds=(board.fd,), check=True)
    assert board.totals().sent_bytes == 42


def test_a_board_leaves_no_descriptor_behind() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        CounterBoard.create(8).close()
    assert len(os.listdir("/proc/self/fd")) <= before + 5
