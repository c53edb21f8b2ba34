"""Races of the gates that count: errors, slow answers, wrong labels of live answers, and the error budget."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

from gates.gate import ALONE_SHARE
from gates.offline.planner.candidate import Candidate
from gates.offline.planner.growths import of_difference, of_ratio, of_share
from gates.offline.planner.race import Levels, Minimum, Proof, Race
from gates.offline.planner.traffic import PlannedStep, Traffic
from gates.online.accuracy_live import GUESSES
from gates.online.errors import SAFER
from gates.online.latency import FASTER, OBJECTIVE_SHARE
from gates.policy import BudgetPolicy, LatencyPolicy, LiveAccuracyPolicy, LiveErrorsPolicy, ShadowErrorsPolicy
from gates.stats.difference import DifferenceTest
from gates.stats.growth import Growth
from gates.stats.share import above, below
from gates.verdict import Stage

EDGE_FIRST_MS, EDGE_RATIO = 2.0, 1.1  # of the latency buckets that a replica counts by
_ROUNDING = 1 + 1e-4


def errors(
    policy: ShadowErrorsPolicy | LiveErrorsPolicy, stage: Stage, traffic: Traffic, level: Levels, candidate: Candidate
) -> Race:
    error, failing, margin = traffic.error_ratio, _error_ratio(candidate, traffic), policy.margin_ratio
    own = traffic.to_candidate if stage is Stage.LIVE else traffic.mirrored

    def all_own(step: PlannedStep) -> float:
        """Mirrored requests certify live ones too."""
        return traffic.mirrored(step) + (traffic.to_candidate(step) if stage is Stage.LIVE else 0.0)

    def compared(step: PlannedStep, requests: float, null: float, bets: Sequence[float]) -> list[Growth]:
        stable = traffic.to_stable(step)
        share = requests / (requests + stable) if requests + stable else 0.0
        return of_ratio(requests * failing, stable * error, share, null, bets)

    harm = Proof(
        lambda step: compared(step, own(step), 1.0, policy.grid),
        level.harm_before_deadline(policy.alpha_share),
    )
    enough = Minimum(own, policy.requests_min)
    lower = [margin * factor for factor in SAFER]
    return Race(
        gate=f"errors.{stage}",
        stage=stage,
        required=True,
        safe=(
            (
                Proof(lambda step: compared(step, all_own(step), margin, lower), level.safe(2)),
                Proof(lambda step: of_share(all_own(step), failing, below(policy.error_ratio_max)), level.safe(2)),
            ),
        ),
        safe_samples=enough,
        harm=(harm,) if error < failing >= policy.guard_ratio * error else (),
        harm_samples=enough,
        harm_at_guard=math.isclose(failing, policy.guard_ratio * error),
        margin=Candidate(error_ratio=min(error * margin, 1.0)),
        advice="mirror more traffic, or state an absolute objective (error_ratio_max) that clean traffic can certify",
    )


def _error_ratio(candidate: Candidate, traffic: Traffic) -> float:
    return traffic.error_ratio if candidate.error_ratio is None else candidate.error_ratio


@dataclass(frozen=True, slots=True)
class Tail:
    """One percentile of the latency policy."""

    quantile: float
    margin_ratio: float
    alpha_share: float
    ms_max: float | None

    @classmethod
    def p95(cls, policy: LatencyPolicy) -> "Tail":
        return cls(0.95, policy.p95_margin_ratio, policy.p95_alpha_share, policy.p95_ms_max)

    @classmethod
    def p99(cls, policy: LatencyPolicy) -> "Tail":
        return cls(0.99, policy.p99_margin_ratio, policy.p99_alpha_share, policy.p99_ms_max)


def latency(policy: LatencyPolicy, asked: Tail, traffic: Traffic, level: Levels, candidate: Candidate) -> Race:
    """Answers are log-normal; the yardstick is the upper edge of the bucket that holds stable's percentile."""
    spread, bucket = traffic.latency_spread, math.log(EDGE_RATIO)
    median, percentile = math.log(traffic.latency_median_ms), ndtri(asked.quantile) * spread
    yardstick = math.ceil((median + percentile - math.log(EDGE_FIRST_MS)) / bucket) * bucket + math.log(EDGE_FIRST_MS)
    edges = math.floor(math.log(asked.margin_ratio * _ROUNDING) / bucket)

    def beyond(log_ms: float) -> float:
        """The share of stable's answers that take longer."""
        return float(ndtr((median - log_ms) / spread))

    slower = math.log(candidate.slower_ratio)  # what takes stable so much less takes the candidate as long
    tail, worse = beyond(yardstick), beyond(yardstick - slower)
    later = beyond(yardstick + edges * bucket - slower)

    def compared(step: PlannedStep, slow: float, bets: Sequence[float]) -> list[Growth]:
        events = traffic.to_candidate(step) * slow, traffic.to_stable(step) * tail
        return of_ratio(*events, step.share_ratio, 1.0, bets)

    safe = [(Proof(lambda step: compared(step, later, FASTER), level.safe()),)]
    if asked.ms_max is not None:
        over = beyond(math.log(asked.ms_max) - slower)
        missed = Proof(lambda step: of_share(traffic.to_candidate(step), over, below(1 - asked.quantile)), level.safe())
        safe.append((missed,))
    parts = 1.0 if asked.ms_max is None else 1 / (1 - OBJECTIVE_SHARE)
    harm = Proof(lambda step: compared(step, worse, policy.grid), level.harm(asked.alpha_share, parts))
    enough = Minimum(traffic.to_candidate, policy.requests_min)
    return Race(
        gate=f"latency.p{100 * asked.quantile:g}",
        stage=Stage.LIVE,
        required=True,
        safe=tuple(safe),
        safe_samples=enough,
        harm=(harm,) if worse >= policy.guard_ratio * tail else (),
        harm_samples=enough,
        harm_at_guard=math.isclose(worse, policy.guard_ratio * tail),
        margin=Candidate(slower_ratio=asked.margin_ratio),
        advice="give the candidate a larger share for longer, or widen its margin_ratio",
    )


