"""The gates' arithmetic against implementations by others, written from the same papers.

* ``ville`` (in the development extra: numpy and scipy only): beta-binomial mixtures, betting, confidence sequences.
* ``savvi`` (the tests of Lindon and Malek) and ``ppi-python`` bring a compiler and solvers of 500 MB, so they are an
  extra of their own: ``pip install -c constraints.txt ppi-python savvi``. Without it their tests are left out.

Their mixtures are over continuous priors or over bets of their own; each test chooses ours so that the two must agree.
"""

import math

import numpy as np
import pytest
import ville
from scipy.optimize import minimize_scalar
from scipy.special import rel_entr
from scipy.stats import beta, betabinom

from gates.stats.betting import Trinomial, log_e_mean_at_least, log_e_mean_at_most
from gates.stats.bounded import MeanBounds, MeanTest
from gates.stats.difference import DifferenceTest
from gates.stats.numerics import log_mean_exp
from gates.stats.ratio import Arms, RatioTest
from gates.stats.share import ShareState, ShareTest
from gates.stats.weighted import Stratum, aipw, drawn, hajek

CONSTANT = 1e-300  # a level so small that ville's plug-in bets are always cut to their largest, the constant one


def quantiles(a, b, points=4000):
    """Points of equal weight that stand for a beta prior: a mean over them is its integral, nearly."""
    return beta.ppf((np.arange(points) + 0.5) / points, a, b)


# --- F1: counts -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("own", "others", "null"), [(1, 3, 1.0), (1, 19, 1.0), (1, 1, 3.0)])
def test_evidence_of_a_ratio_is_ville_s_for_the_same_prior(own, others, null):
    """Given an event it is the candidate's with probability theta: a beta-binomial test of one probability."""
    prior, rng = (2.0, 5.0), np.random.default_rng(1)
    thetas = quantiles(*prior)
    odds = own / others
    test = RatioTest(null, tuple((thetas / (1 - thetas) / odds).tolist()))
    events = rng.random(60) < 0.4
    expected = ville.BernoulliTest(null * odds / (1 + null * odds), prior=prior).fit(events)
    state = test.start()
    for number, event in enumerate(events):
        state = test.add(state, Arms(int(event), 100 * own, int(not event), 100 * others))
        assert log_mean_exp(state.log_e) == pytest.approx(expected.log_e_values_[number], abs=2e-3)


def test_evidence_of_a_ratio_is_the_beta_binomial_closed_form():
    """The same over three windows at once: marginal over null likelihood, with scipy's beta-binomial."""
    a, b, thetas = 3.0, 9.0, quantiles(3.0, 9.0)
    test = RatioTest(1.0, tuple((thetas / (1 - thetas) * 3).tolist()))
    state = test.start()
    for x, events in ((3, 9), (0, 4), (11, 20)):
        state = test.add(state, Arms(x, 250, events - x, 750))
    expected = betabinom.logpmf(14, 33, a, b) - math.log(math.comb(33, 14)) - 14 * math.log(0.25) - 19 * math.log(0.75)
    assert log_mean_exp(state.log_e) == pytest.approx(expected, abs=2e-3)


def test_evidence_of_a_ratio_is_savvi_s_for_the_same_prior():
    """Their multinomial test of the same paper, window by window."""
    multinomial = pytest.importorskip("savvi.multinomial", reason="the extra [oracles] is not installed")
    share, strength = 0.25, 20.0
    thetas = quantiles(strength * share, strength * (1 - share))
    test = RatioTest(1.0, tuple((thetas / (1 - thetas) * (1 - share) / share).tolist()))
    theirs = multinomial.Multinomial(0.05, np.array([share, 1 - share]), k=strength)
    state = test.start()
    for x, y in ((3, 5), (0, 7), (4, 2), (9, 11), (6, 3)):
        state = test.add(state, Arms(x, 250, y, 750))
        theirs.update(np.array([x, y]))
        assert log_mean_exp(state.log_e) == pytest.approx(math.log(theirs.odds), abs=2e-3)


