"""Races of the gates that compare the answers of both versions to the same requests."""

import math

import numpy as np
from scipy.special import ndtri

from gates.offline.planner.candidate import Candidate
from gates.offline.planner.growths import of_share
from gates.offline.planner.race import Levels, Minimum, Proof, Race
from gates.offline.planner.traffic import PlannedStep, Traffic
from gates.online.accuracy_shadow import AGREEMENT_WEIGHT
from gates.policy import CalibrationPolicy, PairedAccuracyPolicy
from gates.stats.betting import Trinomial, log_capitals
from gates.stats.growth import Growth, walk
from gates.stats.share import below
from gates.verdict import Stage


def accuracy(
    gate: str, policy: PairedAccuracyPolicy, traffic: Traffic, level: Levels, loss: float, margin: Candidate
) -> Race:
    """``loss``: of this candidate, of the requests that the gate looks at."""
    excluded, guard = policy.margin_points / 100, policy.guard_points / 100
    resolved = min(traffic.label_ratio + traffic.directed_ratio, 1.0)
    apart = max(traffic.disagreement_ratio, loss)

    def by_labels(step: PlannedStep, null: float, sign: int) -> list[Growth]:
        pairs = traffic.mirrored(step) * resolved
        chances = ((apart + loss) / 2, (apart - loss) / 2, 1 - apart)
        outcomes = (Trinomial(1, 0, 0), Trinomial(0, 1, 0), Trinomial(0, 0, 1))
        sizes = [log_capitals(one if sign > 0 else one.mirrored, null, policy.bets) for one in outcomes]
        return [
            walk((pairs * chance, size[bet]) for chance, size in zip(chances, sizes, strict=True))
            for bet in range(len(policy.bets))
        ]

    labels = Proof(lambda step: by_labels(step, -excluded, -1), level.safe(1 / (1 - AGREEMENT_WEIGHT)), labelled=True)
    agreement = Proof(
        lambda step: of_share(traffic.mirrored(step), apart, below(excluded)), level.safe(1 / AGREEMENT_WEIGHT)
    )
    harm = Proof(lambda step: by_labels(step, 0.0, 1), level.harm_before_deadline(policy.alpha_share), labelled=True)
    helps = "mirror more traffic" if traffic.directed_ratio else "ask for labels where the versions disagree"
    return Race(
        gate=gate,
        stage=Stage.SHADOW,
        required=policy.required,
        safe=((labels, agreement),),
        safe_samples=Minimum(traffic.mirrored, policy.pairs_min),
        harm=(harm,) if 0 < loss >= guard else (),
        harm_samples=Minimum(lambda step: traffic.mirrored(step) * resolved, policy.pairs_min, labelled=True),
        harm_at_guard=math.isclose(loss, guard),
        margin=margin,
        advice=f"{helps}, extend the deadline, or widen margin_points",
    )


_POINTS = ndtri((np.arange(41) + 0.5) / 41)  # of a normal distribution, each as likely as the others


def calibration(policy: CalibrationPolicy, traffic: Traffic, level: Levels, candidate: Candidate) -> Race:
    gap = candidate.gap

    def labelled(step: PlannedStep) -> float:
        return traffic.mirrored(step) * traffic.label_ratio

    def bets(step: PlannedStep, spread: float, mean: float, null: float) -> list[Growth]:
        values = np.clip(spread * _POINTS + mean, -2, 2) - null
        jumps, each = (
            [np.log1p(values * (bet / (2 + null))).tolist() for bet in policy.bets],
            labelled(step) / len(values),
        )
        return [walk((each, jump) for jump in sizes) for sizes in jumps]

    def certificate(spread: float, mean: float, margin: float, parts: int) -> tuple[Proof]:
        return (Proof(lambda step: bets(step, spread, mean, -margin), level.safe(parts), labelled=True),)

    harm = Proof(
        lambda step: bets(step, traffic.gap_spread, gap, policy.tolerance_gap),
        level.harm(policy.alpha_share, 3),
        labelled=True,
    )
    enough = Minimum(labelled, policy.pairs_min, labelled=True)
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
