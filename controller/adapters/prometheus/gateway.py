"""The answers that users got, as a gateway counted them, read from Prometheus: Serin's own Envoy
(``controller.adapters.envoy.stats`` says what it keeps), or another gateway (`gateway_kinds`).

All counters of Envoy begin at zero when it starts, and its uptime shows when that was. While it runs, a count by class
or the histogram can begin again, each by itself, if their cluster is created anew; the counts of completed and of sent
requests go on. If a completed request is in no class, nobody knows its outcome, so it is no evidence: when such
requests were taken for errors, a good version was once rolled back. Clusters that follow endpoint files
(``controller.adapters.envoy.clusters``) are not created anew while they are routed to.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from controller.adapters.prometheus.arms import arm_of, edges_of
from controller.adapters.prometheus.counters import (
    GATEWAY_BUCKET_METRIC,
    GATEWAY_TIMED_METRIC,
    Kind,
    add_ends,
    add_requests,
)
from controller.adapters.prometheus.cursor import FORGOTTEN_AFTER_S, forget, mark, read_marks, write_marks
from controller.adapters.prometheus.gateway_cluster import ENDS, UNTIMED_MIN, UPTIME, Cluster
from controller.adapters.prometheus.gateway_kinds import GatewayPlace
from controller.adapters.prometheus.gateway_service import BACKEND, summed
from controller.adapters.prometheus.gateway_words import GatewayWords, Patterns, whole_of
from controller.adapters.prometheus.targets import UP_METRIC, Counter, Matrix, Targets, scraped
from controller.adapters.prometheus.uptime import require_one_process
from controller.errors import Source, TransientError
from controller.ports.metrics import CounterCursor, GatewayCounts
from serving.contract import (
    CLUSTER_LABEL,
    CODE_CLASS_LABEL,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_REQUESTS_METRIC,
    GATEWAY_SENT_METRIC,
    GATEWAY_UPTIME_METRIC,
    deployment_name,
    is_shadow_cluster,
    shadow_cluster_name,
)

SOURCE: Final = Source.GATEWAY
_COUNTED: Final = {
    GATEWAY_UPTIME_METRIC: Kind(),
    GATEWAY_REQUESTS_METRIC: Kind(CODE_CLASS_LABEL, CLUSTER_LABEL),
    GATEWAY_COMPLETED_METRIC: Kind(traffic_label=CLUSTER_LABEL),
    GATEWAY_SENT_METRIC: Kind(traffic_label=CLUSTER_LABEL),
    GATEWAY_TIMED_METRIC: Kind(traffic_label=CLUSTER_LABEL),
}
_MADE_ANEW: Final = (GATEWAY_REQUESTS_METRIC, GATEWAY_TIMED_METRIC)  # with their cluster, while Envoy runs
_COMES_AND_GOES: Final = (*_MADE_ANEW, GATEWAY_COMPLETED_METRIC, GATEWAY_SENT_METRIC)  # with labels, in other gateways
_ARM: Final = (GATEWAY_REQUESTS_METRIC, GATEWAY_BUCKET_METRIC)
_UNANSWERED_RATIO: Final = 0.01  # as many may be on their way, or have lost their user

Query = Callable[[str, float], Matrix]  # (PromQL, at which time) -> what Prometheus answers


class GatewayReader:
    """The counts of the gateway at ``place``; those of its several processes are added up."""

    def __init__(
        self,
        query: Query,
        *,
        stale_after_s: float,
        lookback_s_max: float,
        only: str = "",
        place: GatewayPlace | None = None,
    ) -> None:
        """``only``: matchers that every series must have, as the end of a selector."""
        self._query = query
        self._words = GatewayWords(place or GatewayPlace(), only)
        self._place = self._words.place
        self._stale_after_s = stale_after_s
        self._lookback_s_max = lookback_s_max

    def counts(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        """Return what users got; see the port ``Metrics.gateway``."""
        with _as_gateway():
            if not self._place.kind.live:
                raise TransientError(SOURCE, f"not reported by this gateway: {self._place.kind.untold}")
            return self._counts(model, versions, cursor, at_s)

    def _counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, at_s: float) -> GatewayCounts:
        live = {version: deployment_name(model, version) for version in versions}
        copied = {version: shadow_cluster_name(model, version) for version in versions}
        patterns = self._words.patterns(model, versions)
        marks = {} if cursor is None else read_marks(cursor.values)
        gateways = self._gateways(patterns, 0.0 if cursor is None else at_s - cursor.at_s, at_s)
        names = [*patterns, *sorted(_parts(gateways) - patterns.keys())]
        kept = not self._place.kind.completed
        clusters = [Cluster(gateway, name, marks, cursor, kept=kept) for gateway in gateways.all for name in names]
        self._read_times(patterns, gateways, clusters, at_s)
        left = [cluster.left_s for cluster in clusters if cluster.name in live.values()]
        gained: dict[Counter, float] = {}
        sent = dict.fromkeys(patterns, 0.0)
        for cluster in clusters:
            whole = whole_of(cluster.name)
            if cursor is not None:
                sent[whole] += cluster.gained(GATEWAY_SENT_METRIC)
                for it, value in (cluster.requests() | cluster.times()).items():
                    counter = it._replace(traffic=whole)
                    gained[counter] = gained.get(counter, 0.0) + value
            if cluster.lives:
                if self._place.is_own:
                    cluster.require_timed()
                marks[cluster.key] = mark(cluster.end_s, cluster.last())
        forget(marks, {cluster.key for cluster in clusters}, at_s - max(FORGOTTEN_AFTER_S, self._lookback_s_max))
        edges = edges_of(gateways.all, GATEWAY_BUCKET_METRIC, "ms")
        arms = {version: arm_of(gained, name, edges, *_ARM) for version, name in live.items()}
        copies = {version: arm_of(gained, name, (), *_ARM) for version, name in copied.items() if name in patterns}
        for version, arm in arms.items():
            self._require_whole(version, gained, live[version], sent[live[version]] - arm.requests)
        return GatewayCounts(
            live=arms,
            copies={version: arm.requests for version, arm in copies.items()},
            copies_failed={version: arm.errors for version, arm in copies.items()},
            sent={version: max(int(sent[name]), arms[version].requests) for version, name in live.items()},
            latency_edges_ms=tuple(float(edge) for edge in edges[:-1]),
            cursor=CounterCursor(write_marks(marks), at_s),
            since_s=min((at for at in left if at is not None), default=None) if None not in left else None,
            times_untold=self._place.kind.times_untold,
        )

    def _require_whole(self, version: str, gained: Mapping[Counter, float], name: str, unanswered: float) -> None:
        """Require that the numbers of a gateway other than our own agree with one another, as far as it exports them.

        Raises:
            TransientError: answers are counted and none is timed, or requests that were passed on did not end as
                answers.
        """
        kind = self._place.kind
        if self._place.is_own:
            return
        answered = [value for it, value in gained.items() if (it.metric, it.traffic) == (GATEWAY_REQUESTS_METRIC, name)]
        timed = any(value for it, value in gained.items() if (it.metric, it.traffic) == (GATEWAY_BUCKET_METRIC, name))
        if kind.time and sum(answered) >= UNTIMED_MIN and not timed:
            raise TransientError(
                SOURCE,
                f"version {version} answered {sum(answered):.0f} requests but timed none: {kind.time}_bucket "
                "is missing",
            )
        if kind.sent and not kind.completed and unanswered > max(UNTIMED_MIN, _UNANSWERED_RATIO * sum(answered)):
            raise TransientError(
                SOURCE,
                f"{unanswered:.0f} requests that were passed on to version {version} ended without an answer "
                "from it: what users got instead is not reported by this gateway",
            )

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        """Return errors and requests by window, as the port says. Prometheus itself sums up windows of hours
        (``increase``): a fraction of a request more or less does not matter here, and days of raw samples would be too
        many to read."""
        with _as_gateway():
            self._gateways({}, 0.0, at_s)  # raises if nobody scrapes the gateway any more: no errors would be seen
            parts = [part for window_s in windows_s for part in summed(model, window_s, self._words)]
            found = dict.fromkeys(windows_s, (0, 0))
            for series in self._query(" or ".join(parts), at_s):
                backend = series["metric"].get(BACKEND, "")
                if not self._place.is_own and not self._words.is_of_model(model, backend):
                    continue
                number = float(series["value"][1])
                if not 0 <= number < math.inf:
                    raise TransientError(SOURCE, f"requests of {model} are {number}, which cannot be a count")
                errors, requests = found[float(series["metric"]["window"])]
                failed = series["metric"].get(CODE_CLASS_LABEL, "").startswith("5")
                found[float(series["metric"]["window"])] = errors + round(number) * failed, requests + round(number)
            return found

    def _gateways(self, patterns: Patterns, since_s: float, at_s: float) -> Targets:
        """Return the gateways with their uptime and, for the clusters in ``patterns``, with requests by class."""
        lookback_s = min(max(since_s, 0.0), self._lookback_s_max) + self._stale_after_s
        matrix = self._samples((UP_METRIC, *_COUNTED), patterns, lookback_s, at_s, itself=True)
        gateways = scraped(matrix, self._place.process_labels, recent_s=at_s - self._stale_after_s)
        add_requests(gateways, matrix, _COUNTED, absent_is_zero=_MADE_ANEW if self._place.is_own else _COMES_AND_GOES)
        for gateway in gateways.all:
            require_one_process(gateway, UPTIME)
        self._require_fresh(gateways, at_s)
        return gateways

    def _read_times(self, patterns: Patterns, gateways: Targets, clusters: Sequence[Cluster], at_s: float) -> None:
        """Complete those of the gateways' snapshots at which lives of a histogram end, and the last ones, for their
        edges."""
        if not self._place.kind.time:
            return
        needed = {gateway.key: set(list(gateway.snapshots)[-1:]) for gateway in gateways.all}
        for cluster in clusters:
            needed[cluster.gateway.key] |= {life.end_s for life in cluster.lives}
        lookback_s = at_s - min((at_s for times in needed.values() for at_s in times), default=at_s)
        live = {name: said for name, said in patterns.items() if not is_shadow_cluster(name)}
        add_ends(gateways, self._samples(tuple(ENDS), live, lookback_s, at_s, itself=False), needed, ENDS)

    def _samples(
        self, metrics: Sequence[str], patterns: Patterns, lookback_s: float, at_s: float, *, itself: bool
    ) -> Matrix:
        """Return the samples of the metrics. ``itself``: also those of the gateway's process, whose labels all of its
        series have."""
        known = (*metrics,) if itself or self._place.is_own else (UP_METRIC, *metrics)
        selector = self._words.selector(known, list(patterns.values()), itself=itself or UP_METRIC in known)
        matrix = self._query(f"{selector}[{math.ceil(lookback_s * 1000) + 1}ms]", at_s)
        return self._words.translated(matrix, patterns)

    def _require_fresh(self, gateways: Targets, at_s: float) -> None:
        job = self._place.job
        if not gateways.all:
            raise TransientError(SOURCE, f"the gateway is not scraped: there is no sample of a job {job!r}")
        recent = [one for one in gateways.all if at_s - one.last_scrape_s <= self._stale_after_s]
        if not recent:
            age_s = at_s - max(one.last_scrape_s for one in gateways.all)
            raise TransientError(SOURCE, f"the gateway's last sample is {age_s:.1f} s old")
        for one in recent:
            if not one.answers:
                raise TransientError(SOURCE, f"the gateway does not answer scrapes: up is 0 for {one.key}")
            if self._place.kind.uptime and UPTIME not in one.snapshots[one.last_scrape_s]:
                raise TransientError(
                    SOURCE, f"what is scraped as {job!r} does not export {GATEWAY_UPTIME_METRIC}: is it Envoy?"
                )


def _parts(gateways: Targets) -> set[str]:
    """Return the clusters that have samples."""
    shapes = {frozenset(snapshot) for gateway in gateways.all for snapshot in gateway.snapshots.values()}
    return {counter.traffic for shape in shapes for counter in shape if counter.traffic}


@contextmanager
def _as_gateway() -> Iterator[None]:
    """Report what cannot be read here as the gateway's fault, and not as one of the replicas' metrics."""
    try:
        yield
    except TransientError as error:
        error.source = SOURCE  # its type and its words stay
        raise