def test_evidence_against_a_share_is_ville_s_for_the_same_prior():
    """Error ceilings and latency objectives."""
    shares, rng = quantiles(1.0, 30.0), np.random.default_rng(2)
    events = rng.random(300) < 0.05
    expected = ville.BernoulliTest(0.02, prior=(1.0, 30.0)).fit(events).log_e_values_
    test = ShareTest(0.02, tuple(shares.tolist()))
    for seen in (1, 10, 300):
        found = log_mean_exp(test.log_e(int(events[:seen].sum()), seen))
        assert found == pytest.approx(expected[seen - 1], abs=2e-3)


@pytest.mark.parametrize(("events", "total"), [(0, 5), (0, 900), (1, 40), (30, 1000), (500, 1000), (40, 40)])
def test_bounds_of_a_share_are_ville_s_and_err_to_the_outside(events, total):
    """Robbins' mixture with the prior (1/2, 1/2); ours are searched to a hundredth of their distance."""
    stream = np.arange(total) < events
    low, high = ville.BernoulliCS(alpha=0.01, prior=(0.5, 0.5), intersect=False).fit(stream).interval()
    ours = ShareState(events, total).interval(0.01)
    share = events / total
    assert ours[0] <= low + 1e-12
    assert high <= ours[1] + 1e-12
    assert share - ours[0] <= 1.02 * (share - low) + 1e-9
    assert ours[1] - share <= 1.02 * (high - share) + 1e-9


# --- F2: bets ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("null", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("bet", [0.1, 0.7])
def test_capital_on_pairs_is_ville_s_for_a_constant_bet(null, bet):
    """Both directions, at every pair."""
    losses = np.random.default_rng(3).choice([1, -1, 0], 200, p=[0.1, 0.05, 0.85])
    theirs = ville.BettingTest(null, bounds=(-1, 1), alternative="greater", alpha=CONSTANT, c=bet).fit(losses)
    mirrored = ville.BettingTest(-null, bounds=(-1, 1), alternative="less", alpha=CONSTANT, c=bet).fit(-losses)
    for seen in (1, 7, 200):
        counts = Trinomial(*(int(np.sum(losses[:seen] == value)) for value in (1, -1, 0)))
        found = log_e_mean_at_most(counts, null, (bet,))
        assert found == pytest.approx(theirs.log_e_values_[seen - 1], abs=1e-9)
        found = log_e_mean_at_least(counts.mirrored, -null, (bet,))
        assert found == pytest.approx(mirrored.log_e_values_[seen - 1], abs=1e-9)


@pytest.mark.parametrize("null", [-0.03, 0.0, 0.01])
@pytest.mark.parametrize("bet", [0.05, 0.6])
def test_capital_on_a_bounded_mean_is_ville_s_for_a_constant_bet(null, bet):
    """calibration.shadow, looks of any size against one value at a time."""
    values = np.random.default_rng(4).uniform(-1.2, 1.5, 400)
    theirs = ville.BettingTest(null, bounds=(-2, 2), alternative="greater", alpha=CONSTANT, c=bet).fit(values)
    test = MeanTest(null, 2.0, (bet,))
    state, seen = test.start(), 0
    for size in (1, 33, 66, 300):
        state = test.add(state, values[seen : seen + size], np.ones(size))
        seen += size
        assert state.log_capital[0] == pytest.approx(theirs.log_e_values_[seen - 1], abs=1e-9)


def test_bounds_of_a_mean_are_ville_s_empirical_bernstein_ones():
    """One value a look. The variance that chooses the step is estimated around another mean, so nearly, not exactly."""
    values = np.random.default_rng(5).choice([-0.4, 0.0, 0.6], 600, p=[0.3, 0.5, 0.2])
    theirs = ville.EmpiricalBernsteinCS(bounds=(-1, 1), alpha=0.01, c=0.5, intersect=False).fit(values)
    ours = MeanBounds()
    for seen, value in enumerate(values, start=1):
        ours = ours.add(np.array([value]), np.ones(1), 1.0, 0.01)
        if seen in (20, 100, 600):
            expected = theirs.lower_[seen - 1], theirs.upper_[seen - 1]
            width = expected[1] - expected[0]
            assert ours.interval(1.0, 0.01) == pytest.approx(expected, abs=0.03 * width)


