"""The forecast of latency.p95 and latency.p99."""

import math

from scipy.special import ndtr, ndtri

from gates.forecast.candidate import Candidate
from gates.forecast.growths import CERTIFIED, Blur, of_ratio, of_share, of_watch
from gates.forecast.race import Minimum, Proof, Race, is_beyond
from gates.forecast.traffic import PlannedStep, Traffic
from gates.kind import Asked, Levels
from gates.online.latency.gate import FASTER, OBJECTIVE_SHARE
from gates.online.latency.policy import LatencyPolicy, Percentile, p95, p99
from gates.online.latency.yardstick import NEAR
from gates.stats.growth import Growth
from gates.stats.share import below
from gates.stats.watch import LEARNING
from gates.verdict import Stage

EDGE_FIRST_MS, EDGE_RATIO = 2.0, 1.1  # of the latency buckets that a replica counts by
_ROUNDING = 1 + 1e-4


def of_p95(asked: Asked[LatencyPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    return _race(p95(asked.section), asked.levels, traffic, candidate)


def of_p99(asked: Asked[LatencyPolicy], traffic: Traffic, candidate: Candidate) -> Race:
    return _race(p99(asked.section), asked.levels, traffic, candidate)


def _race(asked: Percentile, level: Levels, traffic: Traffic, candidate: Candidate) -> Race:
    """Return the race. Times are taken to be log-normal; the yardstick is the lowest bucket edge that at most `NEAR`
    times the tail of stable's requests exceed."""
    spread, bucket = traffic.latency_spread, math.log(EDGE_RATIO)
    median = math.log(traffic.latency_median_ms)
    most = ndtri(1 - NEAR * asked.tail) * spread  # over the median: NEAR times the tail of the requests exceed it
    yardstick = math.ceil((median + most - math.log(EDGE_FIRST_MS)) / bucket) * bucket + math.log(EDGE_FIRST_MS)
    edges = math.floor(math.log(asked.margin_ratio * _ROUNDING) / bucket)

    def beyond(log_ms: float) -> float:
        """Return the share of stable's answers that take longer."""
        return float(ndtr((median - log_ms) / spread))

    slower = math.log(candidate.slower_ratio)  # added to the logarithm of each of stable's times
    tail, worse = beyond(yardstick), beyond(yardstick - slower)
    later = beyond(yardstick + edges * bucket - slower)
    guard, effect = beyond(yardstick - math.log(asked.guard_ratio)) / tail, traffic.slow_effect

    def warm(step: PlannedStep) -> float:
        """Return the candidate's requests per second that count."""
        return 0.0 if step.warming else traffic.to_candidate(step)

    def compared(step: PlannedStep, slow: float) -> tuple[float, float, float]:
        """Return the slow requests per second of the candidate and of stable, and the candidate's share of the
        requests."""
        share = 0.0 if step.warming else step.share_ratio
        return warm(step) * slow, traffic.to_stable(step) * tail, share

    def within(step: PlannedStep) -> list[Growth]:
        counts, cautious = compared(step, later), CERTIFIED * effect
        return Blur(traffic.slow_apart, cautious, level.safe()).over(of_ratio(*counts, 1.0, FASTER, cautious), counts)

    def harmful(step: PlannedStep) -> list[Growth]:
        counts = compared(step, worse)
        return Blur(traffic.slow_apart, effect, harm_at).over(of_watch(*counts, guard, effect), counts)

    safe = [(Proof(within, level.safe()),)]
    if asked.ms_max is not None:
        over = beyond(math.log(asked.ms_max) - slower)
        kept = below(asked.tail)
        missed = Proof(lambda step: of_share(warm(step), over, kept, CERTIFIED * effect), level.safe())
        safe.append((missed,))
    parts = 1.0 if asked.ms_max is None else 1 / (1 - OBJECTIVE_SHARE)
    harm_at = level.harm(parts) + LEARNING
    harm = Proof(harmful, harm_at)
    enough = Minimum(warm, asked.requests_min)
    return Race(
        gate=f"latency.{asked.label}",
        stage=Stage.LIVE,
        required=True,
        safe=tuple(safe),
        safe_samples=enough,
        harm=(harm,) if is_beyond(candidate.slower_ratio, asked.guard_ratio) else (),
        harm_samples=enough,
        harm_at_guard=False,
        margin=Candidate(slower_ratio=asked.margin_ratio),
        advice="give the candidate a larger share for longer, or widen its margin_ratio",
    )
