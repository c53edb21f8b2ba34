"""One probability: certificates from clean traffic, and the confidence sequence."""

import math

import pytest
from scipy.stats import binom

from gates.stats.exact import median_bounds, share_bounds, upper_tail
from gates.stats.numerics import log_mean_exp
from gates.stats.share import ShareState, ShareTest, below


@pytest.mark.parametrize("test", [ShareTest(0.1, (0.15, 0.3)), below(0.1)])
def test_expected_evidence_is_one_at_the_null(test):
    """Exact enumeration of 20 requests."""
    total = sum(binom.pmf(x, 20, 0.1) * math.exp(log_mean_exp(test.log_e(x, 20))) for x in range(21))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_clean_traffic_certifies_a_ceiling_after_about_the_bound():
    """About ln(1/alpha)/ceiling clean requests; the mixture adds ln 3 to the numerator."""
    ceiling, alpha = 0.001, 0.01
    state, test = ShareState(), below(ceiling)
    while state.peak < math.log(1 / alpha):
        state = test.add(state, 0, 10)
    bound = math.log(1 / alpha) / ceiling
    assert bound <= state.total <= bound + math.log(3) / ceiling + 20


def test_more_events_never_help():
    """For every count of events, one more never strengthens the certificate nor weakens the alarm."""
    safe, harm = below(0.05), ShareTest(0.05, (0.1, 0.2))
    for events in range(30):
        assert log_mean_exp(safe.log_e(events + 1, 100)) <= log_mean_exp(safe.log_e(events, 100))
        assert log_mean_exp(harm.log_e(events + 1, 100)) >= log_mean_exp(harm.log_e(events, 100))


def test_what_comes_in_clusters_certifies_as_much_as_its_clusters():
    one = below(0.05).add(ShareState(), 2, 300)
    five = below(0.05).add(ShareState(), 10, 1500, 5.0)
    assert five.peak == pytest.approx(one.peak)
    assert five.share == one.share
    assert five.interval(0.01) == pytest.approx(one.interval(0.01), rel=0.01, abs=1e-9)


def test_interval_is_around_the_share():
    low, high = ShareState(events=30, total=1000).interval(0.01)
    assert 0.01 < low < 0.03 < high < 0.06
    assert ShareState().interval(0.01) == (pytest.approx(0, abs=1e-9), pytest.approx(1, abs=1e-9))


def test_exact_bounds_and_tail_agree_with_the_binomial():
    assert upper_tail(7, 20, 0.2) == pytest.approx(binom.sf(6, 20, 0.2), rel=1e-9)
    low, high = share_bounds(7, 20, 0.02)
    assert binom.sf(6, 20, low) == pytest.approx(0.01, rel=1e-6)
    assert binom.cdf(7, 20, high) == pytest.approx(0.01, rel=1e-6)
    assert share_bounds(0, 20, 0.02)[0] == 0.0
    assert share_bounds(20, 20, 0.02)[1] == 1.0


@pytest.mark.parametrize("count", [6, 7, 40, 201])
def test_bounds_of_a_median_hold_it_as_often_as_they_say_and_no_tighter_ones_do(count):
    """Exact: the median lies between two order statistics as often as a fair coin falls in between."""
    low, high = median_bounds(range(1, count + 1), 0.05)
    assert low + high == count + 1
    assert 1 - 2 * binom.cdf(low - 1, count, 0.5) >= 0.95 > 1 - 2 * binom.cdf(low, count, 0.5)


def test_few_values_do_not_bound_a_median():
    assert median_bounds([1.0, 2.0, 3.0, 4.0, 5.0], 0.05) is None
    assert median_bounds([], 0.05) is None
