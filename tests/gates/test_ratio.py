"""F1: closed forms, exact enumeration, the deadline test, and the confidence sequence."""

import math

import pytest
from scipy.stats import binom

from gates.stats.cap import Cap
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


def test_a_look_adds_no_more_than_it_may_and_its_evidence_is_divided_by_the_effect():
    arms = Arms(20, 100, 20, 900)
    whole = RatioTest(1.0, GRID).add(RatioTest(1.0, GRID).start(), arms)
    divided = RatioTest(1.0, GRID).add(RatioTest(1.0, GRID).start(), arms, 4.0)
    assert divided.log_e == pytest.approx([value / 4 for value in whole.log_e])
    limited = RatioTest(1.0, GRID, Cap(2.0)).add(RatioTest(1.0, GRID).start(), arms)
    assert whole.peak > 10
    assert limited.peak == pytest.approx(2.0)
    apart = [value - limited.log_e[0] for value in limited.log_e]
    assert apart == pytest.approx([value - whole.log_e[0] for value in whole.log_e])


def test_bounds_exclude_what_the_counts_exclude():
    bounds = RatioBounds()
    for _ in range(20):
        bounds = bounds.add(Arms(30, 1000, 10, 1000))
    low, high = bounds.interval(0.01)
    assert 1.5 < low < 3.0 < high < 6.0
    assert RatioBounds().interval(0.01) == (0.0, math.inf)
