"""Exact enumeration: every path of small experiments, for every null on a grid, stopped whenever one likes.

No simulation and no tolerance but rounding. The best stopping rule is found by backward induction (the Snell envelope),
so "at most one for every stopping time" is one number. A level is the exact chance that a rule ever fires; each is
within what was promised, and would not be if the level were doubled.
"""

import itertools
import math
from collections import defaultdict
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from scipy.stats import binom

from gates.gate import Timing
from gates.policy import CalibrationPolicy, PairedAccuracyPolicy
from gates.stats.betting import Trinomial, log_e_mean_at_least, log_e_mean_at_most
from gates.stats.bounded import MeanTest
from gates.stats.cap import Cap
from gates.stats.difference import DifferenceTest
from gates.stats.exact import upper_tail
from gates.stats.homogeneity import HomogeneityState
from gates.stats.numerics import log_mean_exp
from gates.stats.ratio import Arms, RatioTest
from gates.stats.share import below
from gates.stats.spread import Spread
from gates.stats.watch import RESERVE, RatioWatch, ShareWatch, WatchState

ROUNDING = 1e-12


def wealth_of(state):
    """The log of what a watch has at stake and in reserve."""
    return float(np.logaddexp(state.log_stake, math.log(RESERVE / (state.restarts + 1))))


def best_stopping(state, step, log_e, outcomes, looks):
    """The largest mean of E over all stopping times within ``looks``; ``outcomes`` are (chance, what is seen)."""
    now = math.exp(log_e(state))
    if not looks:
        return now
    going_on = math.fsum(
        chance * best_stopping(step(state, seen), step, log_e, outcomes, looks - 1)
        for chance, seen in outcomes
        if chance
    )
    return max(now, going_on)


# --- every stopping time ----------------------------------------------------------------------------------------------
PAIRED = PairedAccuracyPolicy().bets
THREE = {(1, 0, 0): "plus", (0, 1, 0): "minus", (0, 0, 1): "zero"}


@pytest.mark.parametrize("mean", [-0.1, -0.02, 0.0, 0.01])
@pytest.mark.parametrize("discordant", [0.1, 0.5, 1.0])
def test_no_stopping_rule_gains_from_pairs_of_an_equal_candidate(mean, discordant):
    """accuracy.shadow, harm (mean at most 0) and certificate (mean at least the margin), each in its own null."""
    plus, minus = (discordant + mean) / 2, (discordant - mean) / 2
    outcomes = list(zip((plus, minus, 1 - discordant), THREE, strict=True))

    def step(counts, seen):
        return Trinomial(
            *(before + more for before, more in zip((counts.plus, counts.minus, counts.zero), seen, strict=True))
        )

    if mean <= 0:
        value = best_stopping(Trinomial(), step, lambda c: log_e_mean_at_most(c, 0.0, PAIRED), outcomes, 8)
        assert value == pytest.approx(1, abs=ROUNDING)  # E starts at 1: nothing is gained by going on
    if mean >= 0.01:
        value = best_stopping(Trinomial(), step, lambda c: log_e_mean_at_least(c, 0.01, PAIRED), outcomes, 8)
        assert value == pytest.approx(1, abs=ROUNDING)


def test_a_worse_candidate_is_worth_going_on_for():
    """The enumeration can tell: outside the null the best stopping rule gains."""
    outcomes = list(zip((0.3, 0.1, 0.6), THREE, strict=True))

    def step(counts, seen):
        return Trinomial(counts.plus + seen[0], counts.minus + seen[1], counts.zero + seen[2])

    assert best_stopping(Trinomial(), step, lambda c: log_e_mean_at_most(c, 0.0, PAIRED), outcomes, 8) > 1.3


SHARES = ((1, 3), (1, 1), (9, 1))


