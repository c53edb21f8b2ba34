"""The answers that users got, read from Prometheus as Envoy counted it (``controller.adapters.envoy.stats`` says what
it keeps).

All counters begin at zero when Envoy starts, which its uptime tells. A count by class, or the histogram, can begin anew
while it runs, each by itself, where a cluster is made anew; the counts of completed and of sent requests go on. What
was completed and is in no class had an outcome that nobody knows, so it is no evidence: taken for errors, it once
rolled a good version back. Clusters that follow endpoint files (``controller.adapters.envoy.clusters``) are not made
anew while they are routed to.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from controller.adapters.prometheus.arms import arm_of, edges_of
from controller.adapters.prometheus.counters import (
    EDGE_LABEL,
    GATEWAY_BUCKET_METRIC,
    GATEWAY_TIMED_METRIC,
    Kind,
    add_ends,
    add_requests,
    increments,
    lives_of,
)
from controller.adapters.prometheus.cursor import FORGOTTEN_AFTER_S, Mark, forget, mark, read_marks, write_marks
from controller.adapters.prometheus.targets import (
    INSTANCE_LABEL,
    UP_METRIC,
    Counter,
    Matrix,
    Target,
    Targets,
    scraped,
)
from controller.adapters.prometheus.uptime import require_one_process, restarts
from controller.errors import Source, TransientError
from controller.ports.metrics import CounterCursor, GatewayCounts
from serving.contract import (
    CLUSTER_LABEL,
    CODE_CLASS_LABEL,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_JOB,
    GATEWAY_NO_CLUSTER_METRIC,
    GATEWAY_REQUESTS_METRIC,
    GATEWAY_SENT_METRIC,
    GATEWAY_UPTIME_METRIC,
    deployment_name,
    shadow_cluster_name,
)

SOURCE: Final = Source.GATEWAY
_JOB: Final = f'job="{GATEWAY_JOB}"'
_UPTIME: Final = Counter(GATEWAY_UPTIME_METRIC, "", "")
_COUNTED: Final = {
    GATEWAY_UPTIME_METRIC: Kind(),
    GATEWAY_REQUESTS_METRIC: Kind(CODE_CLASS_LABEL, CLUSTER_LABEL),
    GATEWAY_COMPLETED_METRIC: Kind(traffic_label=CLUSTER_LABEL),
    GATEWAY_SENT_METRIC: Kind(traffic_label=CLUSTER_LABEL),
    GATEWAY_TIMED_METRIC: Kind(traffic_label=CLUSTER_LABEL),
}
_MADE_ANEW: Final = (GATEWAY_REQUESTS_METRIC, GATEWAY_TIMED_METRIC)  # while Envoy runs, with their cluster
_ENDS: Final = {GATEWAY_BUCKET_METRIC: Kind(EDGE_LABEL, CLUSTER_LABEL)}
_ARM: Final = (GATEWAY_REQUESTS_METRIC, GATEWAY_BUCKET_METRIC)
_UNTIMED_MIN: Final = 10  # requests

Query = Callable[[str, float], Matrix]  # (PromQL, at which time) -> what Prometheus answers


class GatewayReader:
    """Counts of the gateway that is scraped as ``serving.contract.GATEWAY_JOB``; several of them add up."""

    def __init__(self, query: Query, *, stale_after_s: float, lookback_s_max: float, only: str = "") -> None:
        """``only``: matchers that every series must have, as the end of a selector."""
        self._query = query
        self._job = f"{_JOB}{only}"
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
        clusters = [_Cluster(gateway, name, marks, cursor) for gateway in gateways.all for name in names]
        self._read_times(list(live.values()), gateways, clusters, at_s)
        left = [cluster.left_s for cluster in clusters if cluster.name in live.values()]
        gained: dict[Counter, float] = {}
        sent = dict.fromkeys(names, 0.0)
        for cluster in clusters:
            if cursor is not None:
                sent[cluster.name] += cluster.gained(GATEWAY_SENT_METRIC)
                for counter, value in (cluster.requests() | cluster.times()).items():
                    gained[counter] = gained.get(counter, 0.0) + value
            if cluster.lives:
                cluster.require_timed()
                marks[cluster.key] = mark(cluster.end_s, cluster.last())
        forget(marks, {cluster.key for cluster in clusters}, at_s - max(FORGOTTEN_AFTER_S, self._lookback_s_max))
        edges = edges_of(gateways.all, GATEWAY_BUCKET_METRIC, "ms")
        return GatewayCounts(
            live={version: arm_of(gained, name, edges, *_ARM) for version, name in live.items()},
            copies={version: arm_of(gained, name, (), *_ARM).requests for version, name in copied.items()},
            sent={version: int(sent[name]) for version, name in live.items()},
            latency_edges_ms=tuple(float(edge) for edge in edges[:-1]),
            cursor=CounterCursor(write_marks(marks), at_s),
            since_s=min((at for at in left if at is not None), default=None) if None not in left else None,
        )

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        """As the port says. Windows of hours are read as Prometheus sums them up (``increase``): a fraction of a
        request more or less does not matter here, and days of raw samples would."""
        with _as_gateway():
            self._gateways([], 0.0, at_s)  # a gateway that nobody scrapes any more has no errors in short windows
            parts = [part for window_s in windows_s for part in _summed(model, window_s, self._job)]
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
        add_requests(gateways, matrix, _COUNTED, absent_is_zero=_MADE_ANEW)
        for gateway in gateways.all:
            require_one_process(gateway, _UPTIME)
        self._require_fresh(gateways, at_s)
        return gateways

    def _read_times(self, names: Sequence[str], gateways: Targets, clusters: "Sequence[_Cluster]", at_s: float) -> None:
        """Complete the gateways' snapshots that lives of a histogram end at, and the last ones, for their edges."""
        needed = {gateway.key: set(list(gateway.snapshots)[-1:]) for gateway in gateways.all}
        for cluster in clusters:
            needed[cluster.gateway.key] |= {life.end_s for life in cluster.lives}
        lookback_s = at_s - min((at_s for times in needed.values() for at_s in times), default=at_s)
        add_ends(gateways, self._samples(tuple(_ENDS), names, lookback_s, at_s), needed, _ENDS)

    def _samples(self, metrics: Sequence[str], clusters: Sequence[str], lookback_s: float, at_s: float) -> Matrix:
        wanted = json.dumps("|".join(re.escape(name) for name in clusters))
        selector = f'{{__name__=~"{"|".join(metrics)}",{self._job},{CLUSTER_LABEL}=~{wanted}}}'
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
    """Tell of what cannot be read here as the gateway's, not as a fault of the replicas' metrics."""
    try:
        yield
    except TransientError as error:
        raise TransientError(SOURCE, str(error)) from error