def live_accuracy(policy: LiveAccuracyPolicy, traffic: Traffic, level: Levels, loss: float) -> Race:
    """Different requests of each version, so the certificate is of a difference, and harm is a ratio of the wrong."""
    margin, guard, wrong = policy.margin_points / 100, policy.guard_points / 100, traffic.wrong_ratio
    worse = min(wrong + loss, 1.0)
    lower = DifferenceTest(margin, tuple(margin * guess for guess in GUESSES))

    def labelled(step: PlannedStep) -> tuple[float, float]:
        return traffic.to_candidate(step) * traffic.live_label_ratio, traffic.to_stable(step) * traffic.live_label_ratio

    def compared(step: PlannedStep) -> list[Growth]:
        candidate, stable = labelled(step)
        return of_ratio(candidate * worse, stable * wrong, step.share_ratio, 1.0, policy.grid)

    safe = Proof(lambda step: of_difference(*labelled(step), (worse, wrong), lower), level.safe(), labelled=True)
    harm = Proof(compared, level.harm_before_deadline(policy.alpha_share), labelled=True)
    enough = Minimum(lambda step: min(labelled(step)), policy.labels_min, labelled=True)
    return Race(
        gate="accuracy.live",
        stage=Stage.LIVE,
        required=policy.required,
        safe=((safe,),),
        safe_samples=enough,
        harm=(harm,) if 0 < loss >= guard else (),
        harm_samples=enough,
        harm_at_guard=math.isclose(loss, guard),
        margin=Candidate(loss_ratio=margin),
        advice="label more live answers, give the candidate a larger share for longer, or widen margin_points",
    )


def budget(policy: BudgetPolicy, traffic: Traffic, level: Levels, candidate: Candidate) -> Race:
    """It fails where the candidate burns ``rollback_burn`` times too fast, and is worse than stable, too."""
    error, failing, allowed = traffic.error_ratio, _error_ratio(candidate, traffic), 1 - policy.objective_ratio
    burning = min(allowed * policy.rollback_burn, 1.0)

    def compared(step: PlannedStep) -> list[Growth]:
        events = traffic.to_candidate(step) * failing, traffic.to_stable(step) * error
        return of_ratio(*events, step.share_ratio, 1.0, policy.grid)

    threshold = level.harm_before_deadline(policy.alpha_share, 1 / (1 - ALONE_SHARE))
    burns = Proof(lambda step: of_share(traffic.to_candidate(step), failing, above(allowed, policy.grid)), threshold)
    safe = Proof(lambda step: of_share(traffic.to_candidate(step), failing, below(burning)), level.safe())
    enough = Minimum(traffic.to_candidate, policy.requests_min)
    at_guard = math.isclose(failing, burning)
    blamed = error < failing >= policy.guard_ratio * error and (at_guard or failing > burning)
    return Race(
        gate="budget.burn",
        stage=Stage.LIVE,
        required=False,
        safe=((safe,),),
        safe_samples=enough,
        harm=(burns, Proof(compared, threshold)) if blamed else (),
        harm_samples=enough,
        harm_at_guard=at_guard,
        margin=Candidate(error_ratio=burning),
        advice="give the candidate a larger share for longer",
    )
