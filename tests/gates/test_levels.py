"""Validity: the null is simulated, watched at every look, and the evidence crosses 1/alpha as rarely as it promises.

Each bound lies between the rate at ``alpha`` and the rate at twice ``alpha`` of the same runs: it would fail if a
level were doubled by mistake. Ratios and shares that are watched for harm bet what they learn, and stay further below:
`test_exact_paths` holds them to every stopping time.
"""

import math

import numpy as np
import pytest

from gates.policy import CalibrationPolicy, PairedAccuracyPolicy
from gates.stats.betting import Trinomial, log_e_mean_at_least, log_e_mean_at_most
from gates.stats.bounded import MeanTest
from gates.stats.ratio import Arms, RatioTest

ALPHA = 0.1
RELEASES = 1500
BETS = PairedAccuracyPolicy().bets


def errors_at_the_margin(rng):
    """F1 for promotion, at a ratio of exactly the margin."""
    test = RatioTest(3.0, (0.3, 0.6, 1.0, 1.5, 2.1))
    state = test.start()
    for _ in range(100):
        state = test.add(state, Arms(int(rng.poisson(9)), 1200, int(rng.poisson(3)), 1200))
    return state.peak


def paired(rng, chances, evidence):
    looks = np.cumsum(rng.multinomial(60, chances, 100), axis=0)
    return max(0.0, *(evidence(Trinomial(*(int(n) for n in row))) for row in looks))


def equal_accuracy(rng):
    return paired(rng, [0.035, 0.035, 0.93], lambda counts: log_e_mean_at_most(counts, 0.0, BETS))


def accuracy_at_the_margin(rng):
    return paired(rng, [0.04, 0.03, 0.93], lambda counts: log_e_mean_at_least(counts, 0.01, BETS))


def gap_at_the_tolerance(rng):
    """Betting on a skewed value with mean exactly at the tolerance."""
    test = MeanTest(0.01, 2.0, CalibrationPolicy().bets)
    state = test.start()
    for _ in range(60):
        chance = rng.random(60)
        values = 0.9 * (chance < 0.04 + 0.1 / 9) - 0.9 * (chance > 0.96)
        state = test.add(state, values, np.ones(60))
    return state.peak


@pytest.mark.parametrize(
    ("null", "bound"),
    [
        (errors_at_the_margin, 0.055),
        (equal_accuracy, 0.09),
        (accuracy_at_the_margin, 0.095),
        (gap_at_the_tolerance, 0.05),
    ],
)
def test_a_true_null_is_rejected_as_rarely_as_promised(null, bound):
    rng = np.random.default_rng(20)
    p_values = np.exp(-np.array([null(rng) for _ in range(RELEASES)]))
    assert np.mean(p_values <= ALPHA) <= bound <= ALPHA
    assert np.mean(p_values <= 2 * ALPHA) > bound


def test_a_loss_of_two_points_is_found_near_the_information_bound():
    """7 % discordant, one pair at a time: the mean sample is at most 1.2 times ln(1/alpha) / max growth."""
    alpha, plus, minus = 0.0045, 0.045, 0.025
    bets = np.linspace(0.01, 0.9, 200)
    growth = np.max(plus * np.log1p(bets) + minus * np.log1p(-bets))
    rng = np.random.default_rng(21)
    discordant = rng.geometric(plus + minus, (300, 700)).cumsum(axis=1)
    lost = (rng.random((300, 700)) < plus / (plus + minus)).cumsum(axis=1)
    won = np.arange(1, 701) - lost
    capital = np.logaddexp.reduce([lost * np.log1p(b) + won * np.log1p(-b) for b in BETS]) - math.log(len(BETS))
    first = np.argmax(capital >= math.log(1 / alpha), axis=1)
    assert np.all(np.max(capital, axis=1) >= math.log(1 / alpha))
    assert np.mean(discordant[np.arange(300), first]) <= 1.25 * math.log(1 / alpha) / growth
    assert np.median(first + 1) <= 150