class _Cluster:
    """One cluster of one gateway: what its counters gained since the mark that the look before left.

    ``lives`` are those of its histogram. A gateway that was never read before began at zero if it started since; what
    one that is older had before it was known, nobody knows.
    """

    def __init__(self, gateway: Target, name: str, marks: Mapping[str, Mark], cursor: CounterCursor | None) -> None:
        self.gateway = gateway
        self.name = name
        self.key = f"{gateway.key},cluster={name}"
        self._left = marks.get(self.key)
        told = {Counter(GATEWAY_TIMED_METRIC, name, ""), _UPTIME}
        self._times = self._view(lambda it: it in told)
        self._restarts = restarts(gateway, _UPTIME, self._left)
        if self._left is not None:
            self.lives = lives_of(self._times, self._left.tell_tales(), self._left.scraped_s, begun=self._restarts)
            return
        self.lives = lives_of(self._times, {}, -math.inf, begun=self._restarts)
        if cursor is not None and self.lives:
            first_s, first = next(iter(self._times.snapshots.items()))
            self.lives[0] = self.lives[0]._replace(began=first.get(_UPTIME, math.inf) <= first_s - cursor.at_s)

    @property
    def left_s(self) -> float | None:
        """The time of the scrape that the look before left it at; None where it was not known then."""
        return self._left.scraped_s if self._left is not None else None

    def _view(self, wanted: Callable[[Counter], bool]) -> Target:
        snapshots = {
            at_s: {it: value for it, value in snapshot.items() if wanted(it)}
            for at_s, snapshot in self.gateway.snapshots.items()
        }
        return Target(self.key, "", self.gateway.scrapes_s, snapshots)

    @property
    def end_s(self) -> float:
        return self.lives[-1].end_s

    def last(self) -> dict[Counter, float]:
        """The cluster's counters at the last scrape, with the uptime of its gateway."""
        return {
            it: n for it, n in self.gateway.snapshots[self.end_s].items() if it == _UPTIME or it.traffic == self.name
        }

    def gained(self, metric: str, label: str = "", *, absent_is_zero: bool = True) -> float:
        """Return the gain of one counter, each time that it began anew included; absent, it stands at zero, or as it
        was."""
        counter = Counter(metric, self.name, label)
        scrapes = list(self.gateway.snapshots.items())
        if self._left is not None:
            before = self._left.steps.get(counter, 0.0)
            scrapes = [(at_s, snapshot) for at_s, snapshot in scrapes if at_s > self._left.scraped_s]
        elif self.lives and self.lives[0].began:
            before = 0.0
        elif not scrapes:  # a gateway that never answered a scrape
            return 0.0
        else:
            before = scrapes[0][1].get(counter, 0.0)
        total = 0.0
        for at_s, snapshot in scrapes:
            restarted = at_s in self._restarts
            now = snapshot.get(counter, 0.0 if absent_is_zero or restarted else before)
            total += now if now < before or restarted else now - before
            before = now
        return total

    def requests(self) -> dict[Counter, float]:
        """By class of status."""
        classes = {it.label for one in self.gateway.snapshots.values() for it in one if self._is_class(it)}
        found = {label: self.gained(GATEWAY_REQUESTS_METRIC, label) for label in sorted(classes)}
        if any(Counter(GATEWAY_COMPLETED_METRIC, self.name, "") in one for one in self.gateway.snapshots.values()):
            kept = {label: self.gained(GATEWAY_REQUESTS_METRIC, label, absent_is_zero=False) for label in found}
            # A class that was not told for a while had begun anew, or not: as the completed ones say.
            completed = self.gained(GATEWAY_COMPLETED_METRIC)
            found = min(found, kept, key=lambda classes: abs(completed - sum(classes.values())))
        return {Counter(GATEWAY_REQUESTS_METRIC, self.name, label): value for label, value in found.items()}

    def _is_class(self, counter: Counter) -> bool:
        return (counter.metric, counter.traffic) == (GATEWAY_REQUESTS_METRIC, self.name)

    def times(self) -> dict[Counter, float]:
        """Return the gains of the histogram's buckets.

        Raises:
            TransientError: a bucket fell, though the histogram did not begin anew.
        """
        buckets = self._view(lambda it: (it.metric, it.traffic) == (GATEWAY_BUCKET_METRIC, self.name))
        known = self.lives if self._left is not None or (self.lives and self.lives[0].began) else self.lives[1:]
        base = self._left.base(buckets.snapshots[known[0].end_s]) if self._left is not None and known else {}
        return increments(buckets, base, known, from_zero=tuple(_ENDS), kinds=_ENDS)

    def require_timed(self) -> None:
        """Histograms are a little behind the counts, but not by more than a look.

        What counts is what the window gained: a histogram that began anew, of a version without traffic, stays empty.

        Raises:
            TransientError: requests were answered by the look before, more were since, and none is timed; names the
                metric.
        """
        if self._left is None or self.name.endswith("-shadow"):
            return
        before = self._left.steps
        answered = before.get(Counter(GATEWAY_REQUESTS_METRIC, self.name, "2"), 0.0)
        more = self.gained(GATEWAY_REQUESTS_METRIC, "2")
        least = _UNTIMED_MIN if _is_timed(before) else 1  # of a histogram that was there, the last few may be lost
        timed = _is_timed(self.last()) or any(self.times().values())
        if answered >= _UNTIMED_MIN and more >= least and not timed:
            raise TransientError(
                SOURCE,
                f"{self.key} answered {answered + more:.0f} requests and timed none: {GATEWAY_BUCKET_METRIC} is "
                "missing",
            )


