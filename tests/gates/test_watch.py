"""Watching a ratio for harm: what is bet, what late harm costs, events that come together, and the deadline's test."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from gates.stats.cap import Cap
from gates.stats.numerics import log_mean_exp
from gates.stats.ratio import Arms, RatioTest
from gates.stats.spread import Spread
from gates.stats.watch import RatioWatch, WatchState, cap_of

THRESHOLD = math.log(500)


def watched(candidate, stable, *, share=0.05, null=1.2, effect=None):
    """The look at which evidence reaches the threshold, None if never."""
    watch, state, spread = RatioWatch(Cap(THRESHOLD / 3)), WatchState(), Spread()
    for number, (x, y) in enumerate(zip(candidate, stable, strict=True), 1):
        arms = Arms(int(x), int(1200 * share), int(y), int(1200 * (1 - share)))
        state = watch.add(state, arms, null=null, effect=effect or spread.lasting)
        spread = spread.add(arms)
        if state.peak >= THRESHOLD:
            return number
    return None


def test_harm_that_begins_late_is_found_nearly_as_soon_as_harm_from_the_start():
    rng = np.random.default_rng(1)
    found = {0: [], 60: []}
    for begins, waits in found.items():
        for _ in range(40):
            candidate = rng.poisson(np.where(np.arange(120) < begins, 3, 7.5))
            waits.append((watched(candidate, rng.poisson(57, 120)) or 999) - begins)
    assert np.median(found[0]) <= 12
    assert np.median(found[60]) <= np.median(found[0]) + 6


def test_a_day_of_good_minutes_costs_little():
    rng = np.random.default_rng(2)
    state = WatchState()
    for _ in range(1440):
        arms = Arms(int(rng.poisson(3)), 60, int(rng.poisson(57)), 1140)
        state = RatioWatch().add(state, arms, null=1.2)
    assert -10 < state.log_stake < 1
    assert state.restarts > 1


def test_no_single_look_decides():
    state = RatioWatch(Cap(2.0)).add(WatchState(), Arms(60, 60, 0, 1140))
    assert state.log_stake == pytest.approx(2.0 + math.log(0.8))


@pytest.mark.parametrize("look_s", [1.0, 10.0, 30.0, 60.0])
def test_no_incident_of_half_a_minute_decides_however_often_one_looks(look_s):
    """And one that lasts decides as soon, about, as at looks of a minute: three of them have to speak."""
    watch, state, fired_s = RatioWatch(Cap(0.4 * THRESHOLD, 60.0)), WatchState(), None
    for look in range(1, 301):
        state = watch.add(state, Arms(60, 60, 0, 1140), length_s=look_s)
        if look * look_s <= 30.0:
            assert state.peak <= 0.65 * THRESHOLD
        if state.peak >= THRESHOLD:
            fired_s = look * look_s
            break
    assert fired_s is not None
    assert 80.0 <= fired_s <= 180.0


@pytest.mark.parametrize("most", [0.5, 3.0, math.inf])
def test_looks_within_a_minute_count_as_one_look_of_it(most):
    """Whatever order events come in; what a look said beyond the cap is taken away before what counts is."""
    whole, parts = (RatioWatch(Cap(most, 60.0)) for _ in range(2))
    one = state = WatchState()
    for own in ((2, 0, 3, 1, 0, 2), (0, 2, 0, 4, 0, 2), (9, 9, 0, 9, 9, 9)):
        for x in own:
            state = parts.add(state, Arms(x, 60, 19 if x else 20, 1140), length_s=10.0)
        others = sum(19 if x else 20 for x in own)
        one = whole.add(one, Arms(sum(own), 360, others, 6840), length_s=60.0)
        assert state.log_stake == pytest.approx(one.log_stake)
        assert (state.latest, state.latest_expected) == pytest.approx((one.latest, one.latest_expected))
        assert state.spell.begins
    assert state.restarts == 0  # at a look within a minute the stake may be lower than after it


def test_looks_within_a_minute_certify_as_one_look_of_it():
    test = RatioTest(3.0, (0.5, 1.0, 1.5), Cap(0.8, 60.0))
    state = one = test.start()
    for own in ((0, 0, 1, 0, 0, 0), (0, 0, 0, 0, 0, 0), (0, 4, 0, 0, 3, 0)):
        for x in own:
            state = test.add(state, Arms(x, 60, 10, 1140), length_s=10.0)
        one = test.add(one, Arms(sum(own), 360, 60, 6840), length_s=60.0)
        assert state.log_e == pytest.approx(one.log_e)


def alarms_of_runs(incident_s, *, releases=24, look_s=10.0, looks=360, mean=20):
    """Equal releases that are rolled back within an hour: one request of twenty is slow on either version, and those of
    the candidate, which gets one a second, come in runs that cross looks."""
    rng, alarms = np.random.default_rng(20), 0
    for _ in range(releases):
        fast, slow = (rng.geometric(1 / one, 2 * looks) for one in (19 * mean, mean))
        asked = np.repeat(np.tile([False, True], 2 * looks), np.stack((fast, slow), 1).ravel())[: int(looks * look_s)]
        own = asked.reshape(looks, -1).sum(axis=1)
        watch, state, spread = RatioWatch(cap_of(0.0023, incident_s)), WatchState(), Spread()
        for x, y in zip(own, rng.binomial(190, 0.05, looks), strict=True):
            arms = Arms(int(x), 10, int(y), 190)
            state = watch.add(state, arms, null=1.09, effect=spread.lasting, length_s=look_s)
            spread = spread.add(arms)
        alarms += state.peak >= math.log(1 / 0.0023)
    return alarms


def test_runs_that_cross_looks_are_no_harm():
    """A run of twenty slow requests is two looks or three. What a cap, and what is learnt, of looks makes of them is
    wrong in one release of five."""
    assert alarms_of_runs(60.0) <= 1
    assert alarms_of_runs(0.0) >= 4


@pytest.mark.parametrize("mean", [2, 5, 10, 20])
def test_slow_requests_in_runs_are_no_harm(mean):
    """As many as stable has, but one after the other: at most one release in a hundred, where one in three was."""
    rng = np.random.default_rng(mean)
    alarms = 0
    for _ in range(150):
        begins = rng.random(7200) < 0.05 / mean
        slow = np.zeros(7200, bool)
        for place in np.flatnonzero(begins):
            slow[place : place + rng.geometric(1 / mean)] = True
        alarms += watched(slow.reshape(120, 60).sum(axis=1), rng.binomial(1140, 0.05, 120)) is not None
    assert alarms <= 1


def test_independent_events_are_hardly_tempered_and_clusters_are_by_their_size():
    rng = np.random.default_rng(3)
    for size, least, most in ((1, 1.0, 1.1), (5, 3.5, 6.5), (10, 7.0, 13.0)):
        found = []
        for _ in range(30):
            spread = Spread()
            for _ in range(60):
                x, y = size * rng.poisson(6 / size), size * rng.poisson(6 / size)
                spread = spread.add(Arms(int(x), 600, int(y), 600))
            found.append(spread.sudden)
        assert least <= np.mean(found) <= most


def test_a_constant_ratio_is_no_spread_and_one_that_changes_once_hardly_one():
    rng = np.random.default_rng(4)
    for factors in (np.full(60, 5.0), np.where(np.arange(60) < 30, 1.0, 5.0)):
        spread = Spread()
        for x, y in zip(rng.poisson(3 * factors), rng.poisson(57, 60), strict=True):
            spread = spread.add(Arms(int(x), 60, int(y), 1140))
        assert spread.sudden < 1.3


def test_before_any_event_nobody_knows_how_they_come():
    assert Spread().sudden == 1.5
    assert Spread().add(Arms(0, 10, 3, 10)).sudden < 1.5
    assert Spread().add(Arms(3, 10, 0, 0)) == Spread()


def test_the_deadline_test_is_the_binomial_one_at_a_constant_share():
    state = WatchState()
    for _ in range(4):
        state = RatioWatch().add(state, Arms(5, 100, 4, 300))
    assert state.p_value() == pytest.approx(binom.sf(19, 36, 0.25), rel=1e-9)


def test_the_deadline_test_is_of_the_guard_and_counts_clusters_once():
    state, null = WatchState(), 1.5
    for _ in range(4):
        state = RatioWatch().add(state, Arms(6, 100, 4, 300), null=null, effect=2.0)
    theta = null / (null + 3)
    assert state.p_value() == pytest.approx(binom.sf(11, 20, theta), rel=1e-9)


def test_the_deadline_test_holds_its_level_when_the_share_ramps():
    """Poisson binomial by simulation: the p-value is never too small."""
    rng = np.random.default_rng(4)
    p_values = []
    for _ in range(2000):
        state = WatchState()
        for rho in (0.01, 0.05, 0.2, 0.5):
            x = int(rng.binomial(30, rho))
            state = RatioWatch().add(state, Arms(x, int(1000 * rho), 30 - x, int(1000 * (1 - rho))))
        p_values.append(state.p_value())
    for level in (0.01, 0.05, 0.1):
        assert np.mean(np.array(p_values) <= level) <= level + 3 * math.sqrt(level / 2000)


def slow_in_runs(rng, looks, *, mean, share):
    """Slow requests of a minute of the candidate, one in twenty sent to it; they come in runs of so many."""
    runs = rng.poisson(60 * share / mean, looks)
    return np.array([rng.geometric(1 / mean, count).sum() if count else 0 for count in runs])


def test_a_certificate_is_of_all_that_was_seen_and_of_what_is_known_of_it_by_now():
    """Beyond the margin, with slow requests in runs of ten: an hour's certificate was wrong in one release of eight, of
    what the first quiet minutes said while nobody knew of runs."""
    rng, wrong, early = np.random.default_rng(6), 0, 0
    for _ in range(120):
        test, spread = RatioTest(1.0, (0.25, 0.4, 0.55, 0.7, 0.85), Cap(THRESHOLD / 5)), Spread()
        state, runs = test.start(), np.minimum(slow_in_runs(rng, 60, mean=10, share=0.055), 60)
        for x, y in zip(runs, rng.binomial(1140, 0.05, 60), strict=True):
            arms = Arms(int(x), 60, int(y), 1140)
            state, spread = test.add(state, arms, spread.lasting), spread.add(arms)
        wrong += state.log_evidence(spread.doubtful) >= math.log(100)
        early += state.peak >= math.log(100)
    assert wrong <= 1
    assert early > 6  # the highest evidence of any look would have certified them


def test_evidence_of_independent_events_is_the_same_by_what_is_known_later():
    rng, test, spread = np.random.default_rng(7), RatioTest(1.0, (0.4, 0.7)), Spread()
    state = test.start()
    for _ in range(60):
        arms = Arms(int(rng.poisson(3)), 60, int(rng.poisson(80)), 1140)
        state, spread = test.add(state, arms, spread.lasting), spread.add(arms)
    assert 0.75 * log_mean_exp(state.log_e) < state.log_evidence(spread.doubtful) <= log_mean_exp(state.log_e)
    assert state.log_evidence(4.0) == pytest.approx(state.log_evidence(2.0) / 2)
    assert test.start().log_evidence(1.0) == 0


def test_few_events_in_clusters_are_known_for_clusters_sooner_than_many():
    """Errors: two clusters roll back a version that is taken for independent too long."""
    rng, few, many = np.random.default_rng(8), [], []
    for _ in range(200):
        spread = Spread()
        for _ in range(10):
            x, y = (int(rng.geometric(0.2, rng.poisson(0.25)).sum()) for _ in range(2))
            spread = spread.add(Arms(x, 1140, y, 1140))
        few.append(spread.sudden)
        many.append(spread.lasting)
    assert np.mean(few) > 1.3 * np.mean(many)
