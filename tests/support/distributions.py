"""Whether two samples come from one distribution: two tests, by the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from statistics import NormalDist, median
from typing import NamedTuple


class Compared(NamedTuple):
    """How likely such a difference is by chance: in the order of values, and in their shape."""

    mann_whitney: float
    kolmogorov_smirnov: float

    @property
    def least(self) -> float:
        """The smaller one."""
        return min(self)


def compare(one: Sequence[float], other: Sequence[float]) -> Compared:
    """Compare two samples of 20 values or more."""
    return Compared(mann_whitney(one, other), kolmogorov_smirnov(one, other))


def mann_whitney(one: Sequence[float], other: Sequence[float]) -> float:
    """The chance of such ranks, both sides, by the normal approximation, corrected for ties."""
    n, m = len(one), len(other)
    values = sorted([(it, 0) for it in one] + [(it, 1) for it in other])
    rank, ranks, ties = 0, 0.0, 0
    for _, group in groupby(values, key=lambda it: it[0]):
        alike = list(group)
        ranks += (rank + (len(alike) + 1) / 2) * sum(who == 0 for _, who in alike)
        rank += len(alike)
        ties += len(alike) ** 3 - len(alike)
    total = n + m
    mean = n * (total + 1) / 2
    spread = math.sqrt(n * m / 12 * (total + 1 - ties / (total * (total - 1))))
    return 1.0 if spread == 0 else 2 * NormalDist().cdf(-abs(ranks - mean) / spread)


def kolmogorov_smirnov(one: Sequence[float], other: Sequence[float]) -> float:
    """The chance of such a distance between the two, by the asymptotic distribution."""
    values = sorted([(it, 0) for it in one] + [(it, 1) for it in other])
    below, largest = [0, 0], 0.0
    for _, group in groupby(values, key=lambda it: it[0]):
        for _, who in group:
            below[who] += 1
        largest = max(largest, abs(below[0] / len(one) - below[1] / len(other)))
    size = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    strength = (size + 0.12 + 0.11 / size) * largest
    if strength < 0.3:  # the series does not converge there; the chance is one
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * strength) ** 2) for k in range(1, 101))
    return min(max(2 * sum(terms), 0.0), 1.0)


def row(what: str, one: Sequence[float], other: Sequence[float]) -> str:
    """One line of a table, in milliseconds."""
    compared = compare(one, other)
    return (
        f"{what}: {len(one)} and {len(other)} tries, medians {median(one) * 1000:.3f} and"
        f" {median(other) * 1000:.3f} ms, p = {compared.mann_whitney:.3f} (Mann-Whitney),"
        f" {compared.kolmogorov_smirnov:.3f} (Kolmogorov-Smirnov)"
    )
