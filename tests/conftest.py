"""What holds for every test."""

import signal

import pytest
from hypothesis import strategies as st

# A shell that runs the tests in the background lets them ignore Ctrl-C, and every program that they
# start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _table_of_characters() -> None:
    """Make the table of all characters first of all.

    Its first use makes very many objects, and has hung among gRPC objects that earlier tests had
    left to the garbage collector.
    """
    st.characters().validate()
