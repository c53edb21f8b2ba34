"""The keys of latency.p95 and latency.p99, and what each of the two asks."""

from dataclasses import dataclass
from typing import Annotated

from gates.keys import AlphaShare, Guarded, require


@dataclass(frozen=True, slots=True)
class LatencyPolicy:
    """latency.p95 and latency.p99: against stable by bucket counts, and absolute objectives."""

    GUARDED = (
        Guarded("guard_slower_ratio", "p95_margin_ratio"),
        Guarded("guard_slower_ratio", "p99_margin_ratio"),
    )

    p95_alpha_share: AlphaShare = 3.2
    p99_alpha_share: AlphaShare = 0.7
    p95_margin_ratio: Annotated[float, "promote only when a P95 this many times stable's is excluded"] = 1.1
    p99_margin_ratio: Annotated[float, "promote only when a P99 this many times stable's is excluded"] = 1.25
    p95_ms_max: Annotated[float | None, "the objective of P95, certified before promotion; null: none"] = 200.0
    p99_ms_max: Annotated[float | None, "the objective of P99, certified before promotion; null: none"] = 500.0
    guard_slower_ratio: Annotated[
        float, "roll back only when a percentile more than this many times stable's is shown; below both margins"
    ] = 1.033
    requests_min: Annotated[int, "live requests of the candidate, needed to conclude anything"] = 200
    stable_requests_min: Annotated[int, "seen before stable's percentile serves as the yardstick"] = 500
    stable_requests_memory: Annotated[
        int, "the yardstick is the percentile of about so many requests before a look"
    ] = 5_000

    def __post_init__(self) -> None:
        require(self, "p95_alpha_share", "p99_alpha_share", "p95_margin_ratio", "p99_margin_ratio")
        require(self, "p95_ms_max", "p99_ms_max", "stable_requests_min", "stable_requests_memory")


@dataclass(frozen=True, slots=True)
class Percentile:
    """The question of one latency gate: which percentile, how much slower it may be, and its absolute objective."""

    quantile: float
    margin_ratio: float
    ms_max: float | None
    guard_ratio: float
    requests_min: int
    stable_requests_min: int
    stable_requests_memory: int

    @property
    def tail(self) -> float:
        """The share of requests that may take longer than the percentile: 1 - quantile."""
        return 1 - self.quantile

    @property
    def label(self) -> str:
        return f"p{100 * self.quantile:.10g}"


def p95(policy: LatencyPolicy) -> Percentile:
    return _percentile(policy, 0.95, policy.p95_margin_ratio, policy.p95_ms_max)


def p99(policy: LatencyPolicy) -> Percentile:
    return _percentile(policy, 0.99, policy.p99_margin_ratio, policy.p99_ms_max)


def _percentile(policy: LatencyPolicy, quantile: float, margin_ratio: float, ms_max: float | None) -> Percentile:
    return Percentile(
        quantile=quantile,
        margin_ratio=margin_ratio,
        ms_max=ms_max,
        guard_ratio=policy.guard_slower_ratio,
        requests_min=policy.requests_min,
        stable_requests_min=policy.stable_requests_min,
        stable_requests_memory=policy.stable_requests_memory,
    )
