"""The difference of two unpaired probabilities: an e-value for any block sizes, by exact enumeration."""

import math

import pytest
from scipy.stats import binom

from gates.stats.difference import DifferenceTest
from gates.stats.ratio import Arms

GUESSES = (-2.0, -0.5, 0.0, 0.4)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 12), (8, 2)])
@pytest.mark.parametrize("stable", [0.01, 0.08, 0.3, 0.9])
@pytest.mark.parametrize("excess", [0.0, 0.05])
def test_expected_evidence_is_at_most_one_everywhere_in_the_null(sizes, stable, excess):
    """At and beyond the margin, for unequal arms, whatever stable's probability is."""
    margin = 0.02
    candidate = stable + margin + excess
    test = DifferenceTest(margin, tuple(margin * guess for guess in GUESSES))
    expected = [0.0] * len(GUESSES)
    for x in range(sizes[0] + 1):
        for y in range(sizes[1] + 1):
            chance = binom.pmf(x, sizes[0], candidate) * binom.pmf(y, sizes[1], stable)
            log_e = test.add(test.start(), Arms(x, sizes[0], y, sizes[1])).log_e
            expected = [before + chance * math.exp(value) for before, value in zip(expected, log_e, strict=True)]
    assert all(value <= 1 + 1e-9 for value in expected)


def test_equal_versions_are_certified():
    """8 % wrong each: the certificate of two points comes, and grows with the labels."""
    test = DifferenceTest(0.02, tuple(0.02 * guess for guess in GUESSES))
    state = test.start()
    for _ in range(100):
        state = test.add(state, Arms(8, 100, 16, 200))
    assert state.peak > math.log(100)


def test_wrong_answers_that_come_together_certify_less():
    """Those of one user, or of one text in many spellings: what certifies is divided by as many as come at a time."""
    test, arms = DifferenceTest(0.02, (0.0,)), Arms(8, 200, 80, 1000)
    alone, together = test.add(test.start(), arms), test.add(test.start(), arms, 4.0)
    assert together.log_e[0] == pytest.approx(alone.log_e[0] / 4)
    assert alone.log_evidence(4.0) == pytest.approx(alone.log_e[0] / 4)  # which is only known by now
    assert together.log_evidence(4.0) == pytest.approx(together.log_e[0])
    assert test.start().log_evidence(1.0) == 0
