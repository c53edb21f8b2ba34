"""Betting on bounded means, and their confidence sequence."""

import itertools
import math

import numpy as np
import pytest

from gates.stats.bounded import MeanBounds, MeanTest
from gates.stats.numerics import log_mean_exp

BETS = (0.05, 0.2, 0.6, 0.95)


@pytest.mark.parametrize("null", [-0.03, 0.0, 0.01])
def test_expected_capital_is_one_at_the_null(null):
    """Enumerated over five values of a two-point distribution with the null's mean, at the ends of the range."""
    test = MeanTest(null, 2.0, BETS)
    high = (null + 2) / 4
    total = 0.0
    for outcome in itertools.product((-2.0, 2.0), repeat=5):
        values = np.array(outcome)
        capital = test.add(test.start(), values, np.ones(5)).log_capital
        ups = outcome.count(2.0)
        total += high**ups * (1 - high) ** (5 - ups) * math.exp(log_mean_exp(capital))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_capital_does_not_depend_on_how_looks_cut_the_data():
    test = MeanTest(0.0, 1.0, BETS)
    values = np.random.default_rng(0).uniform(-1, 1, 40)
    whole = test.add(test.start(), values, np.ones(40))
    parts = test.start()
    for value in values:
        parts = test.add(parts, np.array([value]), np.ones(1))
    assert parts.log_capital == pytest.approx(whole.log_capital, abs=1e-9)


def test_bounds_cover_the_mean_at_every_look():
    """Of 300 runs of 60 looks each, far fewer than 1 % ever leave the true mean outside."""
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(300):
        bounds, outside = MeanBounds(), False
        for _ in range(60):
            bounds = bounds.add(rng.choice([-0.4, 0.0, 0.6], 20, p=[0.3, 0.5, 0.2]), np.ones(20), 1.0, 0.01)
            low, high = bounds.interval(1.0, 0.01)
            outside |= not low <= 0.0 <= high
        missed += outside
    assert missed <= 8
    assert high - low < 0.25
