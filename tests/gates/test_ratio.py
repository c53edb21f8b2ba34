"""F1: closed forms, exact enumeration, the deadline test, and the confidence sequence."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from gates.stats.numerics import log_mean_exp
from gates.stats.ratio import Arms, RatioBounds, RatioTest

GRID = (1.5, 2.0, 3.0, 4.0)


def theta(ratio: float, share: float) -> float:
    return ratio * share / (ratio * share + 1 - share)


def test_log_e_is_the_formula_of_the_specification():
    """Two windows with different realised shares, summed as written in the method."""
    test = RatioTest(1.2, (1.8, 3.6))
    windows = [(3, 100, 10, 900), (5, 400, 6, 600)]
    state = test.start()
    for window in windows:
        state = test.add(state, Arms(*window))
    for place, ratio in enumerate((1.8, 3.6)):
        expected = 0.0
        for x, n, y, m in windows:
            rho = n / (n + m)
            expected += x * math.log(theta(ratio, rho) / theta(1.2, rho))
            expected += y * math.log((1 - theta(ratio, rho)) / (1 - theta(1.2, rho)))
        assert state.log_e[place] == pytest.approx(expected, rel=1e-12)


def test_expected_evidence_is_one_at_the_null():
    """Exact enumeration: 12 events, of which each is the candidate's with probability theta(1, rho)."""
    test = RatioTest(1.0, GRID)
    total = 0.0
    for x in range(13):
        state = test.add(test.start(), Arms(x, 300, 12 - x, 700))
        total += binom.pmf(x, 12, 0.3) * math.exp(log_mean_exp(state.log_e))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_ramps_and_shared_load_cost_nothing():
    """Ten times the load, or another share, changes nothing where the candidate keeps its part of the events."""
    test = RatioTest(1.0, GRID)
    alone = test.add(test.start(), Arms(5, 50, 5, 950))
    loaded = test.add(test.start(), Arms(5, 500, 5, 9500))
    assert alone.log_e == pytest.approx(loaded.log_e)
    assert alone.estimate() == pytest.approx(19.0)


def test_a_window_without_one_of_the_versions_says_nothing():
    test = RatioTest(1.0, GRID)
    assert test.add(test.start(), Arms(3, 10, 0, 0)) == test.start()
    assert RatioBounds().add(Arms(0, 0, 3, 10)) == RatioBounds()


def test_deadline_test_is_the_binomial_one_at_a_constant_share():
    test = RatioTest(1.0, GRID)
    state = test.start()
    for _ in range(4):
        state = test.add(state, Arms(5, 100, 4, 300))
    assert state.equal_rates_p_value() == pytest.approx(binom.sf(19, 36, 0.25), rel=1e-9)


def test_deadline_test_holds_its_level_when_the_share_ramps():
    """Poisson binomial by simulation: the p-value is never too small."""
    rng = np.random.default_rng(4)
    test = RatioTest(1.0, GRID)
    p_values = []
    for _ in range(2000):
        state = test.start()
        for rho in (0.01, 0.05, 0.2, 0.5):
            x = int(rng.binomial(30, rho))
            state = test.add(state, Arms(x, int(1000 * rho), 30 - x, int(1000 * (1 - rho))))
        p_values.append(state.equal_rates_p_value())
    for level in (0.01, 0.05, 0.1):
        assert np.mean(np.array(p_values) <= level) <= level + 3 * math.sqrt(level / 2000)


def test_bounds_exclude_what_the_counts_exclude():
    bounds = RatioBounds()
    for _ in range(20):
        bounds = bounds.add(Arms(30, 1000, 10, 1000))
    low, high = bounds.interval(0.01)
    assert 1.5 < low < 3.0 < high < 6.0
    assert RatioBounds().interval(0.01) == (0.0, math.inf)
