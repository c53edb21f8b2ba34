"""The forecast of calibration.shadow: changes of the gap and of the Brier score on one pair are taken to be normally
distributed."""

import math

import numpy as np
from scipy.special import ndtri

from gates.forecast.candidate import Candidate
from gates.forecast.race import Minimum, Proof, Race
from gates.forecast.traffic import PlannedStep, Traffic
from gates.kind import Asked
from gates.online.calibration_shadow.policy import CalibrationPolicy
from gates.stats.growth import Growth, walk
from gates.verdict import Stage

_POINTS = ndtri((np.arange(41) + 0.5) / 41)  # of a standard normal distribution, all equally likely


def race(asked: Asked[CalibrationPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race. A pass needs three certificates: two for both sides of the gap, which share its level, and one
    for the Brier score. Harm on one side of the gap has a third of the rollback level."""
    policy, level, gap = asked.section, asked.levels, candidate.gap

    def bets(step: PlannedStep, spread: float, mean: float, null: float) -> list[Growth]:
        values = np.clip(spread * _POINTS + mean, -2, 2) - null
        jumps, each = (
            [np.log1p(values * (bet / (2 + null))).tolist() for bet in policy.bets],
            traffic.labelled(step) / traffic.pair_effect / len(values),
        )
        return [walk((each, jump) for jump in sizes) for sizes in jumps]

    def certificate(spread: float, mean: float, margin: float, parts: int) -> tuple[Proof]:
        return (Proof(lambda step: bets(step, spread, mean, -margin), level.safe(parts), labelled=True),)

    harm = Proof(
        lambda step: bets(step, traffic.gap_spread, gap, policy.tolerance_gap),
        level.harm(3),
        labelled=True,
    )
    enough = Minimum(traffic.labelled, policy.pairs_min, labelled=True)
    return Race(
        gate="calibration.shadow",
        stage=Stage.SHADOW,
        required=True,
        safe=(
            certificate(traffic.gap_spread, -gap, policy.margin_gap, 2),
            certificate(traffic.gap_spread, gap, policy.margin_gap, 2),
            certificate(traffic.brier_spread, 0.0, policy.margin_brier, 1),
        ),
        safe_samples=enough,
        harm=(harm,) if 0 < gap >= policy.guard_gap else (),
        harm_samples=enough,
        harm_at_guard=math.isclose(gap, policy.guard_gap),
        margin=Candidate(gap=policy.margin_gap),
        advice="label more requests by chance, mirror more traffic, or extend the deadline",
    )
