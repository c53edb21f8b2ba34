"""What users got, read from Prometheus as Envoy counted it (``controller.adapters.envoy_stats`` says what it keeps).

A cluster of the gateway is read like a process of its own: its counters begin at zero when Envoy starts, which the
uptime tells, and when the cluster is made anew, which its own counters tell by being gone or lower.

Envoy makes a cluster anew when its address changes: when a replica that died is started again on another port. The
counts by class begin anew then, and those since the last scrape are gone; the count of all completed requests goes on,
and tells how many they were. They were asked of a replica that was away, so they are counted as errors.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from controller.adapters.prometheus_arms import arm_of, edges_of
from controller.adapters.prometheus_counters import (
    EDGE_LABEL,
    GATEWAY_BUCKET_METRIC,
    Kind,
    Life,
    add_ends,
    add_requests,
    increments,
    lives_of,
)
from controller.adapters.prometheus_cursor import Mark, mark, read_marks, write_marks
from controller.adapters.prometheus_targets import (
    INSTANCE_LABEL,
    UP_METRIC,
    Counter,
    Matrix,
    Target,
    Targets,
    scraped,
)
from controller.errors import TransientError
from controller.ports import CounterCursor, GatewayCounts
from serving.contract import (
    CLUSTER_LABEL,
    CODE_CLASS_LABEL,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_JOB,
    GATEWAY_NO_CLUSTER_METRIC,
    GATEWAY_REQUESTS_METRIC,
    GATEWAY_UPTIME_METRIC,
    deployment_name,
    shadow_cluster_name,
)

SOURCE: Final = "gateway"
_JOB: Final = f'job="{GATEWAY_JOB}"'
_UPTIME: Final = Counter(GATEWAY_UPTIME_METRIC, "", "")
_ERRORS: Final = "5"
_REQUESTS: Final = Kind(CODE_CLASS_LABEL, CLUSTER_LABEL)
_ENDS: Final = {GATEWAY_BUCKET_METRIC: Kind(EDGE_LABEL, CLUSTER_LABEL)}
_COUNTED: Final = {
    GATEWAY_UPTIME_METRIC: Kind(),
    GATEWAY_REQUESTS_METRIC: _REQUESTS,
    GATEWAY_COMPLETED_METRIC: Kind(traffic_label=CLUSTER_LABEL),
}
_KINDS: Final = {**_COUNTED, **_ENDS}
_FROM_ZERO: Final = (GATEWAY_REQUESTS_METRIC, GATEWAY_BUCKET_METRIC)
_UNTIMED_MIN: Final = 10  # requests

Query = Callable[[str, float], Matrix]  # (PromQL, at which time) -> what Prometheus answers


class GatewayReader:
    """Counts of the gateway that is scraped as ``serving.contract.GATEWAY_JOB``; several of them add up."""

    def __init__(self, query: Query, *, stale_after_s: float, lookback_s_max: float) -> None:
        self._query = query
        self._stale_after_s = stale_after_s
        self._lookback_s_max = lookback_s_max

    def counts(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        """See the port ``Metrics.gateway``."""
        with _as_gateway():
            return self._counts(model, versions, cursor, at_s)

    def _counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, at_s: float) -> GatewayCounts:
        live = {version: deployment_name(model, version) for version in versions}
        copied = {version: shadow_cluster_name(model, version) for version in versions}
        names = [*live.values(), *copied.values()]
        marks = {} if cursor is None else read_marks(cursor.values)
        gateways = self._gateways(names, 0.0 if cursor is None else at_s - cursor.at_s, at_s)
        lives = {one.key: _lives(one, marks.get(one.key), cursor) for one in _clusters(gateways, names)}
        self._read_times(list(live.values()), gateways, lives, at_s)
        gained: dict[Counter, float] = {}
        for cluster in _clusters(gateways, names):
            left, seen = marks.get(cluster.key), lives[cluster.key]
            if cursor is not None and seen:
                counted = seen if left or seen[0].began else seen[1:]  # what it had before it was known, nobody knows
                base = left.base(cluster.snapshots[seen[0].end_s]) if left else {}
                more = increments(cluster, base, counted, from_zero=_FROM_ZERO, kinds=_KINDS)
                for counter, value in _with_lost(cluster, left, counted, more).items():
                    gained[counter] = gained.get(counter, 0.0) + value
            if seen:
                last = cluster.snapshots[seen[-1].end_s]
                _require_timed(cluster, left, last)
                marks[cluster.key] = mark(seen[-1].end_s, last)
        edges = edges_of(gateways.all, GATEWAY_BUCKET_METRIC, "ms")
        return GatewayCounts(
            live={version: arm_of(gained, name, edges, *_FROM_ZERO) for version, name in live.items()},
            copies={version: arm_of(gained, name, (), *_FROM_ZERO).requests for version, name in copied.items()},
            latency_edges_ms=tuple(float(edge) for edge in edges[:-1]),
            cursor=CounterCursor(write_marks(marks), at_s),
        )

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        """As the port says. Windows of hours are read as Prometheus sums them up (``increase``): a fraction of a
        request more or less does not matter here, and days of raw samples would."""
        with _as_gateway():
            self._gateways([], 0.0, at_s)  # a gateway that nobody scrapes any more has no errors in short windows
            parts = [part for window_s in windows_s for part in _summed(model, window_s)]
            found = dict.fromkeys(windows_s, (0, 0))
            for series in self._query(" or ".join(parts), at_s):
                number = float(series["value"][1])
                if not 0 <= number < math.inf:
                    raise TransientError(SOURCE, f"requests of {model} are {number}, which no count can be")
                errors, requests = found[float(series["metric"]["window"])]
                failed = series["metric"].get(CODE_CLASS_LABEL, "") == "5"
                found[float(series["metric"]["window"])] = errors + round(number) * failed, requests + round(number)
            return found

    def _gateways(self, names: Sequence[str], since_s: float, at_s: float) -> Targets:
        """The gateways with their uptime and, of the clusters named, requests by class."""
        lookback_s = min(max(since_s, 0.0), self._lookback_s_max) + self._stale_after_s
        matrix = self._samples((UP_METRIC, *_COUNTED), ["", *names], lookback_s, at_s)
        gateways = scraped(matrix, (INSTANCE_LABEL,), recent_s=at_s - self._stale_after_s)
        for metric, kind in _COUNTED.items():
            add_requests(gateways, matrix, metric, kind)
        self._require_fresh(gateways, at_s)
        return gateways

    def _read_times(
        self, names: Sequence[str], gateways: Targets, lives: Mapping[str, Sequence[Life]], at_s: float
    ) -> None:
        """Complete the gateways' snapshots that lives of a cluster end at, and the last ones, for their edges."""
        needed = {
            gateway.key: {life.end_s for one in _clusters_of(gateway, names) for life in lives[one.key]}
            | set(list(gateway.snapshots)[-1:])
            for gateway in gateways.all
        }
        lookback_s = at_s - min((at_s for times in needed.values() for at_s in times), default=at_s)
        add_ends(gateways, self._samples(tuple(_ENDS), names, lookback_s, at_s), needed, _ENDS)

    def _samples(self, metrics: Sequence[str], clusters: Sequence[str], lookback_s: float, at_s: float) -> Matrix:
        wanted = json.dumps("|".join(re.escape(name) for name in clusters))
        selector = f'{{__name__=~"{"|".join(metrics)}",{_JOB},{CLUSTER_LABEL}=~{wanted}}}'
        return self._query(f"{selector}[{math.ceil(lookback_s * 1000) + 1}ms]", at_s)

    def _require_fresh(self, gateways: Targets, at_s: float) -> None:
        if not gateways.all:
            raise TransientError(SOURCE, f"the gateway is not scraped: there is no sample of a job {GATEWAY_JOB!r}")
        recent = [one for one in gateways.all if at_s - one.last_scrape_s <= self._stale_after_s]
        if not recent:
            age_s = at_s - max(one.last_scrape_s for one in gateways.all)
            raise TransientError(SOURCE, f"the gateway's last sample is {age_s:.1f} s old")
        for one in recent:
            if not one.answers:
                raise TransientError(SOURCE, f"the gateway does not answer scrapes: up is 0 for {one.key}")
            if _UPTIME not in one.snapshots[one.last_scrape_s]:
                raise TransientError(
                    SOURCE, f"what is scraped as {GATEWAY_JOB!r} does not tell {GATEWAY_UPTIME_METRIC}: is it Envoy?"
                )


