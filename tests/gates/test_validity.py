"""Validity, of the gates themselves: releases of which the truth is known, watched at every look until their deadline.

One gate at a time has the whole level, set to 20 %, and no guard, so that the level alone decides. Each bound lies
between the rate of false verdicts at that level and the rate at twice the level, on the same releases: a level that
doubled by mistake fails here. ``python -m tests.bench.gates`` measures the default policy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from gates.evidence import ArmCounts, LabelCounts, Look
from gates.gate_set import GateSet
from gates.outcome import Outcome
from gates.policy import (
    CalibrationPolicy,
    GatePolicy,
    LatencyPolicy,
    LiveAccuracyPolicy,
    LiveErrorsPolicy,
    PairedAccuracyPolicy,
)
from gates.verdict import Window
from tests.bench.world.answers import Pool, Skill, pool

ALPHA = 0.2
RELEASES, LOOKS, LOOK_S = 200, 20, 60.0
EDGES_MS = tuple(20 * 1.1**step for step in range(30))
NOTHING = GatePolicy(
    rollback_alpha=ALPHA,
    promotion_alpha=ALPHA,
    accuracy_shadow=None,
    accuracy_live=None,
    accuracy_slices=None,
    calibration_shadow=None,
    errors_shadow=None,
    errors_live=None,
    latency=None,
    budget=None,
    experiment=None,
    drift=None,
    limits=None,
)
Evidence = Callable[[np.random.Generator, int], Look]


def a_look(number: int, share: float = 0.0) -> Look:
    return Look(number, Window(LOOK_S * (number - 1), LOOK_S * number), share)


@dataclass(frozen=True)
class Mirrored:
    """Twenty labelled pairs a look."""

    pool: Pool

    def __call__(self, rng: np.random.Generator, number: int) -> Look:
        chosen = rng.integers(0, len(self.pool.chance), 20)
        apart = int(np.count_nonzero(self.pool.change[chosen]))
        pairs = tuple(self.pool.chance[place] for place in chosen.tolist())
        return replace(a_look(number), pairs=pairs, pairs_agreed=20 - apart, pairs_disagreed=apart)


@dataclass(frozen=True)
class Live:
    """600 requests a look, and a share of the candidate that grows on the way; labels for half of them."""

    candidate_error: float = 0.02
    candidate_slow: float = 1.0
    candidate_wrong: float = 0.08

    def __call__(self, rng: np.random.Generator, number: int) -> Look:
        share = 0.1 if number <= LOOKS // 2 else 0.5
        requests = int(rng.binomial(600, share))
        return replace(
            a_look(number, share),
            latency_edges_ms=EDGES_MS,
            stable=self._arm(rng, 600 - requests, 0.02, 1.0),
            candidate=self._arm(rng, requests, self.candidate_error, self.candidate_slow),
            stable_labels=self._labels(rng, 600 - requests, 0.08),
            candidate_labels=self._labels(rng, requests, self.candidate_wrong),
        )

    def _arm(self, rng: np.random.Generator, requests: int, error: float, slow: float) -> ArmCounts:
        errors = int(rng.binomial(requests, error))
        taken = rng.lognormal(np.log(40 * slow), 0.5, requests - errors)
        counts = np.bincount(np.searchsorted(EDGES_MS, taken), minlength=len(EDGES_MS) + 1)
        return ArmCounts(requests, errors, tuple(counts.tolist()))

    def _labels(self, rng: np.random.Generator, requests: int, wrong: float) -> LabelCounts:
        labelled = requests // 2
        return LabelCounts(labelled, int(rng.binomial(labelled, wrong)))


def more_often(share: float, outcome: Outcome, policy: GatePolicy, evidence: Evidence, gate: str) -> bool:
    """Does the gate come to ``outcome``, at some look, in more than this share of the releases?"""
    gate_set, found = GateSet(policy), 0
    for seed in range(RELEASES):
        rng = np.random.default_rng([31, seed])
        state = gate_set.start(deadline_s=LOOKS * LOOK_S)
        found += any(verdict.outcome is outcome for verdict in _watched(gate_set, state, evidence, rng, gate))
        if found > share * RELEASES:
            return True
    return False


def _watched(gate_set, state, evidence, rng, gate) -> Iterator:
    for number in range(1, LOOKS + 1):
        state, verdicts = gate_set.look(state, evidence(rng, number))
        yield next(verdict for verdict in verdicts if verdict.gate == gate)


PAIRED = PairedAccuracyPolicy(guard_points=-100.0, pairs_min=1, margin_points=1.0)
CALIBRATION = CalibrationPolicy(
    tolerance_gap=0.0, guard_gap=0.0, pairs_min=1
)  # fmt: skip
ERRORS = LiveErrorsPolicy(guard_ratio=1.0, requests_min=1)
LABELS = LiveAccuracyPolicy(guard_points=-100.0, labels_min=1)
LATENCY = LatencyPolicy(
    p95_alpha_share=1.0, p99_alpha_share=1e-9, p95_ms_max=None, p99_ms_max=None, guard_slower_ratio=1.0, requests_min=1
)


@pytest.mark.parametrize(
    ("gate", "policy", "evidence", "bound"),
    [
        ("accuracy.shadow", replace(NOTHING, accuracy_shadow=PAIRED), Mirrored(pool(Skill(), 2000)), 0.05),
        ("calibration.shadow", replace(NOTHING, calibration_shadow=CALIBRATION), Mirrored(pool(Skill(), 2000)), 0.01),
    ],
)
def test_an_equal_candidate_fails_as_rarely_as_promised(gate, policy, evidence, bound):
    """Of releases no worse than stable, at most the level is ever failed."""
    doubled = replace(policy, rollback_alpha=2 * ALPHA)
    assert bound <= ALPHA
    assert not more_often(bound, Outcome.FAIL, policy, evidence, gate)
    assert more_often(bound, Outcome.FAIL, doubled, evidence, gate)


@pytest.mark.parametrize(
    ("gate", "policy", "evidence", "bound"),
    [
        (
            "accuracy.shadow",
            replace(NOTHING, accuracy_shadow=PAIRED),
            Mirrored(pool(Skill(both_wrong=0.05, lost=0.04, won=0.03), 2000)),
            0.06,
        ),
    ],
)
def test_a_candidate_at_the_margin_passes_as_rarely_as_promised(gate, policy, evidence, bound):
    """Of releases exactly as bad as the margin, at most the level is ever certified."""
    doubled = replace(policy, promotion_alpha=2 * ALPHA)
    assert bound <= ALPHA
    assert not more_often(bound, Outcome.PASS, policy, evidence, gate)
    assert more_often(bound, Outcome.PASS, doubled, evidence, gate)


@pytest.mark.parametrize(
    ("gate", "policy", "worse"),
    [
        ("errors.live", replace(NOTHING, errors_live=ERRORS), Live(candidate_error=0.06)),
        ("accuracy.live", replace(NOTHING, accuracy_live=LABELS), Live(candidate_wrong=0.2)),
        ("latency.p95", replace(NOTHING, latency=LATENCY), Live(candidate_slow=1.4)),
    ],
)
def test_counts_of_an_equal_candidate_fail_less_often_than_promised_and_of_a_worse_one_more(gate, policy, worse):
    """What is bet is learnt, and no look decides alone: in twenty looks they stay below half of the level."""
    assert not more_often(ALPHA / 2, Outcome.FAIL, policy, Live(), gate)
    assert more_often(ALPHA, Outcome.FAIL, policy, worse, gate)


@pytest.mark.parametrize(
    ("gate", "policy", "at_margin"),
    [
        ("errors.live", replace(NOTHING, errors_live=ERRORS), Live(candidate_error=0.06)),
        ("latency.p95", replace(NOTHING, latency=LATENCY), Live(candidate_slow=1.1)),
    ],
)
def test_counts_at_the_margin_pass_less_often_than_promised_and_of_an_equal_candidate_more(gate, policy, at_margin):
    assert not more_often(ALPHA, Outcome.PASS, policy, at_margin, gate)
    assert more_often(ALPHA, Outcome.PASS, policy, Live(), gate)
