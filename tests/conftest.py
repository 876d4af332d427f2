"""What holds for every test."""

import gc
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

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
LONGEST = ("test_abilities.py",)
"""Files that take longest, the longest first: what begins last should be short."""
_ORDER = {name: number for number, name in enumerate((*COLLECTORS, *LONGEST))}


def _rank(item: pytest.Item) -> int:
    if TOGETHER in item.path.parts:
        return -1
    return _ORDER.get(item.path.name, len(_ORDER))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


class ByFile(LoadScopeScheduling):
    """Several processes share the tests, a file each, in the order of their collection.

    So nothing that the tests of a file share is made more than once.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return TOGETHER if TOGETHER in path.split("/") else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection_finish() -> None:
    """Let no collection of garbage look again and again at all the tests and modules there are."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _table_of_characters() -> None:
    """Make the table of all characters first of all.

    Its first use makes very many objects, and has hung among gRPC objects that earlier tests had
    left to the garbage collector.
    """
    st.characters().validate()
