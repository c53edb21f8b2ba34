"""How fast the evidence of each gate grows on a given traffic: what `gates.planner` makes its forecasts of."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr, ndtri

from gates.online.accuracy_shadow import AGREEMENT_WEIGHT
from gates.online.errors import SAFER
from gates.online.latency import FASTER, OBJECTIVE_SHARE
from gates.policy import (
    CalibrationPolicy,
    GatePolicy,
    LatencyPolicy,
    LiveErrorsPolicy,
    PairedAccuracyPolicy,
    ShadowErrorsPolicy,
)
from gates.stats.betting import Trinomial, log_capitals
from gates.stats.growth import NONE, Growth, walk
from gates.stats.share import below
from gates.verdict import Stage

EDGE_FIRST_MS, EDGE_RATIO = 2.0, 1.1  # of the latency buckets that a replica counts by
SLICE_SHARE = 0.1  # of the requests, where nothing is known of a slice
_ROUNDING = 1 + 1e-4
_NEVER = 1e-300  # a probability in whose place a logarithm needs a number


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of the release: the candidate's share of live traffic (0 in shadow) and how long it lasts."""

    share_ratio: float
    duration_s: float


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """A slice of the policy as the traffic shows it: its share of the pairs, and how many of them disagree."""

    name: str
    share_ratio: float = SLICE_SHARE
    disagreement_ratio: float = 0.07


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is known of a service: observed, or assumed by whoever asks for the plan."""

    requests_per_s: float
    steps: tuple[PlannedStep, ...]
    mirror_ratio: float = 1.0  # of stable's requests, mirrored to the candidate
    label_ratio: float = 0.1  # of the pairs, labelled by chance
    directed_ratio: float = 0.0  # of the disagreements, labelled because of the disagreement
    label_delay_s: float = 600.0
    disagreement_ratio: float = 0.07  # of the pairs
    error_ratio: float = 0.001
    latency_spread: float = 0.5  # standard deviation of the log of latency
    latency_median_ms: float = 50.0
    gap_spread: float = 0.3  # standard deviation of the change of the confidence gap on one pair
    brier_spread: float = 0.4  # standard deviation of the change of the Brier score on one pair
    slices: tuple[PlannedSlice, ...] = ()

    @property
    def deadline_s(self) -> float:
        return sum(step.duration_s for step in self.steps)

    def mirrored(self, step: PlannedStep) -> float:
        """Pairs per second: what stable serves and the mirror repeats."""
        return self.requests_per_s * (1 - step.share_ratio) * self.mirror_ratio

    def to_candidate(self, step: PlannedStep) -> float:
        """Live requests per second."""
        return self.requests_per_s * step.share_ratio

    def to_stable(self, step: PlannedStep) -> float:
        return self.requests_per_s * (1 - step.share_ratio)


@dataclass(frozen=True, slots=True)
class Proof:
    """One e-process: the growth of each of its bets in a step, and the log evidence that the mixture must reach."""

    growth: Callable[[PlannedStep], Sequence[Growth]]
    threshold: float
    labelled: bool = False  # by late labels


@dataclass(frozen=True, slots=True)
class Minimum:
    """The least number of samples of a verdict, and how many come per second."""

    rate: Callable[[PlannedStep], float]
    least: float
    labelled: bool = False


@dataclass(frozen=True, slots=True)
class Race:
    """One gate: it passes by one proof of each group of ``safe``, it fails by ``harm``, each with enough samples.

    ``harm`` is ``None`` where a candidate at the margin lies below the guard, which never fails.
    """

    gate: str
    stage: Stage
    safe: tuple[tuple[Proof, ...], ...]
    safe_samples: Minimum
    harm: Proof | None
    harm_samples: Minimum
    advice: str


def races(policy: GatePolicy, traffic: Traffic) -> Iterator[Race]:
    """Every gate that can pass and fail for itself: an equal candidate without a change, and one at its margin."""
    level = _Levels(policy)
    if policy.accuracy_shadow is not None:
        yield _accuracy("accuracy.shadow", policy.accuracy_shadow, traffic, level)
    known = {part.name: part for part in traffic.slices}
    for part in policy.slices:
        seen = known.get(part.name, PlannedSlice(part.name, disagreement_ratio=traffic.disagreement_ratio))
        narrowed = replace(
            traffic,
            mirror_ratio=traffic.mirror_ratio * seen.share_ratio,
            disagreement_ratio=seen.disagreement_ratio,
        )
        yield _accuracy(f"accuracy.shadow[{part.name}]", part.accuracy, narrowed, level)
    if policy.calibration_shadow is not None:
        yield _calibration(policy.calibration_shadow, traffic, level)
    if policy.errors_shadow is not None:
        yield _errors(policy.errors_shadow, Stage.SHADOW, traffic, level)
    if policy.latency is not None:
        for tail in (_Tail.p95(policy.latency), _Tail.p99(policy.latency)):
            yield _latency(policy.latency, tail, traffic, level)
    if policy.errors_live is not None:
        yield _errors(policy.errors_live, Stage.LIVE, traffic, level)


@dataclass(frozen=True, slots=True)
class _Levels:
    """Thresholds of log evidence, as the gates have them."""

    policy: GatePolicy

    def safe(self, parts: float = 1.0) -> float:
        return math.log(parts / self.policy.promotion_alpha)

    def harm(self, share: float, parts: float = 1.0) -> float:
        """All of the level is spent by watching."""
        return math.log(parts / (self.policy.rollback_alpha * share / self.policy.alpha_shares))

    def harm_before_deadline(self, share: float) -> float:
        """A part is kept for an exact test at the deadline."""
        return self.harm(share, 1 / (1 - self.policy.deadline_fraction))


# --- pairs ------------------------------------------------------------------------------------------------------------
def _accuracy(gate: str, policy: PairedAccuracyPolicy, traffic: Traffic, level: _Levels) -> Race:
    margin = policy.margin_points / 100
    resolved = min(traffic.label_ratio + traffic.directed_ratio, 1.0)
    differ = max(traffic.disagreement_ratio, margin)

    def by_labels(step: PlannedStep, loss: float, null: float, sign: int) -> list[Growth]:
        apart = differ if loss else traffic.disagreement_ratio
        pairs = traffic.mirrored(step) * resolved
        chances = ((apart + loss) / 2, (apart - loss) / 2, 1 - apart)
        outcomes = (Trinomial(1, 0, 0), Trinomial(0, 1, 0), Trinomial(0, 0, 1))
        sizes = [log_capitals(one if sign > 0 else one.mirrored, null, policy.bets) for one in outcomes]
        return [
            walk((pairs * chance, size[bet]) for chance, size in zip(chances, sizes, strict=True))
            for bet in range(len(policy.bets))
        ]

    def by_agreement(step: PlannedStep) -> list[Growth]:
        return _below(traffic.mirrored(step), traffic.disagreement_ratio, margin)

    helps = "mirror more traffic" if traffic.directed_ratio else "ask for labels where the versions disagree"
    return Race(
        gate=gate,
        stage=Stage.SHADOW,
        safe=(
            (
                Proof(
                    lambda step: by_labels(step, 0.0, -margin, -1),
                    level.safe(1 / (1 - AGREEMENT_WEIGHT)),
                    labelled=True,
                ),
                Proof(by_agreement, level.safe(1 / AGREEMENT_WEIGHT)),
            ),
        ),
        safe_samples=Minimum(traffic.mirrored, policy.pairs_min),
        harm=None
        if policy.guard_points > policy.margin_points
        else Proof(
            lambda step: by_labels(step, margin, 0.0, 1), level.harm_before_deadline(policy.alpha_share), labelled=True
        ),
        harm_samples=Minimum(lambda step: traffic.mirrored(step) * resolved, policy.pairs_min, labelled=True),
        advice=f"{helps}, extend the deadline, or widen margin_points",
    )


_POINTS = ndtri((np.arange(41) + 0.5) / 41)  # of a normal distribution, each as likely as the others


def _calibration(policy: CalibrationPolicy, traffic: Traffic, level: _Levels) -> Race:
    def labelled(step: PlannedStep) -> float:
        return traffic.mirrored(step) * traffic.label_ratio

    def bets(step: PlannedStep, spread: float, mean: float, null: float) -> list[Growth]:
        values = np.clip(spread * _POINTS + mean, -2, 2) - null
        jumps, each = (
            [np.log1p(values * (bet / (2 + null))).tolist() for bet in policy.bets],
            labelled(step) / len(values),
        )
        return [walk((each, jump) for jump in sizes) for sizes in jumps]

    def certificate(spread: float, margin: float, parts: int) -> tuple[Proof]:
        return (Proof(lambda step: bets(step, spread, 0.0, -margin), level.safe(parts), labelled=True),)

    side = certificate(traffic.gap_spread, policy.margin_gap, 2)
    harm = Proof(
        lambda step: bets(step, traffic.gap_spread, policy.margin_gap, policy.tolerance_gap),
        level.harm(policy.alpha_share, 3),
        labelled=True,
    )
    enough = Minimum(labelled, policy.pairs_min, labelled=True)
    return Race(
        gate="calibration.shadow",
        stage=Stage.SHADOW,
        safe=(side, side, certificate(traffic.brier_spread, policy.margin_brier, 1)),
        safe_samples=enough,
        harm=None if policy.guard_gap > policy.margin_gap else harm,
        harm_samples=enough,
        advice="label more requests by chance, mirror more traffic, or extend the deadline",
    )


# --- counts -----------------------------------------------------------------------------------------------------------
def _ratios(
    candidate_s: float, stable_s: float, share: float, null: float, alternatives: Sequence[float]
) -> list[Growth]:
    """Of F1, from events per second of each version and the candidate's share of the requests compared."""
    if not 0 < share < 1:
        return [NONE for _ in alternatives]
    found = []
    for ratio in alternatives:
        other = -math.log((1 + (ratio - 1) * share) / (1 + (null - 1) * share))
        found.append(walk(((candidate_s, math.log(ratio / null) + other), (stable_s, other))))
    return found


