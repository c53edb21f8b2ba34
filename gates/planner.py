"""Before a release starts: how long will each gate need, and which one cannot settle by the deadline?

For two candidates, one that changes nothing and one that is as bad as the margin of the gate, the growth of the
evidence follows from the traffic. Plans are forecasts: they decide nothing.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from gates.betting import Trinomial, log_capitals
from gates.errors import SAFER
from gates.growth import NONE, Growth, Stretch, chance_to_cross, expected_seconds, fastest, walk
from gates.latency import FASTER
from gates.policy import (
    CalibrationPolicy,
    GatePolicy,
    LatencyPolicy,
    LiveErrorsPolicy,
    PairedAccuracyPolicy,
    ShadowErrorsPolicy,
)
from gates.verdict import Stage


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step of the release: the candidate's share of live traffic (0 in shadow) and how long it lasts."""

    share_ratio: float
    duration_s: float


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
    gap_spread: float = 0.3  # standard deviation of the change of the confidence gap on one pair

    @property
    def deadline_s(self) -> float:
        return sum(step.duration_s for step in self.steps)


@dataclass(frozen=True, slots=True)
class GatePlan:
    """One gate's forecast. Seconds count from the start of the release; ``None``: not by the deadline."""

    gate: str
    stage: Stage
    pass_s: float | None  # expected, for a candidate that changes nothing
    pass_chance: float  # by the deadline, for that candidate
    fail_s: float | None  # expected, for a candidate as bad as the margin
    fail_chance: float  # by the deadline, for that candidate
    advice: str  # what would settle it sooner; empty where nothing need change

    @property
    def settles(self) -> bool:
        return self.pass_s is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """The forecast of a release. Chances of its ends, for a candidate that changes nothing."""

    gates: tuple[GatePlan, ...]
    step_s: tuple[float | None, ...]  # when the gates that end the step have settled: shadow's, then the live ones
    promoted_chance: float
    rolled_back_chance_max: float

    @property
    def held_chance(self) -> float:
        return max(0.0, 1 - self.promoted_chance - self.rolled_back_chance_max)


Rate = Callable[[PlannedStep], Growth]


@dataclass(frozen=True, slots=True)
class _Race:
    """One gate's evidence in each step: for a pass without a change, and for a failure at the margin."""

    gate: str
    stage: Stage
    safe: Rate
    safe_threshold: float
    harm: Rate
    harm_threshold: float
    delay_s: float
    advice: str


def plan(policy: GatePolicy, traffic: Traffic) -> Plan:
    """The forecast for one release; every required gate of the policy that can pass has an entry."""
    gates = tuple(_forecast(race, traffic) for race in _races(policy, traffic))
    by_stage = [[gate.pass_s for gate in gates if gate.stage is stage] for stage in (Stage.SHADOW, Stage.LIVE)]
    return Plan(
        gates=gates,
        step_s=tuple(_latest(times) for times in by_stage),
        promoted_chance=math.prod(gate.pass_chance for gate in gates),
        rolled_back_chance_max=policy.rollback_alpha,
    )


def _latest(times: Sequence[float | None]) -> float | None:
    known = [time for time in times if time is not None]
    return max(known, default=0.0) if len(known) == len(times) else None


def _forecast(race: _Race, traffic: Traffic) -> GatePlan:
    safe = list(_stretches(race.safe, traffic, race.delay_s))
    harm = list(_stretches(race.harm, traffic, race.delay_s))
    pass_s = expected_seconds(safe, race.safe_threshold)
    fail_s = expected_seconds(harm, race.harm_threshold)
    chance = chance_to_cross(safe, race.safe_threshold)
    return GatePlan(
        gate=race.gate,
        stage=race.stage,
        pass_s=pass_s,
        pass_chance=chance,
        fail_s=fail_s,
        fail_chance=chance_to_cross(harm, race.harm_threshold),
        advice=race.advice if chance < 0.9 else "",
    )


