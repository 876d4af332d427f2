"""What holds for every test."""

import signal

from hypothesis import strategies as st

# A shell that runs the tests in the background lets them ignore Ctrl-C, and every program that they
# start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The table of all characters is made at its first use, with very many allocations. Between tests
# that leave gRPC objects to the garbage collector that has hung; so it is made here.
st.characters().validate()
