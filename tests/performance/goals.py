"""What the figures must reach, and what they aim at: against a server, or by themselves.

Against a server both numbers say how many times better ours must be; a tenth of its p99 is 10.
"""

from __future__ import annotations

from dataclasses import dataclass

from performance.figures import (
    COLD,
    COMMANDS,
    FIRST_READING,
    FIXED,
    LOSS,
    OURS,
    P99,
    SESSIONS,
    SLOPE,
    THROUGHPUT,
    WARM,
    Metric,
)


@dataclass(frozen=True)
class Goal:
    """Times better than a server, or, for ``OURS``, the most that a figure may be."""

    reach: float
    aim: float


GOALS: dict[tuple[str, Metric, str], Goal] = {
    ("sessions", SESSIONS, "dovecot"): Goal(15, 25),
    ("sessions", SESSIONS, "dovecot-tuned"): Goal(4, 6),
    ("sessions", SESSIONS, "ceiling"): Goal(0.25, 0.40),
    ("sessions", P99, "dovecot-tuned"): Goal(3, 10),
    ("sessions-300", SESSIONS, "dovecot-tuned"): Goal(4, 6),
    ("sessions-900", SESSIONS, "dovecot-tuned"): Goal(4, 6),
    ("sessions-argon2", SESSIONS, "dovecot-argon2"): Goal(4, 8),
    ("sessions-tls", SESSIONS, "dovecot-tuned"): Goal(1.5, 2.5),
    ("drain", SESSIONS, "dovecot-fsync"): Goal(3, 6),
    ("drain", SESSIONS, "dovecot-tuned"): Goal(2, 4),
    ("retr-5k", THROUGHPUT, "dovecot-tuned"): Goal(2.5, 4),
    ("retr-1m", FIRST_READING, "dovecot-tuned"): Goal(1.5, 2.5),
    ("retr-50m", FIRST_READING, "dovecot-tuned"): Goal(1.5, 2.5),
    ("retr-1m-tls", FIRST_READING, "dovecot-tuned"): Goal(1, 1.5),
    ("retr-50m-tls", FIRST_READING, "dovecot-tuned"): Goal(1, 1.5),
    ("small", COMMANDS, "dovecot-tuned"): Goal(3, 4),
    ("small-20", COMMANDS, "dovecot-tuned"): Goal(2, 3),
    ("idle", SLOPE, OURS): Goal(10, 6),
    ("idle", FIXED, OURS): Goal(110, 90),
    ("idle-tls", SLOPE, OURS): Goal(40, 25),
    ("idle-work", LOSS, OURS): Goal(20, 5),
    ("mailbox", COLD, "dovecot"): Goal(2, 4),
    ("mailbox", WARM, "dovecot"): Goal(5, 15),
    ("both-cores", SESSIONS, "dovecot-tuned"): Goal(3.5, 5),
}


def goal_of(case: str, metric: Metric, server: str) -> Goal | None:
    """The goal of a figure, if it has one."""
    return GOALS.get((case, metric, server))


def verdict(goal: Goal, value: float, server: str) -> str:
    """``aim``, ``reached`` or ``below``."""
    if server == OURS:
        return "aim" if value <= goal.aim else "reached" if value <= goal.reach else "below"
    return "aim" if value >= goal.aim else "reached" if value >= goal.reach else "below"