def _below(trials_s: float, share: float, ceiling: float) -> list[Growth]:
    """Of the certificate that a share lies below its ceiling."""
    return [
        walk(
            (
                (trials_s * (1 - share), math.log1p(-guess) - math.log1p(-ceiling)),
                (trials_s * share, math.log(max(guess, _NEVER) / ceiling)),
            )
        )
        for guess in below(ceiling).alternatives
    ]


def _errors(policy: ShadowErrorsPolicy | LiveErrorsPolicy, stage: Stage, traffic: Traffic, level: _Levels) -> Race:
    error, margin = traffic.error_ratio, policy.margin_ratio
    own = traffic.to_candidate if stage is Stage.LIVE else traffic.mirrored

    def all_own(step: PlannedStep) -> float:
        """Mirrored requests certify live ones too."""
        return traffic.mirrored(step) + (traffic.to_candidate(step) if stage is Stage.LIVE else 0.0)

    def compared(step: PlannedStep, candidate: float, times: float, null: float, bets: Sequence[float]) -> list[Growth]:
        stable = traffic.to_stable(step)
        share = candidate / (candidate + stable) if candidate + stable else 0.0
        return _ratios(candidate * error * times, stable * error, share, null, bets)

    harm = Proof(
        lambda step: compared(step, own(step), margin, 1.0, policy.grid),
        level.harm_before_deadline(policy.alpha_share),
    )
    enough = Minimum(own, policy.requests_min)
    lower = [margin * factor for factor in SAFER]
    return Race(
        gate=f"errors.{stage}",
        stage=stage,
        safe=(
            (
                Proof(lambda step: compared(step, all_own(step), 1.0, margin, lower), level.safe(2)),
                Proof(lambda step: _below(all_own(step), error, policy.error_ratio_max), level.safe(2)),
            ),
        ),
        safe_samples=enough,
        harm=None if policy.guard_ratio > margin else harm,
        harm_samples=enough,
        advice="mirror more traffic, or state an absolute objective (error_ratio_max) that clean traffic can certify",
    )