@pytest.mark.parametrize("cap", [Cap(0.3), Cap(0.3, 60.0), Cap()])
@pytest.mark.parametrize(("null", "below_null"), [(1.0, 1.0), (1.0, 0.8), (1.2, 1.0), (1.2, 0.3), (3.0, 0.8)])
@pytest.mark.parametrize("totals", SHARES)
def test_no_stopping_rule_gains_from_the_events_of_rates_within_the_null(null, below_null, totals, cap):
    """errors and latency: events one at a time, and looks of three, at ratios at and below the null, what is bet being
    learnt on the way, and what may count by what counted lately."""
    watch = RatioWatch(cap)
    own, others = totals
    odds = null * below_null * own / others
    theta = odds / (1 + odds)
    for events, looks in ((1, 9), (3, 5)):
        outcomes = [
            (float(binom.pmf(x, events, theta)), Arms(x, 1000 * own, events - x, 1000 * others))
            for x in range(events + 1)
        ]
        value = best_stopping(
            WatchState(), lambda s, arms: watch.add(s, arms, null=null, length_s=20.0), wealth_of, outcomes, looks
        )
        assert value == pytest.approx(1, abs=ROUNDING)


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("totals", SHARES)
def test_no_stopping_rule_gains_from_clusters_whose_size_is_the_effect(size, totals):
    """Each event comes ``size`` times, and its evidence is divided by that: as if it came once. Undivided, the best
    stopping rule gains."""
    own, others = totals
    theta = own / (own + others)
    outcomes = [
        (theta, Arms(size, 1000 * own, 0, 1000 * others)),
        (1 - theta, Arms(0, 1000 * own, size, 1000 * others)),
    ]
    tests = RatioTest(1.0, (1.5, 4.0)), RatioTest(1.0, (0.3, 0.7))

    def gained(effect):
        watch = best_stopping(
            WatchState(), lambda s, arms: RatioWatch().add(s, arms, effect=effect), wealth_of, outcomes, 8
        )
        mixtures = [
            best_stopping(test.start(), partial(added, test, effect), lambda s: log_mean_exp(s.log_e), outcomes, 8)
            for test in tests
        ]
        return max(watch, *mixtures)

    assert gained(float(size)) == pytest.approx(1, abs=ROUNDING)
    assert size == 1 or gained(1.0) > 1.2


def added(test, effect, state, arms):
    return test.add(state, arms, effect)


def test_no_stopping_rule_gains_from_an_effect_that_is_learnt():
    """The spread of the looks so far divides the evidence of the next one, whatever it has been taken for."""
    watch = RatioWatch(Cap(0.5))
    outcomes = [(float(binom.pmf(x, 3, 0.25)), Arms(x, 1000, 3 - x, 3000)) for x in range(4)]

    def step(state, arms):
        seen, spread = state
        return watch.add(seen, arms, effect=spread.lasting), spread.add(arms)

    value = best_stopping((WatchState(), Spread()), step, lambda s: wealth_of(s[0]), outcomes, 6)
    assert value == pytest.approx(1, abs=ROUNDING)


@pytest.mark.parametrize("most", [0.05, math.inf])
@pytest.mark.parametrize("above_null", [1.0, 1.5])
def test_no_stopping_rule_gains_a_certificate_from_rates_beyond_the_margin(above_null, most):
    safe = RatioTest(3.0, tuple(3.0 * factor for factor in (0.1, 0.2, 1 / 3, 0.5, 0.7)), Cap(most))
    odds = 3.0 * above_null / 4
    theta = odds / (1 + odds)
    outcomes = [(theta, Arms(1, 100, 0, 400)), (1 - theta, Arms(0, 100, 1, 400))]
    value = best_stopping(safe.start(), safe.add, lambda s: log_mean_exp(s.log_e), outcomes, 10)
    assert value == pytest.approx(1, abs=ROUNDING)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_no_stopping_rule_gains_from_a_share_within_its_null(share):
    """Objectives and ceilings: at most 0.1 against more (share up to it), at least 0.1 against fewer (from it on)."""
    outcomes = [(share, 1), (1 - share, 0)]
    if share <= 0.1:
        watch = ShareWatch(0.1)
        value = best_stopping(WatchState(), lambda s, x: watch.add(s, x, 1), wealth_of, outcomes, 10)
        assert value == pytest.approx(1, abs=ROUNDING)
    if share >= 0.1:
        test = below(0.1)
        value = best_stopping(
            (0, 0), lambda s, x: (s[0] + x, s[1] + 1), lambda s: log_mean_exp(test.log_e(*s)), outcomes, 10
        )
        assert value == pytest.approx(1, abs=ROUNDING)


