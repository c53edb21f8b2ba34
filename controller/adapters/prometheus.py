"""What each version did, read from Prometheus: exact counts from raw samples, or an error, never a guess.

One instant query a look, at one explicit time, for the raw samples of the counters and of ``up``. The targets have to
carry the labels ``model`` and ``model_version`` (``TargetFiles`` gives them; in a cluster, relabelling from the pod),
with ``honor_labels`` on, so that ``up`` tells whose samples may be trusted.
"""

import itertools
import json
import math
import re
from collections import Counter as Counts
from collections.abc import Mapping, Sequence
from typing import Final, cast

from controller.adapters.prometheus_counters import (
    BUCKET_METRIC,
    NOTHING,
    UP_METRIC,
    Counter,
    Matrix,
    Target,
    increments,
    read_targets,
)
from controller.adapters.prometheus_cursor import buckets, mark, read_marks, write_marks
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
        targets = read_targets(self._samples(model, versions, cursor, at_s))
        for version in versions:
            self._require_fresh(version, targets, at_s)
        marks = {} if cursor is None else read_marks(cursor.values)
        gained: dict[str, dict[Counter, float]] = {version: {} for version in versions}
        for target in targets:
            left = marks.get(target.key)
            unread = target.since(left.scraped_s if left is not None else -math.inf)
            if not unread:
                continue
            if cursor is not None:
                base = left.base(unread[0]) if left is not None else NOTHING
                _add(gained[target.version], increments(base, unread))
            marks[target.key] = mark(target.last_success_s, unread[-1])
        edges = _edges(targets)
        return MetricCounts(
            live={version: _arm(gained[version], Traffic.LIVE, edges) for version in versions},
            shadow={version: _arm(gained[version], Traffic.SHADOW, edges) for version in versions},
            latency_edges_ms=tuple(round(float(edge) * 1000, _MS_DIGITS) for edge in edges[:-1]),
            cursor=CounterCursor(write_marks(marks), at_s),
        )

    def _samples(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, at_s: float) -> Matrix:
        metrics = "|".join((UP_METRIC, REQUESTS_METRIC, BUCKET_METRIC))
        wanted = json.dumps("|".join(re.escape(version) for version in versions))
        since_s = at_s if cursor is None else cursor.at_s
        lookback_s = min(max(at_s - since_s, 0.0), self._lookback_s_max) + self._stale_after_s
        query = (
            f'{{__name__=~"{metrics}",{MODEL_LABEL}={json.dumps(model)},{VERSION_LABEL}=~{wanted}}}'
            f"[{math.ceil(lookback_s * 1000)}ms]"
        )
        return cast("Matrix", self._client.custom_query(query, params={"time": f"{at_s:.3f}"}))

    def _require_fresh(self, version: str, targets: Sequence[Target], at_s: float) -> None:
        """Every process that is being scraped has to answer, and one has to have answered lately."""
        of_version = [target for target in targets if target.version == version]
        if not of_version:
            raise TransientError(SOURCE, f"version {version} has no samples: nothing of it is being scraped")
        recent = [target for target in of_version if at_s - target.last_scrape_s <= self._stale_after_s]
        if not recent:
            age_s = at_s - max(target.last_scrape_s for target in of_version)
            raise TransientError(SOURCE, f"version {version}: its last sample is {age_s:.1f} s old")
        for target in recent:
            if not target.answers:
                raise TransientError(SOURCE, f"version {version} does not answer scrapes: up is 0 for {target.key}")


def _add(total: dict[Counter, float], more: Mapping[Counter, float]) -> None:
    for counter, value in more.items():
        total[counter] = total.get(counter, 0.0) + value


def _edges(targets: Sequence[Target]) -> tuple[str, ...]:
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
