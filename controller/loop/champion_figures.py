"""The figures of the version that serves everybody, since the last look: errors, latency, error budget and cost."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from controller.core.policy import ReleasePolicy
from controller.errors import AmbiguousError, TransientError
from controller.ports.metrics import CounterCursor, Metrics
from gates.stats.burn import burn

_HOUR_S: Final = 3_600.0
_P95: Final = 0.95
_P95_REQUESTS_MIN: Final = 20  # fewer requests give no 95th percentile


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one look. None means not known; ``troubles`` say why, one sentence each. ``burns``: the burn rate
    of the error budget, by the length of the window in seconds. ``cold_ratio``: the share of requests that met a cold
    start."""

    at_s: float
    requests: int | None = None
    errors: int | None = None
    p95_ms: float | None = None
    burns: Mapping[float, float] = field(default_factory=dict)
    cold_ratio: float | None = None
    cost_per_1000: float | None = None
    troubles: tuple[str, ...] = ()


@dataclass(slots=True)
class _Read:
    """The places up to which this process has read the counters of one version."""

    version: str
    users: CounterCursor | None = None
    replicas: CounterCursor | None = None


class FiguresReader:
    """The reader of each model's figures since the last look. The first look counts nothing yet."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._read: dict[str, _Read] = {}

    def look(self, policy: ReleasePolicy, version: str, at_s: float) -> Figures:
        """Return the figures of the version. A source that does not answer is named in ``troubles``."""
        model, troubles = policy.model, list[str]()
        read = self._read.get(model)
        if read is None or read.version != version:
            read = self._read[model] = _Read(version)
        found: dict[str, object] = {}
        for ask in (self._of_users, self._of_replicas, self._of_budget):
            try:
                found |= ask(policy, read, at_s)
            except TransientError as error:
                troubles.append(str(error))
                if isinstance(error, AmbiguousError) and error.is_over(at_s):
                    self._read[model] = _Read(version)  # the next look counts nothing yet
        return Figures(at_s, **found, troubles=tuple(troubles))  # type: ignore[arg-type]

    def _of_users(self, policy: ReleasePolicy, read: _Read, at_s: float) -> dict[str, object]:
        before = read.users
        counts = self._metrics.gateway(policy.model, [read.version], before, at_s=at_s)
        read.users = counts.cursor
        if before is None:
            return {}
        got = counts.live[read.version]
        p95_ms = _percentile(got.latency_counts, counts.latency_edges_ms) if not counts.times_untold else None
        return {"requests": got.requests, "errors": got.errors, "p95_ms": p95_ms}

    def _of_replicas(self, policy: ReleasePolicy, read: _Read, at_s: float) -> dict[str, object]:
        before = read.replicas
        counts = self._metrics.counts(policy.model, [read.version], before, at_s=at_s)
        read.replicas = counts.cursor
        if before is None:
            return {}
        usage, live = counts.usage[read.version], counts.live[read.version]
        answered, cold = live.requests + counts.shadow[read.version].requests, usage.resources.cold_starts
        limits = policy.gates.limits
        price = limits.replica_hour_price if limits is not None else None
        known = price is not None and live.requests
        spent = (price or 0.0) * usage.replicas * (at_s - before.at_s) / _HOUR_S
        return {
            "cold_ratio": cold / answered if cold is not None and answered else None,
            "cost_per_1000": 1_000 * spent / live.requests if known else None,
        }

    def _of_budget(self, policy: ReleasePolicy, _: _Read, at_s: float) -> dict[str, object]:
        budget = policy.gates.budget
        if budget is None or not budget.service_windows:
            return {}
        windows_s = sorted({row.long_s for row in budget.service_windows})
        counts = self._metrics.service_errors(policy.model, windows_s, at_s=at_s)
        return {"burns": {length_s: burn(*one, budget.objective_ratio) for length_s, one in counts.items()}}


def _percentile(counts: Sequence[int], edges: Sequence[float]) -> float | None:
    """Return the 95th percentile as the upper edge of its bin, or the last edge if it lies beyond that; None if too few
    requests were timed."""
    total = sum(counts)
    if total < _P95_REQUESTS_MIN or not edges:
        return None
    upto = itertools.accumulate(counts)
    place = next(place for place, reached in enumerate(upto) if reached >= _P95 * total)
    return edges[min(place, len(edges) - 1)]