@pytest.mark.parametrize("stable", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("sizes", [(1, 1), (1, 3)])
def test_no_stopping_rule_gains_a_certificate_from_a_difference_at_the_margin(stable, sizes):
    """accuracy.live: labels of both versions' own answers, the guess of stable's rate learned on the way."""
    margin = 0.05
    test = DifferenceTest(margin, tuple(margin * guess for guess in (-2.0, -0.5, 0.0, 0.4)))
    outcomes = [
        (
            float(binom.pmf(x, sizes[0], stable + margin) * binom.pmf(y, sizes[1], stable)),
            Arms(x, sizes[0], y, sizes[1]),
        )
        for x in range(sizes[0] + 1)
        for y in range(sizes[1] + 1)
    ]
    value = best_stopping(test.start(), test.add, lambda s: log_mean_exp(s.log_e), outcomes, 4)
    assert value == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("chances", [(0.2, 0.5, 0.3), (0.9, 0.05, 0.05)])
def test_no_stopping_rule_gains_from_counts_of_one_distribution(chances):
    """experiment.inputs and drift: one answer of each version a look, guesses learned on the way."""
    bins = range(len(chances))
    one = [tuple(int(place == at) for place in bins) for at in bins]
    outcomes = [(chances[a] * chances[b], (one[a], one[b])) for a, b in itertools.product(bins, bins)]
    value = best_stopping(HomogeneityState(), lambda s, seen: s.add(*seen), lambda s: s.log_e, outcomes, 4)
    assert value == pytest.approx(1, abs=ROUNDING)


@pytest.mark.parametrize("null", [-0.03, 0.0, 0.01])
def test_no_stopping_rule_gains_from_an_uneven_sample_whose_population_is_within_the_null(null):
    """calibration.shadow with ``inclusion_probability_min``: bad values are drawn four times as often, and weigh less.

    The population's mean is exactly the null; that of the sample is far above it.
    """
    least, test = 0.1, MeanTest(null, 2.0, CalibrationPolicy().bets)
    rare = (null + 0.4) / 1.2  # of the population: 0.8, the rest -0.4
    population = {0.8: (rare, 0.4), -0.4: (1 - rare, least)}
    drawn = sum(share * probability for share, probability in population.values())
    outcomes = [
        (share * probability / drawn, (value, least / probability))
        for value, (share, probability) in population.items()
    ]
    assert sum(chance * value for chance, (value, _) in outcomes) > null + 0.1

    def step(state, seen):
        return test.add(state, np.array([seen[0]]), np.array([seen[1]]))

    value = best_stopping(test.start(), step, lambda s: log_mean_exp(s.log_capital), outcomes, 9)
    assert value == pytest.approx(1, abs=ROUNDING)


# --- the same in whole numbers ----------------------------------------------------------------------------------------
def test_evidence_of_a_ratio_sums_to_one_in_fractions_and_is_what_the_gate_computes():
    """Three windows of different shares, all outcomes: products of exact conditional binomials, no rounding at all."""
    windows = [(2, 10, 90), (3, 20, 60), (2, 50, 50)]  # events, candidate's requests, stable's
    null, grid = Fraction(1), [Fraction(3, 2), Fraction(2), Fraction(4)]
    test = RatioTest(1.0, tuple(map(float, grid)))

    def likelihood(ratio, x, window):
        events, own, others = window
        theta = ratio * own / (ratio * own + others)
        return math.comb(events, x) * theta**x * (1 - theta) ** (events - x)

    total = Fraction(0)
    for outcome in itertools.product(*(range(events + 1) for events, _, _ in windows)):
        seen = list(zip(outcome, windows, strict=True))
        chance = math.prod(likelihood(null, x, window) for x, window in seen)
        e_values = [math.prod(likelihood(r, x, w) / likelihood(null, x, w) for x, w in seen) for r in grid]
        exact = sum(e_values) / len(grid)
        total += chance * exact
        state = test.start()
        for x, (events, own, others) in seen:
            state = test.add(state, Arms(x, own, events - x, others))
        assert math.exp(log_mean_exp(state.log_e)) == pytest.approx(float(exact), rel=1e-12)
    assert total == 1


def test_capital_on_pairs_sums_to_one_in_fractions_and_is_what_the_gate_computes():
    """All orders of seven pairs: the capital of each bet multiplied pair by pair."""
    margin, bets = Fraction(1, 100), [Fraction(1, 10), Fraction(1, 2), Fraction(7, 10)]
    zero = Fraction(3, 5)
    plus = (1 - zero + margin) / 2
    chances = {1: plus, -1: 1 - zero - plus, 0: zero}
    total = Fraction(0)
    for outcome in itertools.product(chances, repeat=7):
        capital = sum(math.prod(1 - bet * (d - margin) for d in outcome) for bet in bets) / len(bets)
        total += math.prod(chances[d] for d in outcome) * capital
        counts = Trinomial(outcome.count(1), outcome.count(-1), outcome.count(0))
        found = math.exp(log_e_mean_at_least(counts, float(margin), tuple(map(float, bets))))
        assert found == pytest.approx(float(capital), rel=1e-12)
    assert total == 1


# --- levels: the whole rule, watched at every look and tested at the deadline -----------------------------------------
def chance_to_fire(fires, theta, looks):
    """Exact: the chance that ``fires(x, n)`` is ever true of the first ``n`` events, ``x`` of them the candidate's."""
    going, fired = {0: 1.0}, 0.0
    for n in range(1, looks + 1):
        following = defaultdict(float)
        for x, chance in going.items():
            for more, step in ((1, theta), (0, 1 - theta)):
                if fires(x + more, n):
                    fired += chance * step
                else:
                    following[x + more] += chance * step
        going = following
    return fired


def paired_rule(alpha, looks, fraction=0.1):
    def fires(plus, n):
        log_e = log_e_mean_at_most(Trinomial(plus, n - plus, 0), 0.0, PAIRED)
        return Timing(fraction, due=n == looks).fires(alpha, log_e, lambda: upper_tail(plus, n, 0.5))

    return fires


def chance_of_watching(alpha, looks, size, effect, own=1, others=3, fraction=0.1):
    """The same of a ratio that is watched, over all orders of clusters: what is bet depends on them."""

    def chance(state, left):
        if Timing(fraction, due=not left).fires(alpha, state.peak, state.p_value):
            return 1.0
        if not left:
            return 0.0
        theta = own / (own + others)
        steps = (theta, Arms(size, 1000 * own, 0, 1000 * others)), (1 - theta, Arms(0, 1000 * own, size, 1000 * others))
        return sum(part * chance(RatioWatch().add(state, arms, effect=effect), left - 1) for part, arms in steps)

    return chance(WatchState(), looks)


@pytest.mark.parametrize("alpha", [0.003, 0.05])
def test_the_exact_chance_to_roll_back_an_equal_candidate_by_pairs_is_within_the_level(alpha):
    """Looked at after every single pair, for 400 of them. Twice the level would be too much."""
    assert chance_to_fire(paired_rule(alpha, 400), 0.5, 400) <= alpha
    assert chance_to_fire(paired_rule(2 * alpha, 400), 0.5, 400) > alpha


@pytest.mark.parametrize("fraction", [0.0, 0.1], ids=["slow answers", "errors"])
@pytest.mark.parametrize("size", [1, 6])
def test_the_exact_chance_to_roll_back_an_equal_candidate_by_counts_is_within_the_level(fraction, size):
    """All orders of eleven clusters, looked at after each; those that are taken for independent are too much."""
    assert 0 < chance_of_watching(0.05, 11, size, float(size), fraction=fraction) <= 0.05
    assert size == 1 or chance_of_watching(0.05, 11, size, 1.0, fraction=fraction) > 0.05


@pytest.mark.parametrize("trials", [1, 5, 30, 200])
@pytest.mark.parametrize("null", [0.001, 0.05, 0.5])
@pytest.mark.parametrize("alpha", [0.0005, 0.01, 0.2])
def test_the_exact_test_of_the_deadline_holds_its_level(trials, null, alpha):
    """At the null and below it; and one more event would break it: the test is as sharp as a discrete one can be."""
    rejected = [x for x in range(trials + 1) if upper_tail(x, trials, null) <= alpha]
    for share in (null, null / 2):
        assert sum(binom.pmf(x, trials, share) for x in rejected) <= alpha
    least = min(rejected, default=trials + 1)
    assert sum(binom.pmf(x, trials, null) for x in range(least - 1, trials + 1)) > alpha


@pytest.mark.parametrize("events", [(1, 1, 1), (3, 8, 2), (20, 1, 6), (0, 30, 30)])
@pytest.mark.parametrize("shares", [(0.01, 0.05, 0.5), (0.05, 0.05, 0.05), (0.9, 0.01, 0.4)])
def test_the_deadline_test_of_a_ramp_is_never_too_small(events, shares):
    """The candidate's events are a Poisson binomial. Its exact tail, by convolution, is at most each p-value."""
    pmf = np.ones(1)
    for n, share in zip(events, shares, strict=True):
        pmf = np.convolve(pmf, binom.pmf(np.arange(n + 1), n, share))
    expected = sum(n * share for n, share in zip(events, shares, strict=True))
    for x in range(len(pmf)):
        state = WatchState(counted_own=x, counted=sum(events), counted_expected=expected)
        assert pmf[x:].sum() <= state.p_value() + ROUNDING
