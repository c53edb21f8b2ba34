"""F2: closed forms, exact enumeration, and the bound on the mean sample."""

import itertools
import math

import numpy as np
import pytest

from gates.stats.betting import Trinomial, log_e_mean_at_least, log_e_mean_at_most, log_e_of_middle, mean_bounds
from gates.stats.numerics import log_mean_exp

BETS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8)


def test_capital_is_the_product_that_the_specification_writes():
    """E = mean over bets of (1+b(1-m))^plus (1-b(1+m))^minus (1-bm)^zero."""
    plus, minus, zero, m = 7, 3, 40, 0.01
    expected = np.mean(
        [
            (1 + b * (1 - m)) ** plus * (1 - b * (1 + m)) ** minus * (1 - b * m) ** zero
            for b in [bet / (1 + m) for bet in BETS]
        ]
    )
    assert math.exp(log_e_mean_at_most(Trinomial(plus, minus, zero), m, BETS)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("logs", [[0.4], [0.4, -3.0], [1.0, 2.0, -0.5], [0.1, 5.0, 4.0, 300.0], [0.0] * 4])
def test_bets_in_the_middle_have_six_times_the_weight_of_the_ends_and_all_weights_are_one(logs):
    weights = [6.0 if len(logs) < 3 or 0 < place < len(logs) - 1 else 1.0 for place in range(len(logs))]
    capital = sum(weight * math.exp(log) for weight, log in zip(weights, logs, strict=True)) / sum(weights)
    assert log_e_of_middle(logs) == pytest.approx(math.log(capital))


@pytest.mark.parametrize("mean_max", [-0.1, 0.0, 0.02])
def test_expected_capital_is_one_at_the_boundary_of_the_null(mean_max):
    """Enumerated over all outcomes of six pairs whose mean is exactly at the null."""
    zero = 0.5
    plus = (1 - zero + mean_max) / 2
    chances = {1: plus, -1: 1 - zero - plus, 0: zero}
    total = 0.0
    for outcome in itertools.product(chances, repeat=6):
        counts = Trinomial(outcome.count(1), outcome.count(-1), outcome.count(0))
        total += math.prod(chances[d] for d in outcome) * math.exp(log_e_mean_at_most(counts, mean_max, BETS))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_promotion_is_the_mirror_image_of_rollback():
    counts = Trinomial(5, 9, 100)
    assert log_e_mean_at_least(counts, 0.01, BETS) == log_e_mean_at_most(Trinomial(9, 5, 100), -0.01, BETS)


def test_bounds_hold_the_estimate_and_shrink():
    """The confidence sequence is around the mean and narrows with the sample."""
    widths = []
    for scale in (1, 10, 100):
        low, high = mean_bounds(Trinomial(3 * scale, 2 * scale, 45 * scale), BETS, 0.01)
        assert low < 0.02 < high
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]


def test_bounds_of_nothing_are_the_whole_range():
    low, high = mean_bounds(Trinomial(), BETS, 0.01)
    assert low < -0.99
    assert high > 0.99


def test_log_mean_exp_does_not_overflow():
    assert log_mean_exp([1000.0, 1000.0]) == pytest.approx(1000.0)
    assert log_mean_exp([-math.inf, 0.0]) == pytest.approx(-math.log(2))
