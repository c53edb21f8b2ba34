"""The texts of a version, and what its replicas used, from the counters and gauges of its targets."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from controller.adapters.prometheus.counters import TOKEN_BUCKET_METRIC, TOKEN_SUM_METRIC
from controller.adapters.prometheus.targets import Counter, Matrix, Samples, Target, Targets, numbers, series_of
from controller.ports.metrics import Usage
from gates.evidence import Resources
from serving.contract import (
    BUSY_METRIC,
    COLD_REQUESTS_METRIC,
    CORES_METRIC,
    CPU_METRIC,
    GPU_LABEL,
    GPU_UTILIZATION_METRIC,
    INFO_METRIC,
    LEVELS,
    MEMORY_LIMIT_METRIC,
    RESIDENT_MEMORY_METRIC,
    TOKENIZER_LABEL,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    WORKER_RESTARTS_METRIC,
    Traffic,
)

_INFO_LABELS: Final = ("fingerprint", TOKENIZER_LABEL)
_LEVELS: Final = (RESIDENT_MEMORY_METRIC, MEMORY_LIMIT_METRIC, CORES_METRIC, *LEVELS)
GAUGES: Final = (*_LEVELS, GPU_UTILIZATION_METRIC, INFO_METRIC)


@dataclass(slots=True)
class Gauges:
    """The gauges of one target: the samples of each gauge, by time, and the tokenizer that the target runs."""

    samples: dict[str, dict[float, float]] = field(default_factory=dict)
    gpus: list[dict[float, float]] = field(default_factory=list)  # the utilisation of each, by time
    tokenizer: str = ""

    def since(self, metric: str, since_s: float) -> list[float]:
        return [value for at_s, value in self.samples.get(metric, {}).items() if at_s > since_s]

    def last(self, metric: str) -> float | None:
        return next(reversed(self.samples.get(metric, {}).values()), None)


def read_gauges(matrix: Matrix, targets: Targets) -> dict[str, Gauges]:
    """Return the gauges, by the keys of the targets.

    Raises:
        TransientError: a series belongs to no target.
    """
    found = {target.key: Gauges() for target in targets.all}
    for metric in _LEVELS:
        for series in series_of(matrix, metric):
            target, _, values = targets.owner(series)
            found[target.key].samples.setdefault(metric, {}).update(_taken(values, target))
    for series in series_of(matrix, GPU_UTILIZATION_METRIC):
        target, _, values = targets.owner(series, GPU_LABEL)
        found[target.key].gpus.append(_taken(values, target))
    newest: dict[str, float] = {}
    for series in series_of(matrix, INFO_METRIC):
        target, own, values = targets.owner(series, *_INFO_LABELS)
        at_s = max(_taken(values, target), default=0.0)
        if at_s >= newest.get(target.key, 0.0):
            newest[target.key], found[target.key].tokenizer = at_s, own[TOKENIZER_LABEL]
    return found


def _taken(values: Samples, target: Target) -> dict[float, float]:
    """Return the samples of successful scrapes, without the markers of a series' end."""
    return {at_s: value for at_s, value in numbers(values) if at_s in target.snapshots}


@dataclass(frozen=True, slots=True)
class Span:
    """The gains and the gauges of one target between two of its scrapes. ``since_s`` is None if the first of them is
    not known."""

    gained: Mapping[Counter, float]
    gauges: Gauges
    since_s: float | None
    until_s: float

    @property
    def memory_ratio(self) -> float | None:
        used = self.gauges.since(RESIDENT_MEMORY_METRIC, self.since_s or 0.0)
        limit = self.gauges.last(MEMORY_LIMIT_METRIC)
        return max(used) / limit if used and limit else None

    @property
    def cpu_ratio(self) -> float | None:
        used_s, cores = self.gained.get(Counter(CPU_METRIC, "", "")), self.gauges.last(CORES_METRIC)
        if used_s is None or not cores or self.since_s is None or self.until_s <= self.since_s:
            return None
        return used_s / (self.until_s - self.since_s) / cores

    @property
    def gpu_ratio(self) -> float | None:
        """Return the mean utilisation of the busiest GPU; None if none is known."""
        since_s = self.since_s or 0.0
        used = [[value for at_s, value in gpu.items() if at_s > since_s] for gpu in self.gauges.gpus]
        return _worst(sum(values) / len(values) for values in used if values)

    def level(self, metric: str) -> float | None:
        """Return the mean of a gauge over the span; None if it has no sample."""
        values = self.gauges.since(metric, self.since_s or 0.0)
        return sum(values) / len(values) if values else None


def usage(spans: Sequence[Span], gained: Mapping[Counter, float], token_edges: Sequence[str]) -> Usage:
    """Return the usage of one version. ``gained``: the increments of all its targets, including those that left within
    the window."""

    def total(metric: str) -> int | None:
        value = gained.get(Counter(metric, "", ""))
        return None if value is None else int(value)

    last = token_edges[-1] if token_edges else ""
    levels: dict[str, Any] = {name: _worst(span.level(metric) for span in spans) for metric, name in LEVELS.items()}
    texts = _sum(gained.get(Counter(TOKEN_BUCKET_METRIC, traffic, last)) for traffic in Traffic)
    tokens = _sum(gained.get(Counter(TOKEN_SUM_METRIC, traffic, "")) for traffic in Traffic)
    return Usage(
        replicas=len(spans),
        token_counts=_token_counts(gained, token_edges),
        texts=texts,
        tokens=tokens,
        unknown_tokens=total(UNKNOWN_TOKENS_METRIC),
        truncated=total(TRUNCATED_METRIC),
        worker_restarts=total(WORKER_RESTARTS_METRIC),
        busy_s=gained.get(Counter(BUSY_METRIC, "", "")),
        resources=replace(
            Resources(
                memory_ratio=_worst(span.memory_ratio for span in spans),
                cpu_ratio=_worst(span.cpu_ratio for span in spans),
                gpu_ratio=_worst(span.gpu_ratio for span in spans),
                cold_starts=total(COLD_REQUESTS_METRIC),
            ),
            **levels,
        ),
        tokenizer=", ".join(sorted({span.gauges.tokenizer for span in spans if span.gauges.tokenizer})),
    )


def _token_counts(gained: Mapping[Counter, float], edges: Sequence[str]) -> tuple[int, ...]:
    """Return how many live requests' texts fall between the edges; empty if a bucket was not counted."""
    at_most = [gained.get(Counter(TOKEN_BUCKET_METRIC, Traffic.LIVE, edge)) for edge in edges]
    known = [value for value in at_most if value is not None]
    if not edges or len(known) < len(edges):
        return ()
    return tuple(int(value - below) for below, value in itertools.pairwise([0.0, *known]))


def _sum(values: Iterable[float | None]) -> int | None:
    known = [value for value in values if value is not None]
    return int(sum(known)) if known else None


def _worst(values: Iterable[float | None]) -> float | None:
    """Return the largest value; None if there is none. NaN counts as the largest, because it cannot be trusted."""
    known = [value for value in values if value is not None]
    return max(known, key=lambda value: (value != value, value), default=None)  # noqa: PLR0124 - only NaN differs
