"""What each version did, read from Prometheus: exact counts from raw samples, or an error, never a guess.

Two instant queries a look, both at one explicit time, for raw samples of the counters and of ``up``. The targets have
to carry the labels ``model`` and ``model_version`` (``TargetFiles`` gives them; in a cluster, relabelling from the
pod), with ``honor_labels`` on, so that ``up`` tells whose samples may be trusted.
"""

import itertools
import json
import math
import re
from collections import Counter as Counts
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from controller.adapters.prometheus_counters import (
    BUCKET_METRIC,
    UP_METRIC,
    Counter,
    Life,
    Matrix,
    Target,
    Targets,
    add_buckets,
    increments,
    read_targets,
)
from controller.adapters.prometheus_cursor import Mark, buckets, mark, read_marks, write_marks
from controller.adapters.prometheus_http import SOURCE, PrometheusSession
from controller.errors import TransientError
from controller.ports import CounterCursor, MetricCounts
from gates.evidence import ArmCounts
from serving.contract import MODEL_LABEL, REQUESTS_METRIC, VERSION_LABEL, Traffic

STALE_AFTER_SCRAPES: Final = 3
_MS_DIGITS: Final = 6  # an edge in seconds, times 1000, without the dust of binary fractions


class PrometheusMetrics:
    """The port ``Metrics`` on a Prometheus server, or on what answers its query API.

    ``lookback_s_max`` bounds how much of a long absence is read sample by sample. Counts over a longer one are still
    exact, unless a process was replaced in the part that is not read.
    """

    def __init__(
        self,
        url: str,
        *,
        scrape_interval_s: float,
        deadline_s: float = 5.0,
        answer_bytes_max: int = 64 * 2**20,
        lookback_s_max: float = 600.0,
    ) -> None:
        from prometheus_api_client import PrometheusConnect  # 0.3 s, and not every command needs it

        self._client = PrometheusConnect(
            url, session=PrometheusSession(deadline_s=deadline_s, answer_bytes_max=answer_bytes_max)
        )
        self._stale_after_s = STALE_AFTER_SCRAPES * scrape_interval_s
        self._lookback_s_max = lookback_s_max

    def counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float) -> MetricCounts:
        """What each version did between the cursor and ``at_s``; see the port.

        Raises:
            TransientError: also where the histograms of two processes have different edges, or an answer holds a
                series that is not one of those asked for.
        """
        marks = {} if cursor is None else read_marks(cursor.values)
        targets = self._targets(model, versions, 0.0 if cursor is None else at_s - cursor.at_s, at_s)
        lives = {target.key: _lives(target, marks.get(target.key)) for target in targets.values()}
        self._read_buckets(model, versions, targets, lives, at_s)
        gained: dict[str, dict[Counter, float]] = {version: {} for version in versions}
        for target in targets.values():
            if not (seen := lives[target.key]):
                continue
            if cursor is not None:
                left, first = marks.get(target.key), target.snapshots[seen[0].end_s]
                _add(gained[target.version], increments(target, left.base(first) if left else {}, seen))
            marks[target.key] = mark(seen[-1].end_s, target.snapshots[seen[-1].end_s])
        edges = _edges(targets.values())
        return MetricCounts(
            live={version: _arm(gained[version], Traffic.LIVE, edges) for version in versions},
            shadow={version: _arm(gained[version], Traffic.SHADOW, edges) for version in versions},
            latency_edges_ms=tuple(round(float(edge) * 1000, _MS_DIGITS) for edge in edges[:-1]),
            cursor=CounterCursor(write_marks(marks), at_s),
        )

    def _targets(self, model: str, versions: Sequence[str], since_s: float, at_s: float) -> Targets:
        """The targets with their request counters, read back for ``since_s`` and a little more."""
        lookback_s = min(max(since_s, 0.0), self._lookback_s_max) + self._stale_after_s
        targets = read_targets(self._samples(model, versions, (UP_METRIC, REQUESTS_METRIC), lookback_s, at_s))
        for version in versions:
            self._require_fresh(version, [target for target in targets.values() if target.version == version], at_s)
        return targets

    def _read_buckets(
        self, model: str, versions: Sequence[str], targets: Targets, lives: Mapping[str, Sequence[Life]], at_s: float
    ) -> None:
        """Complete the snapshots that the lives end at; where nothing was unread, the last ones, for their edges."""
        needed = {
            target.key: {life.end_s for life in lives[target.key]} or set(list(target.snapshots)[-1:])
            for target in targets.values()
        }
        lookback_s = at_s - min(at_s for times in needed.values() for at_s in times)
        add_buckets(targets, self._samples(model, versions, (BUCKET_METRIC,), lookback_s, at_s), needed)

    def _samples(
        self, model: str, versions: Sequence[str], metrics: Sequence[str], lookback_s: float, at_s: float
    ) -> Matrix:
        wanted = json.dumps("|".join(re.escape(version) for version in versions))
        names = "|".join(metrics)
        query = (
            f'{{__name__=~"{names}",{MODEL_LABEL}={json.dumps(model)},{VERSION_LABEL}=~{wanted}}}'
            f"[{math.ceil(lookback_s * 1000) + 1}ms]"
        )
        return cast("Matrix", self._client.custom_query(query, params={"time": f"{at_s:.3f}"}))

    def _require_fresh(self, version: str, targets: Sequence[Target], at_s: float) -> None:
        """Every process that is being scraped has to answer, and one has to have answered lately."""
        if not targets:
            raise TransientError(SOURCE, f"version {version} has no samples: nothing of it is being scraped")
        recent = [target for target in targets if at_s - target.last_scrape_s <= self._stale_after_s]
        if not recent:
            age_s = at_s - max(target.last_scrape_s for target in targets)
            raise TransientError(SOURCE, f"version {version}: its last sample is {age_s:.1f} s old")
        for target in recent:
            if not target.answers:
                raise TransientError(SOURCE, f"version {version} does not answer scrapes: up is 0 for {target.key}")