@contextmanager
def _as_gateway() -> Iterator[None]:
    """What cannot be read here is no fault of the replicas' metrics."""
    try:
        yield
    except TransientError as error:
        raise TransientError(SOURCE, str(error)) from error


def _clusters(gateways: Targets, names: Sequence[str]) -> list[Target]:
    return [cluster for gateway in gateways.all for cluster in _clusters_of(gateway, names)]


def _clusters_of(gateway: Target, names: Sequence[str]) -> Iterator[Target]:
    """Each cluster of a gateway as a target of its own, with the gateway's uptime."""
    for name in names:
        snapshots = {
            at_s: {it: value for it, value in snapshot.items() if it == _UPTIME or it.traffic == name}
            for at_s, snapshot in gateway.snapshots.items()
        }
        yield Target(f"{gateway.key},cluster={name}", "", gateway.scrapes_s, snapshots)


def _lives(cluster: Target, left: Mark | None, cursor: CounterCursor | None) -> list[Life]:
    """What is unread of the cluster. A gateway that was never read before began at zero if it started since."""
    if left is not None:
        return lives_of(cluster, left.tell_tales(), left.scraped_s)
    lives = lives_of(cluster, {}, -math.inf)
    if cursor is not None and lives:
        first_s, first = next(iter(cluster.snapshots.items()))
        lives[0] = lives[0]._replace(began=first.get(_UPTIME, math.inf) <= first_s - cursor.at_s)
    return lives


