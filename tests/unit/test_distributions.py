"""The comparison finds what differs, and nothing where nothing does."""

from __future__ import annotations

import random

import pytest

from support.distributions import compare, kolmogorov_smirnov, mann_whitney


def test_known_values() -> None:
    """As scipy 1.14 gives them: mannwhitneyu (asymptotic, no continuity), ks_2samp (asymp)."""
    assert mann_whitney([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(0.0209, abs=1e-4)
    assert mann_whitney([1, 2, 2, 3], [2, 3, 3, 4]) == pytest.approx(0.1360, abs=2e-2)
    assert mann_whitney([1, 1], [1, 1]) == 1
    assert kolmogorov_smirnov([1, 2, 3], [1, 2, 3]) == 1


def test_samples_of_one_distribution_seldom_look_different() -> None:
    chance = random.Random(1)
    least = [
        compare(
            [chance.lognormvariate(0, 1) for _ in range(200)],
            [chance.lognormvariate(0, 1) for _ in range(200)],
        ).least
        for _ in range(300)
    ]
    assert sum(it < 0.05 for it in least) < 40
    assert min(least) > 1e-4


@pytest.mark.parametrize("shift", [0.3, 0.5])
def test_a_shift_of_a_part_of_the_spread_is_found(shift: float) -> None:
    chance = random.Random(2)
    one = [chance.gauss(0, 1) for _ in range(1000)]
    other = [chance.gauss(shift, 1) for _ in range(1000)]
    assert mann_whitney(one, other) < 1e-4
    assert kolmogorov_smirnov(one, other) < 1e-4


def test_a_wider_distribution_of_the_same_middle_is_found() -> None:
    chance = random.Random(3)
    one = [chance.gauss(0, 1) for _ in range(1000)]
    other = [chance.gauss(0, 2) for _ in range(1000)]
    assert kolmogorov_smirnov(one, other) < 1e-4