def _lives(target: Target, left: Mark | None) -> list[Life]:
    """What is unread of the target; one that was never read before began at zero."""
    if left is None:
        return target.lives({}, -math.inf)
    return target.lives(left.requests(), left.scraped_s)


def _add(total: dict[Counter, float], more: Mapping[Counter, float]) -> None:
    for counter, value in more.items():
        total[counter] = total.get(counter, 0.0) + value


def _edges(targets: Iterable[Target]) -> tuple[str, ...]:
    """The edges that all histograms have, ``+Inf`` last; none where nothing was timed yet."""
    found: set[tuple[str, ...]] = set()
    for shape in {frozenset(snapshot) for target in targets for snapshot in target.snapshots.values()}:
        by_traffic: dict[str, list[str]] = {}
        for bucket in buckets(shape):
            by_traffic.setdefault(bucket.traffic, []).append(bucket.label)
        found.update(tuple(edges) for edges in by_traffic.values())
    if len(found) > 1:
        spread = Counts(edge for edges in found for edge in edges)
        differing = sorted((edge for edge, times in spread.items() if times < len(found)), key=float)
        raise TransientError(SOURCE, f"ambiguous: latency histograms differ in their edges (s): {', '.join(differing)}")
    edges = next(iter(found), ())
    if edges and not math.isinf(float(edges[-1])):
        raise TransientError(SOURCE, "a latency histogram without its +Inf bucket")
    return edges


def _arm(counters: Mapping[Counter, float], traffic: Traffic, edges: Sequence[str]) -> ArmCounts:
    codes = [
        (it.label, value) for it, value in counters.items() if (it.metric, it.traffic) == (REQUESTS_METRIC, traffic)
    ]
    at_most = [counters.get(Counter(BUCKET_METRIC, traffic, edge), 0.0) for edge in edges] or [0.0]
    latencies = tuple(int(value - below) for below, value in itertools.pairwise([0.0, *at_most]))
    if min(latencies) < 0:
        raise TransientError(SOURCE, "a latency histogram whose buckets contradict each other")
    return ArmCounts(
        requests=int(sum(value for _, value in codes)),
        errors=int(sum(value for code, value in codes if code.startswith("5"))),
        latency_counts=latencies,
    )
