"""What holds for every test."""

import gc
import signal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from xdist.remote import Producer

from sharing import ByFile, rank

# A shell that runs the tests in the background lets them ignore Ctrl-C, and every program that they
# start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says what else the machine does, and nothing about the example.
settings.register_profile(
    "untimed", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda it: rank(it.path))


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
