"""Means from uneven samples: unbiased, with intervals that hold as often as they say where the naive mean's do not."""

import math

import numpy as np
import pytest

from gates.stats.weighted import STRATUM_LEAST, Drawn, Stratum, aipw, drawn, hajek

ALPHA = 0.05
RUNS = 4000


def covered(intervals, truth):
    return np.mean([low <= truth <= high for low, high in intervals])


def naive(values):
    mean, radius = values.mean(), 1.96 * math.sqrt(values.var(ddof=1) / len(values))
    return mean - radius, mean + radius


def sums(values, chances):
    """`drawn`, quickly."""
    weights = 1 / chances
    squares = weights**2
    parts = weights, weights * values, squares, squares * values, squares * values**2
    return Drawn(len(values), *(float(part.sum()) for part in parts))


def ends(estimate):
    return estimate.low, estimate.high


def test_of_a_sample_drawn_by_uncertainty_the_weighted_interval_covers_and_the_naive_one_does_not():
    """The unsure ones, more often wrong, were twice as likely to be drawn: the naive interval covers three in four."""
    rng, truth = np.random.default_rng(1), 0.9
    weighted, plain = [], []
    for _ in range(RUNS):
        unsure = rng.random(4000) < 0.2
        right = rng.random(4000) < np.where(unsure, 0.78, 0.93)
        chances = np.where(unsure, 0.175, 0.083)
        taken = rng.random(4000) < chances
        weighted.append(ends(hajek(sums(right[taken].astype(float), chances[taken]), ALPHA)))
        plain.append(naive(right[taken].astype(float)))
    assert covered(weighted, truth) >= 0.94
    assert covered(plain, truth) < 0.8


@pytest.mark.parametrize("directed", [0.3, 0.9])
def test_labels_asked_for_by_disagreement_count_for_the_disagreements_alone(directed):
    """7 % of the pairs disagree; all are counted, few are labelled. Naively, the labels show a bad model."""
    rng, truth = np.random.default_rng(2), 0.93 * 0.96 + 0.07 * 0.45
    augmented, by_chance, plain = [], [], []
    for _ in range(RUNS):
        apart = rng.random(5000) < 0.07
        right = (rng.random(5000) < np.where(apart, 0.45, 0.96)).astype(float)
        chance = rng.random(5000) < 0.1
        asked = apart & (rng.random(5000) < directed)
        seen = chance | asked
        strata = [
            Stratum(int(where.sum()), sums(right[where & seen], np.ones(int(np.sum(where & seen)))))
            for where in (apart, ~apart)
        ]
        augmented.append(ends(aipw(strata, ALPHA)))
        by_chance.append(ends(hajek(sums(right[chance], np.ones(int(chance.sum()))), ALPHA)))
        plain.append(naive(right[seen]))
    assert covered(augmented, truth) >= 0.94
    assert covered(plain, truth) < 0.05
    width = np.mean([high - low for low, high in augmented])
    assert width < 0.85 * np.mean([high - low for low, high in by_chance])


def test_half_the_variance_is_not_enough():
    """The coverage tests can fail: intervals made for another level miss more often."""
    rng, truth = np.random.default_rng(3), 0.9
    narrow = []
    for _ in range(RUNS):
        right = (rng.random(400) < truth).astype(float)
        narrow.append(ends(hajek(sums(right, np.full(400, 0.1)), 2 * ALPHA)))
    assert covered(narrow, truth) < 0.94


def test_a_common_factor_of_the_probabilities_changes_nothing():
    values, chances = [1.0, 0.0, 1.0, 1.0], [0.1, 0.4, 0.2, 0.8]
    one, other = (hajek(drawn(values, [factor * chance for chance in chances]), ALPHA) for factor in (1.0, 0.3))
    assert one.mean == pytest.approx(other.mean)
    assert one.high == pytest.approx(other.high)


def test_sums_are_those_of_the_linearised_ratio():
    values, chances = np.array([1.0, 0.0, 1.0, 0.5]), np.array([0.1, 0.4, 0.2, 0.8])
    weights = 1 / chances
    mean = (weights * values).sum() / weights.sum()
    expected = (weights**2 * (values - mean) ** 2).sum() / weights.sum() ** 2 * 4 / 3
    assert drawn(values, chances).mean == pytest.approx(mean) == sums(values, chances).mean
    assert drawn(values, chances).variance == pytest.approx(expected) == pytest.approx(sums(values, chances).variance)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_alike_is_no_certainty(value):
    """59 answers that were all right exclude less than 95 % of them, and no more."""
    alike = hajek(drawn([value] * 59, [0.3] * 59), 2 * ALPHA)
    assert alike.mean == value
    assert abs(value - alike.low if value else alike.high) == pytest.approx(0.05, abs=0.001)
    assert (alike.high if value else alike.low) == value


def test_a_part_of_which_too_little_is_known_is_not_predicted():
    enough = drawn([1.0] * STRATUM_LEAST, [0.5] * STRATUM_LEAST)
    assert aipw([Stratum(100, enough), Stratum(5, Drawn())], ALPHA) is None
    assert aipw([], ALPHA) is None
    assert aipw([Stratum(100, enough), Stratum(0, Drawn())], ALPHA).mean == 1.0