def _is_timed(counters: Mapping[Counter, float]) -> bool:
    return any(value for it, value in counters.items() if it.metric == GATEWAY_BUCKET_METRIC)


def _summed(model: str, window_s: float, job: str) -> Iterator[str]:
    """Requests by class of status within the window, and those for which no version was known, as PromQL.

    A class is counted from its first request on, so its series begins at a number that no increase tells: it is added
    where the series was not there when the window began, though its cluster was, or began within it.
    """
    # No version has a hyphen, so that neither clusters of copies nor those of another model are meant.
    name = json.dumps(f"{re.escape(deployment_name(model, ''))}[A-Za-z0-9._]+")
    length, counted = f"{round(window_s * 1000)}ms", f"{{{job},{CLUSTER_LABEL}=~{name}}}"
    classes, completed = f"{GATEWAY_REQUESTS_METRIC}{counted}", f"{GATEWAY_COMPLETED_METRIC}{counted}"
    seen_begin = f"(min_over_time({completed}[{length}]) == 0 or {completed} offset {length})"
    begun = f"(min_over_time({classes}[{length}]) unless {classes} offset {length})"
    same = f"and on (instance, {CLUSTER_LABEL})"
    lost = f"increase({GATEWAY_NO_CLUSTER_METRIC}{{{job}}}[{length}])"
    sums = {
        "grown": f"sum by ({CODE_CLASS_LABEL}) (increase({classes}[{length}]))",
        "begun": f"sum by ({CODE_CLASS_LABEL}) ({begun} {same} {seen_begin})",
        "lost": f'label_replace(sum({lost}), "{CODE_CLASS_LABEL}", "5", "", "")',
    }
    for part, query in sums.items():
        yield f'label_replace(label_replace({query}, "window", "{window_s!r}", "", ""), "part", "{part}", "", "")'