def _with_lost(
    cluster: Target, left: Mark | None, lives: Sequence[Life], gained: Mapping[Counter, float]
) -> dict[Counter, float]:
    """With the requests of which only the count of completed ones still tells, as errors; without that count."""
    name = next((it.traffic for it in cluster.snapshots[lives[-1].end_s] if it != _UPTIME), "") if lives else ""
    found = {it: value for it, value in gained.items() if it.metric != GATEWAY_COMPLETED_METRIC}
    if left is None or not any(life.began for life in lives):
        return found
    lost = _completed(cluster, left, name) - sum(
        value for it, value in found.items() if it.metric == GATEWAY_REQUESTS_METRIC
    )
    if lost > 0:
        errors = Counter(GATEWAY_REQUESTS_METRIC, name, _ERRORS)
        found[errors] = found.get(errors, 0.0) + lost
    return found


def _completed(cluster: Target, left: Mark, name: str) -> float:
    """Requests completed since the mark; the count begins anew with the gateway alone."""
    counter = Counter(GATEWAY_COMPLETED_METRIC, name, "")
    total, before, uptime = 0.0, left.steps.get(counter, 0.0), left.steps.get(_UPTIME, 0.0)
    for at_s, snapshot in cluster.snapshots.items():
        if at_s > left.scraped_s and counter in snapshot:
            restarted = snapshot.get(_UPTIME, 0.0) < uptime or snapshot[counter] < before
            total += snapshot[counter] - (0.0 if restarted else before)
            before, uptime = snapshot[counter], snapshot.get(_UPTIME, 0.0)
    return total


def _require_timed(cluster: Target, left: Mark | None, last: Mapping[Counter, float]) -> None:
    """Histograms are a little behind the counts, but not by more than a look.

    Raises:
        TransientError: requests were answered by the look before, and none is timed yet; names the metric.
    """
    answered = sum(value for it, value in (left.steps if left else {}).items() if it[::2] == (_FROM_ZERO[0], "2"))
    timed = max((value for it, value in last.items() if it.metric == GATEWAY_BUCKET_METRIC), default=0.0)
    if answered >= _UNTIMED_MIN and not timed and not cluster.key.endswith("-shadow"):
        raise TransientError(
            SOURCE, f"{cluster.key} answered {answered:.0f} requests and timed none: {GATEWAY_BUCKET_METRIC} is missing"
        )


def _summed(model: str, window_s: float) -> Iterator[str]:
    """Requests by class of status within the window, and those for which no version was known, as PromQL.

    A class is counted from its first request on, so its series begins at a number that no increase tells: it is added
    where the series was not there when the window began, though its cluster was, or began within it.
    """
    # No version has a hyphen, so that neither clusters of copies nor those of another model are meant.
    name = json.dumps(f"{re.escape(deployment_name(model, ''))}[A-Za-z0-9._]+")
    length, counted = f"{round(window_s * 1000)}ms", f"{{{_JOB},{CLUSTER_LABEL}=~{name}}}"
    classes, completed = f"{GATEWAY_REQUESTS_METRIC}{counted}", f"{GATEWAY_COMPLETED_METRIC}{counted}"
    seen_begin = f"(min_over_time({completed}[{length}]) == 0 or {completed} offset {length})"
    begun = f"(min_over_time({classes}[{length}]) unless {classes} offset {length})"
    same = f"and on (instance, {CLUSTER_LABEL})"
    lost = f"increase({GATEWAY_NO_CLUSTER_METRIC}{{{_JOB}}}[{length}])"
    sums = {
        "grown": f"sum by ({CODE_CLASS_LABEL}) (increase({classes}[{length}]))",
        "begun": f"sum by ({CODE_CLASS_LABEL}) ({begun} {same} {seen_begin})",
        "lost": f'label_replace(sum({lost}), "{CODE_CLASS_LABEL}", "5", "", "")',
    }
    for part, query in sums.items():
        yield f'label_replace(label_replace({query}, "window", "{window_s!r}", "", ""), "part", "{part}", "", "")'
