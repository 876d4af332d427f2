"""Sizes of the benchmark, in one table: ``full`` to measure, ``smoke`` to see that it all runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """What each mode works with; ``clients`` and ``users`` are counts."""

    rounds: int
    seconds: float
    crowds: tuple[int, ...]  # clients of the sessions rows, the fewest first
    polled_users: int  # at least so many, and one a client
    drained_users: int  # the supply of one run
    megabyte_users: int
    fifty_megabyte_users: int
    fifty_megabytes: int  # octets of those messages
    idle_points: tuple[int, ...]  # sessions held when memory is read
    peer_idle_points: tuple[int, ...]  # the same where every session is a process
    held_sessions: int  # idle while others work
    large_messages: int  # of the large mailbox
    huge_messages: int  # of the one that is measured by command
    small_commands: int  # of one session
    transformed_users: int


FULL = Sizes(
    rounds=5,
    seconds=4,
    crowds=(50, 300, 900),
    polled_users=100,
    drained_users=600,
    megabyte_users=32,
    fifty_megabyte_users=4,
    fifty_megabytes=50_000_000,
    idle_points=(0, 500, 1_000, 2_000, 3_000, 4_000, 5_000),
    peer_idle_points=(0, 250, 500, 1_000),
    held_sessions=10_000,
    large_messages=10_000,
    huge_messages=100_000,
    small_commands=400,
    transformed_users=20,
)
SMOKE = Sizes(
    rounds=1,
    seconds=0.3,
    crowds=(5, 10),
    polled_users=10,
    drained_users=10,
    megabyte_users=2,
    fifty_megabyte_users=1,
    fifty_megabytes=3_000_000,
    idle_points=(0, 20, 40),
    peer_idle_points=(0, 10, 20),
    held_sessions=50,
    large_messages=200,
    huge_messages=500,
    small_commands=40,
    transformed_users=2,
)
