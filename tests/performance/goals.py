"""What the figures must reach, and what they aim at: against a server, or by themselves.

Against a server both numbers say how many times better ours must be; a tenth of its p99 is 10.
"""

from __future__ import annotations

from dataclasses import dataclass

from performance.figures import (
    OURS,
    P99,
    SESSIONS,
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
}


def goal_of(case: str, metric: Metric, server: str) -> Goal | None:
    """The goal of a figure, if it has one."""
    return GOALS.get((case, metric, server))


def verdict(goal: Goal, value: float, server: str) -> str:
    """``aim``, ``reached`` or ``below``."""
    if server == OURS:
        return "aim" if value <= goal.aim else "reached" if value <= goal.reach else "below"
    return "aim" if value >= goal.aim else "reached" if value >= goal.reach else "below"