@dataclass(frozen=True, slots=True)
class _Tail:
    """One percentile of the latency policy."""

    quantile: float
    margin_ratio: float
    alpha_share: float
    ms_max: float | None

    @classmethod
    def p95(cls, policy: LatencyPolicy) -> "_Tail":
        return cls(0.95, policy.p95_margin_ratio, policy.p95_alpha_share, policy.p95_ms_max)

    @classmethod
    def p99(cls, policy: LatencyPolicy) -> "_Tail":
        return cls(0.99, policy.p99_margin_ratio, policy.p99_alpha_share, policy.p99_ms_max)


def _latency(policy: LatencyPolicy, asked: _Tail, traffic: Traffic, level: _Levels) -> Race:
    """Answers are log-normal; the yardstick is the upper edge of the bucket that holds stable's percentile."""
    spread, bucket = traffic.latency_spread, math.log(EDGE_RATIO)
    median, percentile = math.log(traffic.latency_median_ms), ndtri(asked.quantile) * spread
    yardstick = math.ceil((median + percentile - math.log(EDGE_FIRST_MS)) / bucket) * bucket + math.log(EDGE_FIRST_MS)
    edges = math.floor(math.log(asked.margin_ratio * _ROUNDING) / bucket)

    def beyond(log_ms: float) -> float:
        """The share of stable's answers that take longer."""
        return float(ndtr((median - log_ms) / spread))

    tail, later = beyond(yardstick), beyond(yardstick + edges * bucket)
    worse = beyond(yardstick - math.log(asked.margin_ratio))

    def compared(step: PlannedStep, slow: float, bets: Sequence[float]) -> list[Growth]:
        events = traffic.to_candidate(step) * slow, traffic.to_stable(step) * tail
        return _ratios(*events, step.share_ratio, 1.0, bets)

    safe = [(Proof(lambda step: compared(step, later, FASTER), level.safe()),)]
    if asked.ms_max is not None:
        over = beyond(math.log(asked.ms_max))
        missed = Proof(lambda step: _below(traffic.to_candidate(step), over, 1 - asked.quantile), level.safe())
        safe.append((missed,))
    parts = 1.0 if asked.ms_max is None else 1 / (1 - OBJECTIVE_SHARE)
    harm = Proof(lambda step: compared(step, worse, policy.grid), level.harm(asked.alpha_share, parts))
    enough = Minimum(traffic.to_candidate, policy.requests_min)
    return Race(
        gate=f"latency.p{100 * asked.quantile:g}",
        stage=Stage.LIVE,
        safe=tuple(safe),
        safe_samples=enough,
        harm=harm if worse >= policy.guard_ratio * tail else None,
        harm_samples=enough,
        advice="give the candidate a larger share for longer, or widen its margin_ratio",
    )