def _stretches(rate: Rate, traffic: Traffic, delay_s: float) -> Iterator[Stretch]:
    """The steps of the release, without the time that late labels take from each end: the last ones come too late."""
    yield Stretch(delay_s, NONE)
    left = max(traffic.deadline_s - delay_s, 0.0)
    for step in traffic.steps:
        seconds = min(step.duration_s, left)
        left -= seconds
        yield Stretch(seconds, rate(step))


def _races(policy: GatePolicy, traffic: Traffic) -> Iterator[_Race]:
    level = _Levels(policy)
    if policy.accuracy_shadow is not None:
        yield _accuracy(policy.accuracy_shadow, traffic, level)
    if policy.calibration_shadow is not None:
        yield _calibration(policy.calibration_shadow, traffic, level)
    if policy.errors_shadow is not None:
        yield _errors(policy.errors_shadow, Stage.SHADOW, traffic, level)
    if policy.latency is not None:
        yield _latency(
            policy.latency, 0.95, policy.latency.p95_margin_ratio, policy.latency.p95_alpha_share, traffic, level
        )
        yield _latency(
            policy.latency, 0.99, policy.latency.p99_margin_ratio, policy.latency.p99_alpha_share, traffic, level
        )
    if policy.errors_live is not None:
        yield _errors(policy.errors_live, Stage.LIVE, traffic, level)


@dataclass(frozen=True, slots=True)
class _Levels:
    """Thresholds of log evidence, with what a mixture over ``bets`` costs."""

    policy: GatePolicy

    def safe(self, bets: int, parts: int = 1) -> float:
        return math.log(parts * bets / self.policy.promotion_alpha)

    def harm(self, share: float, bets: int, parts: int = 1) -> float:
        alpha = self.policy.rollback_alpha * share / self.policy.alpha_shares * (1 - self.policy.deadline_fraction)
        return math.log(parts * bets / alpha)


def _mirrored(traffic: Traffic, step: PlannedStep) -> float:
    """Pairs per second: what stable serves and the mirror repeats."""
    return traffic.requests_per_s * (1 - step.share_ratio) * traffic.mirror_ratio


def _accuracy(policy: PairedAccuracyPolicy, traffic: Traffic, level: _Levels) -> _Race:
    margin, bets = policy.margin_points / 100, policy.bets
    labelled = max(traffic.label_ratio, traffic.directed_ratio)
    differ = max(traffic.disagreement_ratio, margin)

    def rate(step: PlannedStep, loss: float, null: float, sign: int) -> Growth:
        pairs = _mirrored(traffic, step) * labelled
        chances = ((differ + loss) / 2, (differ - loss) / 2, 1 - differ)
        outcomes = (Trinomial(1, 0, 0), Trinomial(0, 1, 0), Trinomial(0, 0, 1))
        sizes = [log_capitals(outcome if sign > 0 else outcome.mirrored, null, bets) for outcome in outcomes]
        return fastest(
            walk((pairs * chance, size[bet]) for chance, size in zip(chances, sizes, strict=True))
            for bet in range(len(bets))
        )

    advice = (
        "ask for labels where the versions disagree" if traffic.directed_ratio < labelled else "mirror more traffic"
    )
    return _Race(
        gate="accuracy.shadow",
        stage=Stage.SHADOW,
        safe=lambda step: rate(step, 0.0, -margin, -1),
        safe_threshold=level.safe(len(bets)),
        harm=lambda step: rate(step, margin, 0.0, 1),
        harm_threshold=level.harm(policy.alpha_share, len(bets)),
        delay_s=traffic.label_delay_s,
        advice=f"{advice}, extend the deadline, or widen margin_points",
    )


def _calibration(policy: CalibrationPolicy, traffic: Traffic, level: _Levels) -> _Race:
    spread = traffic.gap_spread * ndtri((np.arange(41) + 0.5) / 41)

    def rate(step: PlannedStep, change: float, null: float) -> Growth:
        pairs = _mirrored(traffic, step) * traffic.label_ratio
        values = np.clip(spread + change, -2, 2) - null
        sizes = [bet / (2 + null) for bet in policy.bets]
        return fastest(walk((pairs / len(values), float(jump)) for jump in np.log1p(values * size)) for size in sizes)

    return _Race(
        gate="calibration.shadow",
        stage=Stage.SHADOW,
        safe=lambda step: rate(step, 0.0, -policy.margin_gap),
        safe_threshold=level.safe(len(policy.bets), parts=2),
        harm=lambda step: rate(step, policy.margin_gap, policy.tolerance_gap),
        harm_threshold=level.harm(policy.alpha_share, len(policy.bets), parts=3),
        delay_s=traffic.label_delay_s,
        advice="label more requests by chance, mirror more traffic, or extend the deadline",
    )


