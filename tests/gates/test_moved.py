"""The distance of two distributions, and what it is at least."""

import math

import numpy as np
import pytest

from gates.stats.moved import distance, error, spent_by


def test_the_distance_is_the_share_that_would_have_to_move() -> None:
    assert distance({"a": 3, "b": 1}, {"a": 30, "b": 10}) == 0
    assert distance({"a": 3, "b": 1}, {"a": 1, "b": 1}) == pytest.approx(0.25)
    assert distance({"a": 3}, {"b": 7}) == 1


@pytest.mark.parametrize(("observations", "bins"), [(50, 3), (500, 20), (2_000, 50)])
def test_what_was_drawn_is_seldom_farther_than_the_error(observations: int, bins: int) -> None:
    """Whatever the shares are: alike, or most of them rare."""
    generator = np.random.default_rng(7)
    reach = error(observations, bins, 0.1)
    for shares in (np.full(bins, 1 / bins), np.array([0.5 / bins] * bins) + np.array([0.5] + [0.0] * (bins - 1))):
        drawn = generator.multinomial(observations, shares, size=400) / observations
        beyond = np.abs(drawn - shares).sum(axis=1) / 2 > reach
        assert beyond.mean() <= 0.1
    assert error(4 * observations, bins, 0.1) < error(observations, bins, 0.1)


def test_endlessly_many_parts_spend_the_level_and_no_more() -> None:
    spent = math.fsum(spent_by(part, 0.05) for part in range(1, 10_000))
    assert 0.0499 < spent <= 0.05
