"""calibration.shadow answers for miscalibration alone: what a loss of accuracy costs is accuracy's."""

import numpy as np
import pytest

from gates.evidence import Answer, LabelledPair, Look
from gates.gate import Timing
from gates.online.calibration_shadow.gate import CalibrationGate
from gates.outcome import Outcome
from gates.policy import CalibrationPolicy
from gates.stats.murphy import Band, murphy
from gates.verdict import Window
from tests.bench.world.answers import Skill, pool

ALPHA = 0.001  # the gate's part of the default level
LABELLED = 120  # pairs a look: a tenth of 20 requests a second, a look a minute
POOL = 5_000


def watched(pairs, looks, seed=1, labelled=LABELLED):
    """The verdicts of one release."""
    gate, rng = CalibrationGate(CalibrationPolicy(), ALPHA, 0.01), np.random.default_rng(seed)
    state, found = gate.start(), []
    for number in range(1, looks + 1):
        chosen = tuple(pairs[place] for place in rng.integers(0, len(pairs), labelled).tolist())
        look = Look(number, Window(60.0 * (number - 1), 60.0 * number), 0.0, pairs=chosen)
        state, verdict = gate.look(state, look, Timing(0.0, due=False))
        found.append(verdict)
    return found


def answered(confidence, right):
    miss = 1 - confidence if right else confidence
    return Answer("yes" if right else "no", confidence, 2 * miss * miss)


def banded(candidate, stable):
    """Pairs of two versions that are each as sure and as often right as a row says: (share, confidence, right)."""
    rng, pairs = np.random.default_rng(2), []
    for (share, sure, right), (_, sure_stable, right_stable) in zip(candidate, stable, strict=True):
        for chance in rng.random(round(share * POOL)).tolist():
            answers = answered(sure_stable, chance < right_stable), answered(sure, chance < right)
            pairs.append(LabelledPair("yes", *answers))
    return pairs


@pytest.mark.parametrize("skill", [Skill(0.055, 0.045, 0.025), Skill(0.07, 0.06, 0.01)], ids=["-2", "-5 points"])
def test_a_version_that_is_only_less_accurate_is_not_blamed_on_calibration(skill):
    """Its Brier score rises by .03 and .07; the sentence says by what."""
    verdicts = watched(pool(skill, POOL).chance, looks=100)
    assert Outcome.FAIL not in {verdict.outcome for verdict in verdicts}
    assert "mostly by accuracy" in verdicts[-1].reason
    assert "a rise of the Brier score by 0.03 is not excluded yet" in verdicts[-1].reason


def test_one_that_is_overconfident_at_equal_accuracy_is_found_within_eight_looks():
    """With labels ten minutes late that is within 18 minutes."""
    pairs = pool(Skill(sharpness=2.0), POOL).chance
    ends = [
        next(number for number, verdict in enumerate(watched(pairs, 30, seed), 1) if verdict.outcome is Outcome.FAIL)
        for seed in range(9)
    ]
    assert np.median(ends) <= 8
    reason = watched(pairs, 30)[-1].reason
    assert "The candidate is overconfident" in reason
    assert "mostly by miscalibration" in reason


CALIBRATED = ((0.5, 0.97, 0.97), (0.5, 0.7, 0.7))
CANCELLING = ((0.5, 0.97, 0.9), (0.5, 0.7, 0.77))


def test_miscalibration_that_cancels_in_the_mean_is_found_by_its_shape():
    last = watched(banded(CANCELLING, CALIBRATED), looks=40)[-1]
    assert last.outcome is Outcome.FAIL
    assert abs(last.value) < 0.02  # the gap is fine
    assert "got worse where it is right on average" in last.reason
    assert "from 0.8 up" in last.reason or "from 0.95 up" in last.reason


def test_a_candidate_that_mends_a_part_of_what_is_wrong_does_no_harm():
    """Stable is too sure everywhere, the candidate where it is sure only: the shape changes, and got better."""
    stable, candidate = ((0.5, 0.97, 0.87), (0.5, 0.7, 0.6)), ((0.5, 0.97, 0.87), (0.5, 0.7, 0.7))
    assert Outcome.FAIL not in {verdict.outcome for verdict in watched(banded(candidate, stable), looks=60)}


def test_a_version_that_is_less_sharp_is_told_so_and_not_failed():
    """One confidence for all, and right as often: nobody can tell its sure answers from the others."""
    verdicts = watched(banded(((1.0, 0.835, 0.835),), ((1.0, 0.835, 0.835),)), looks=10)
    assert verdicts[-1].outcome is not Outcome.FAIL
    sharp = tuple(
        pair for share, sure, right in CALIBRATED for pair in banded(((share, 0.835, right),), ((share, sure, right),))
    )
    verdicts = watched(sharp, looks=60)
    assert Outcome.FAIL not in {verdict.outcome for verdict in verdicts}
    assert "mostly by sharpness" in verdicts[-1].reason


def test_the_parts_of_a_score_of_few_confidences_add_up_to_it():
    """Reliability - resolution + uncertainty, by hand; chance is taken off the first two alike."""
    bands = (Band(400, 400.0, 240.0, 280.0), Band(), Band(600, 600.0, 540.0, 510.0))
    found = murphy(bands)
    score = (400 * (0.6**2 - 2 * 0.6 * 0.7 + 0.7) + 600 * (0.9**2 - 2 * 0.9 * 0.85 + 0.85)) / 1000
    assert found.uncertainty == pytest.approx(0.79 * 0.21)
    assert found.reliability - found.resolution + found.uncertainty == pytest.approx(score)
    assert found.reliability == pytest.approx(0.4 * (0.01 - 0.21 / 399) + 0.6 * (0.0025 - 0.1275 / 599))


def test_edges_of_the_shape_are_in_order():
    with pytest.raises(ValueError, match="shape_edges must grow"):
        CalibrationPolicy(shape_edges=(0.8, 0.6))
