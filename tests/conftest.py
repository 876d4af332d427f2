"""What holds for every test."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# A shell that runs the tests in the background lets them ignore Ctrl-C, and every program that they
# start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says what else the machine does, and nothing about the example.
settings.register_profile(
    "untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")

TESTS = Path(__file__).parent
TOGETHER = "system"
"""The folder whose tests share one engine and the published ports, and so one process."""


COLLECTORS = ("test_garbage.py", "test_workers.py", "test_connection_end.py")
"""Tests that call the garbage collector come before those that leave it gRPC's and greenlet's
objects: it has hung in them."""


def _rank(item: pytest.Item) -> int:
    if TOGETHER in item.path.parts:
        return 0
    return 1 if item.path.name in COLLECTORS else 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let several processes share the tests, a file each; what takes longest begins first."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        group = folder if folder == TOGETHER else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_rank)


@pytest.fixture(scope="session", autouse=True)
def _table_of_characters() -> None:
    """Make the table of all characters first of all.

    Its first use makes very many objects, and has hung among gRPC objects that earlier tests had
    left to the garbage collector.
    """
    st.characters().validate()
