"""Sizes and counts of the tests, in one table: ``ci`` for every run, ``full`` for ``make soak``.

``VALIJA_SCALE`` names the column.
"""

import os

_COLUMN = {"ci": 0, "full": 1}[os.environ.get("VALIJA_SCALE", "ci")]


def _pick(ci: int, full: int) -> int:
    return (ci, full)[_COLUMN]


#                                   ci      full
EXAMPLES = _pick(100, 5_000)  # examples of a property test
CUT_LENGTH = _pick(6, 8)  # octets of the messages that are cut everywhere
VARIED_MESSAGES = _pick(200, 2_000)  # varied messages fetched byte-exact
TRANSFORMED_MESSAGES = _pick(200, 2_000)  # varied messages through a transform, sizes and all
PASSED_MESSAGES = _pick(60, 1_000)  # the same through each program in the box, in this process
LARGE_MESSAGE = _pick(64 << 20, 2 << 30)  # octets of a message that must stream
LARGE_MAILDROP = _pick(5_000, 100_000)  # messages of a large maildrop
PIPELINED = _pick(10_000, 100_000)  # commands sent at once
IDLE_SESSIONS = _pick(500, 10_000)  # logged-in sessions to the service itself
TLS_SESSIONS = _pick(200, 5_000)  # the same in TLS
STALLED_HANDSHAKES = _pick(300, 5_000)  # connections that begin TLS and go no further
CERTIFICATE_SWAPS = _pick(4, 100)  # new certificates while sessions come and go
PUBLISHED_SESSIONS = _pick(300, 5_000)  # the same through the published port
PROXIED_SESSIONS = _pick(150, 3_000)  # and through Docker's proxy for loopback
KILLS = _pick(6, 100)  # workers killed in the middle of something
WATCHERS = _pick(20, 200)  # streams of one event source
STEPS = _pick(6, 1_000_000)  # steps of an act at which it is killed, or the disk fails
EVERY_SHAPE = _pick(0, 1)  # what the supervisor does alone is tried with workers beside it too
EVERY_STEP = _pick(0, 1)  # calls fail in every way, and kills come at those that only read
ENDLESS_LINE = _pick(64 << 20, 1 << 30)  # octets of lines without an end
SLOW_CLIENTS = _pick(100, 2_000)  # clients whose commands trickle in
DEAF_CLIENTS = _pick(10, 200)  # clients that never read
HUGE_MAILDROP = _pick(10_000, 1_000_000)  # messages of a maildrop that nobody should have
SPARSE_MESSAGE = _pick(128 << 20, 10 << 30)  # octets of a file without any
INDEX_DAMAGES = _pick(300, 20_000)  # indexes with a bit that is not as it was
INDEX_WRITES = _pick(100, 2_000)  # changes of a maildrop that two processes have open
FLOODING_CLIENTS = _pick(50, 1_000)  # clients that send what might be logged
GUESSES = _pick(1_000, 10_000)  # wrong logins, each from elsewhere or at another account
STREAMS = _pick(2_000, 10_000)  # streams that one caller would like to have
WRONG_LOGINS = _pick(300, 10_000)  # over POP3, while others log in
GUESSING_NETWORKS = _pick(100, 1_000)  # that they come from
NEW_USERS = _pick(40, 400)  # that log in for the first time meanwhile
LEAST_DELAY_MS = _pick(200, 2_000)  # the delay of the first of them
MOST_DELAY_MS = _pick(1_000, 15_000)  # and that of the last
TIMED_TRIES = _pick(80, 2_000)  # wrong users, and wrong passwords, whose times are compared
RULES_BESIDE = _pick(12, 1)  # one in so many rules is tried on a fault that is not its own