def _ratio_growth(
    candidate_s: float, stable_s: float, share: float, null: float, alternatives: Sequence[float]
) -> Growth:
    """Of F1, from events per second of each version and the candidate's share of the requests compared."""
    kinds = []
    for ratio in alternatives:
        other = -math.log((1 + (ratio - 1) * share) / (1 + (null - 1) * share))
        kinds.append(walk(((candidate_s, math.log(ratio / null) + other), (stable_s, other))))
    return fastest(kinds)


def _errors(policy: ShadowErrorsPolicy | LiveErrorsPolicy, stage: Stage, traffic: Traffic, level: _Levels) -> _Race:
    error, ceiling = traffic.error_ratio, policy.error_ratio_max
    lower = [policy.margin_ratio * factor for factor in SAFER]
    clean = [0.0, *(ceiling * factor for factor in (0.2, 0.5))] if error == 0 else [ceiling * 0.2, ceiling * 0.5]

    def safe(step: PlannedStep) -> Growth:
        live = step.share_ratio * traffic.requests_per_s if stage is Stage.LIVE else 0.0
        candidate, stable = _mirrored(traffic, step) + live, traffic.requests_per_s * (1 - step.share_ratio)
        if candidate + stable == 0:
            return NONE
        ratio = _ratio_growth(
            candidate * error, stable * error, candidate / (candidate + stable), policy.margin_ratio, lower
        )
        shares = (
            walk(
                (
                    (candidate * (1 - error), math.log1p(-share) - math.log1p(-ceiling)),
                    (candidate * error, math.log(share / ceiling) if share else 0.0),
                )
            )
            for share in clean
        )
        return fastest((ratio, *shares))

    def harm(step: PlannedStep) -> Growth:
        live, stable = step.share_ratio * traffic.requests_per_s, traffic.requests_per_s * (1 - step.share_ratio)
        candidate = live if stage is Stage.LIVE else _mirrored(traffic, step)
        if candidate == 0 or stable == 0:
            return NONE
        events = candidate * error * policy.margin_ratio, stable * error
        return _ratio_growth(*events, candidate / (candidate + stable), 1.0, policy.grid)

    return _Race(
        gate=f"errors.{stage}",
        stage=stage,
        safe=safe,
        safe_threshold=level.safe(len(lower), parts=2),
        harm=harm,
        harm_threshold=level.harm(policy.alpha_share, len(policy.grid)),
        delay_s=0.0,
        advice="mirror more traffic, or state an absolute objective (error_ratio_max) that clean traffic can certify",
    )


def _latency(
    policy: LatencyPolicy, quantile: float, margin: float, alpha_share: float, traffic: Traffic, level: _Levels
) -> _Race:
    tail, shift = 1 - quantile, math.log(margin) / traffic.latency_spread
    later, worse = (float(ndtr(-ndtri(quantile) - sign * shift)) for sign in (1, -1))

    def rate(step: PlannedStep, slow: float, alternatives: Sequence[float]) -> Growth:
        share = step.share_ratio
        if not 0 < share < 1:
            return NONE
        events = traffic.requests_per_s * share * slow, traffic.requests_per_s * (1 - share) * tail
        return _ratio_growth(*events, share, 1.0, alternatives)

    return _Race(
        gate=f"latency.p{100 * quantile:g}",
        stage=Stage.LIVE,
        safe=lambda step: rate(step, later, FASTER),
        safe_threshold=level.safe(len(FASTER)),
        harm=lambda step: rate(step, worse, policy.grid),
        harm_threshold=level.harm(alpha_share, len(policy.grid)),
        delay_s=0.0,
        advice="give the candidate a larger share for longer, or widen its margin_ratio",
    )