# --- differences ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("arms", [Arms(1, 10, 3, 10), Arms(9, 100, 40, 900), Arms(0, 300, 8, 100)])
def test_evidence_of_a_difference_is_the_likelihood_over_that_of_the_nearest_null(arms):
    """The projection found by plain minimisation of the divergence, instead of a root of its derivative."""
    margin, guess = 0.02, -0.01
    test = DifferenceTest(margin, (guess,))
    stable = (0 + 0.5) / (0 + 5)
    candidate = stable + guess

    def divergence(p):
        own = rel_entr(candidate, p) + rel_entr(1 - candidate, 1 - p)
        others = rel_entr(stable, p - margin) + rel_entr(1 - stable, 1 - p + margin)
        return arms.candidate_total * own + arms.stable_total * others

    nearest = float(minimize_scalar(divergence, bounds=(margin, 0.5), method="bounded", options={"xatol": 1e-12}).x)

    def log_likelihood(p, q):
        own = arms.candidate_events * math.log(p) + (arms.candidate_total - arms.candidate_events) * math.log(1 - p)
        return own + arms.stable_events * math.log(q) + (arms.stable_total - arms.stable_events) * math.log(1 - q)

    expected = log_likelihood(candidate, stable) - log_likelihood(nearest, nearest - margin)
    assert test.add(test.start(), arms).log_e[0] == pytest.approx(expected, abs=1e-5)


# --- uneven samples ---------------------------------------------------------------------------------------------------
def test_the_ratio_estimate_is_the_weighted_mean_of_ppi():
    """Its interval is around the deviations from the mean, which is that of a ratio; theirs is of the products."""
    ppi = pytest.importorskip("ppi_py", reason="the extra [oracles] is not installed")
    rng = np.random.default_rng(6)
    probabilities = rng.choice([0.05, 0.2, 0.8], 500)
    values = rng.binomial(1, 0.9 - 0.5 * probabilities).astype(float)
    low, high = ppi.classical_mean_ci(values, w=1 / probabilities, alpha=0.05)
    assert hajek(drawn(values, probabilities), 0.05).mean == pytest.approx((low + high) / 2, abs=1e-12)


def test_the_augmented_estimate_is_the_prediction_powered_one():
    """Each unit predicted by its stratum's mean. Their variance takes sample and population for independent samples."""
    ppi = pytest.importorskip("ppi_py", reason="the extra [oracles] is not installed")
    rng = np.random.default_rng(7)
    apart = rng.random(20_000) < 0.2
    right = rng.binomial(1, np.where(apart, 0.4, 0.95)).astype(float)
    seen = rng.random(20_000) < np.where(apart, 0.3, 0.02)
    strata, predicted = [], np.zeros(20_000)
    for where in (apart, ~apart):
        sample = drawn(right[where & seen], np.full(np.sum(where & seen), 0.1))
        predicted[where] = sample.mean
        strata.append(Stratum(int(where.sum()), sample))
    weights = np.where(apart, 1 / 0.3, 1 / 0.02)[seen]
    labelled = right[seen], predicted[seen], predicted
    point = ppi.ppi_mean_pointestimate(*labelled, lam=1, w=weights)
    low, high = (float(end[0]) for end in ppi.ppi_mean_ci(*labelled, alpha=0.05, lam=1, w=weights))
    ours = aipw(strata, 0.05)
    assert ours.mean == pytest.approx(float(point[0]), abs=1e-12)
    assert ours.high - ours.low == pytest.approx(high - low, rel=0.03)
