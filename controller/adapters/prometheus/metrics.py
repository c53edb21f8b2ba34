"""The counts of each version, read from Prometheus: exact counts from raw samples, or an error, never a guess.

Each look sends two instant queries, both for one explicit time, for raw samples of counters, gauges and ``up``. The
targets must have the labels ``model`` and ``model_version`` (``TargetFiles`` sets them; in a cluster, relabelling takes
them from the pod), so that ``up`` says whose samples can be trusted. ``honor_labels`` must be on.
"""

import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

from controller.adapters.prometheus.arms import (
    arm_of,
    edge_entries,
    edges_of,
    is_error,
    kept_edges,
    without_edges,
)
from controller.adapters.prometheus.counters import (
    AT_ENDS,
    BUCKET_METRIC,
    KINDS,
    REQUESTS,
    TOKEN_BUCKET_METRIC,
    Life,
    add_ends,
    add_requests,
    increments,
    lives_of,
    require_whole,
)
from controller.adapters.prometheus.cursor import (
    FORGOTTEN_AFTER_S,
    Mark,
    buckets,
    claim,
    forget,
    mark,
    read_marks,
    write_marks,
)
from controller.adapters.prometheus.gateway import GatewayReader
from controller.adapters.prometheus.gateway_kinds import GatewayPlace
from controller.adapters.prometheus.http import SOURCE, PrometheusSession
from controller.adapters.prometheus.links import broken_links
from controller.adapters.prometheus.parts import by_users, placed
from controller.adapters.prometheus.processes import known_from_s, require_one_process
from controller.adapters.prometheus.targets import INSTANCE_LABEL, UP_METRIC, Counter, Matrix, Target, Targets, scraped
from controller.adapters.prometheus.usage import GAUGES, Gauges, Span, read_gauges, usage
from controller.errors import TransientError
from controller.ports.metrics import CounterCursor, GatewayCounts, MetricCounts
from gates.evidence import ArmCounts
from serving.contract import (
    FAILURES_METRIC,
    MODEL_LABEL,
    REQUESTS_METRIC,
    START_METRIC,
    USERS_METRIC,
    VERSION_LABEL,
    Traffic,
)

log = logging.getLogger(__name__)

STALE_AFTER_SCRAPES: Final = 3
_FROM_ZERO: Final = (REQUESTS_METRIC, BUCKET_METRIC, USERS_METRIC)
_MS_DIGITS: Final = 6  # to which an edge in ms is rounded: edges in seconds are binary fractions


IsGone = Callable[[str, str, Mapping[str, str]], bool]


def _is_there(_model: str, _version: str, _names: Mapping[str, str]) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Reach:
    """The way to a Prometheus server that is not Serin's own, and what is read there.

    ``matchers``: labels that series must have to be read, on a server that holds those of several clusters. ``token``,
    ``ca_file``: see `PrometheusSession`. ``is_gone`` is called with a model, a version and the labels that name a
    process; it returns whether that process is known to be gone, so that Prometheus may find it dead. ``gateway``: the
    gateway whose counts of users' requests are read.
    """

    matchers: Mapping[str, str] = field(default_factory=dict)
    token: Callable[[], str] | None = None
    ca_file: str | None = None
    is_gone: IsGone = _is_there
    gateway: GatewayPlace = field(default_factory=GatewayPlace)

    @property
    def only(self) -> str:
        """Return the matchers as the end of a selector, each after a comma."""
        return "".join(f",{name}={json.dumps(value)}" for name, value in sorted(self.matchers.items()))


class PrometheusMetrics:
    """The port ``Metrics`` on a Prometheus server, or on another server with its query API.

    ``process_labels`` tell the processes of a version apart (``pod``, if instances are renamed). ``lookback_s_max``
    bounds how much of a long absence is read sample by sample. Counts over a longer absence are still exact, unless a
    process was replaced in the part that is not read.
    """

    def __init__(
        self,
        url: str,
        *,
        scrape_interval_s: float,
        deadline_s: float = 5.0,
        answer_bytes_max: int = 64 * 2**20,
        lookback_s_max: float = 600.0,
        process_labels: Sequence[str] = (INSTANCE_LABEL,),
        reach: Reach | None = None,
    ) -> None:
        from prometheus_api_client import PrometheusConnect  # takes 0.3 s to import, and not every command needs it

        reach = reach or Reach()
        session = PrometheusSession(
            deadline_s=deadline_s, answer_bytes_max=answer_bytes_max, token=reach.token, ca_file=reach.ca_file
        )
        self._only = reach.only
        self._is_gone = reach.is_gone
        self._told_gone: set[str] = set()
        self._client = PrometheusConnect(url.rstrip("/"), session=session)
        self._stale_after_s = STALE_AFTER_SCRAPES * scrape_interval_s
        self._lookback_s_max = lookback_s_max
        self._process_labels = tuple(process_labels)
        self._gateway = GatewayReader(
            self._query,
            stale_after_s=self._stale_after_s,
            lookback_s_max=lookback_s_max,
            only=reach.only,
            place=reach.gateway,
        )

    def counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float) -> MetricCounts:
        """Return what each version did between the cursor and ``at_s``; see the port.

        Raises:
            TransientError: also if the histograms of two processes have different edges, or if an answer holds a series
                that was not asked for.
        """
        told = {} if cursor is None else cursor.values
        marks = read_marks(without_edges(told))
        unread_s = 0.0 if cursor is None else at_s - cursor.at_s
        lookback_s = min(max(unread_s, 0.0), self._lookback_s_max) + self._stale_after_s
        targets, gauges = self._targets(model, versions, lookback_s, at_s)
        keys = {target.key for target in targets.all}
        before = {target.key: claim(marks, target, keys) for target in targets.all}
        for target in targets.all:
            require_one_process(target, before[target.key], since_s=at_s - lookback_s)
        known_from = known_from_s(targets, before, marks, looked_at_s=cursor.at_s) if cursor is not None else {}
        lives = {target.key: _lives(target, before[target.key], known_from.get(target.key)) for target in targets.all}
        self._read_ends(model, versions, targets, lives, known_from, at_s)
        sums, parts = {version: _Sum() for version in versions}, placed(versions, targets, before)
        replicas: dict[str, dict[int, _Sum]] = {version: {} for version in versions}
        for target in targets.all:
            part = parts.get(target.key)
            replica = replicas[target.version].setdefault(part or 0, _Sum())
            if target.key in known_from:
                first_s = known_from[target.key]
                before[target.key] = marks[target.key] = mark(first_s, target.snapshots[first_s], part)
            left, seen = before[target.key], lives[target.key]
            gained: Mapping[Counter, float] = {}
            if seen and cursor is not None:
                base = left.base(target.snapshots[seen[0].end_s]) if left else {}
                gained = increments(target, base, seen, from_zero=_FROM_ZERO, kinds=KINDS)
                sums[target.version].add(gained)
                replica.add(gained)
            if self._is_recent(target, at_s) and target.answers:
                since_s = left.scraped_s if left else None
                span = Span(gained, gauges[target.key], since_s, seen[-1].end_s if seen else target.last_scrape_s)
                sums[target.version].spans.append(span)
            if seen:
                marks[target.key] = mark(seen[-1].end_s, target.snapshots[seen[-1].end_s], part)
        forget(marks, keys, at_s - max(FORGOTTEN_AFTER_S, lookback_s))
        edges, token_edges = edges_of(targets.all, BUCKET_METRIC, "s"), _token_edges(targets.all)
        edges = kept_edges(edges, told)
        return MetricCounts(
            live={version: sums[version].arm(Traffic.LIVE, edges) for version in versions},
            shadow={version: sums[version].arm(Traffic.SHADOW, edges) for version in versions},
            latency_edges_ms=tuple(round(float(edge) * 1000, _MS_DIGITS) for edge in edges[:-1]),
            cursor=CounterCursor({**write_marks(marks), **(edge_entries(edges) if edges else {})}, at_s),
            usage={version: usage(sums[version].spans, sums[version].gained, token_edges) for version in versions},
            token_edges=tuple(int(float(edge)) for edge in token_edges[:-1]),
            parts={version: _arms(found, edges) for version, found in replicas.items()},
            users={version: by_users(sums[version].gained) for version in versions},
        )

    def gateway(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        """Return what users got; see the port."""
        return self._gateway.counts(model, versions, cursor, at_s=at_s)

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        return self._gateway.service_errors(model, windows_s, at_s=at_s)

    def broken_links(self, model: str, versions: Sequence[str], *, at_s: float) -> Sequence[str]:
        """Return why these versions cannot be read, a sentence for each broken link; see `links.broken_links`.

        Raises:
            TransientError: Prometheus cannot be asked at all.
        """
        interval_s = self._stale_after_s / STALE_AFTER_SCRAPES
        return tuple(
            broken_links(self._query, model, versions, at_s=at_s, scrape_interval_s=interval_s, only=self._only)
        )

    def _targets(
        self, model: str, versions: Sequence[str], lookback_s: float, at_s: float
    ) -> tuple[Targets, Mapping[str, Gauges]]:
        """Return the targets with their request counters, and their gauges, read back for ``lookback_s``."""
        metrics = (UP_METRIC, START_METRIC, REQUESTS_METRIC, *GAUGES)
        matrix = self._samples(model, versions, metrics, lookback_s, at_s)
        targets = scraped(matrix, self._process_labels, recent_s=at_s - self._stale_after_s)
        add_requests(targets, matrix, {REQUESTS_METRIC: REQUESTS})
        for version in versions:
            self._require_fresh(model, version, targets.of(version), at_s)
        return targets, read_gauges(matrix, targets)

    def _read_ends(
        self,
        model: str,
        versions: Sequence[str],
        targets: Targets,
        lives: Mapping[str, Sequence[Life]],
        known_from: Mapping[str, float],
        at_s: float,
    ) -> None:
        """Complete the snapshots at the ends of the lives, and those from which on targets are known. For targets with
        nothing unread, complete the last snapshot, for its edges.

        Raises:
            TransientError: also if a process exports only some of what has to be counted.
        """
        needed = {
            target.key: {life.end_s for life in lives[target.key]} or set(list(target.snapshots)[-1:])
            for target in targets.all
        }
        for key, first_s in known_from.items():
            needed[key].add(first_s)
        lookback_s = at_s - min((at_s for times in needed.values() for at_s in times), default=at_s)
        add_ends(targets, self._samples(model, versions, tuple(AT_ENDS), lookback_s, at_s), needed, AT_ENDS)
        for target in targets.all:
            if self._is_recent(target, at_s) and target.answers:
                require_whole(target.version, target, target.snapshots[target.last_scrape_s])

    def _is_recent(self, target: Target, at_s: float) -> bool:
        return at_s - target.last_scrape_s <= self._stale_after_s

    def _samples(
        self, model: str, versions: Sequence[str], metrics: Sequence[str], lookback_s: float, at_s: float
    ) -> Matrix:
        wanted = json.dumps("|".join(re.escape(version) for version in versions))
        names = "|".join(metrics)
        query = (
            f'{{__name__=~"{names}",{MODEL_LABEL}={json.dumps(model)},{VERSION_LABEL}=~{wanted}{self._only}}}'
            f"[{math.ceil(lookback_s * 1000) + 1}ms]"
        )
        return self._query(query, at_s)

    def _query(self, query: str, at_s: float) -> Matrix:
        return cast("Matrix", self._client.custom_query(query, params={"time": f"{at_s:.3f}"}))

    def _require_fresh(self, model: str, version: str, targets: Sequence[Target], at_s: float) -> None:
        """Require that every process that is being scraped answers, except those that are known to be gone, and that at
        least one has answered lately."""
        if not targets:
            raise TransientError(SOURCE, f"version {version} has no samples: nothing of it is being scraped")
        recent = [target for target in targets if self._is_recent(target, at_s)]
        if not recent:
            age_s = at_s - max(target.last_scrape_s for target in targets)
            raise TransientError(SOURCE, f"version {version}: its last sample is {age_s:.1f} s old")
        dead = [target for target in recent if not target.answers]
        for target in dead:
            if len(dead) == len(recent) or not self._is_gone(model, version, target.names):
                raise TransientError(SOURCE, f"version {version} does not answer scrapes: up is 0 for {target.key}")
            if target.key not in self._told_gone:
                self._told_gone.add(target.key)
                log.info("%s has gone, but is still scraped: what it counted before counts", target.key)


@dataclass(slots=True)
class _Sum:
    """The sum of what the targets of one version did."""

    gained: dict[Counter, float] = field(default_factory=dict)
    uncounted: set[str] = field(default_factory=set)  # kinds of traffic with errors whose causes were not counted
    spans: list[Span] = field(default_factory=list)

    def add(self, gained: Mapping[Counter, float]) -> None:
        for counter, value in gained.items():
            self.gained[counter] = self.gained.get(counter, 0.0) + value
            if (
                is_error(counter, REQUESTS_METRIC)
                and value
                and Counter(FAILURES_METRIC, counter.traffic, "") not in gained
            ):
                self.uncounted.add(counter.traffic)

    def arm(self, traffic: Traffic, edges: Sequence[str]) -> ArmCounts:
        arm = arm_of(self.gained, traffic, edges, REQUESTS_METRIC, BUCKET_METRIC)
        if traffic in self.uncounted:
            return arm
        failures = int(self.gained.get(Counter(FAILURES_METRIC, traffic, ""), 0.0))
        return replace(arm, error_clusters=min(failures, arm.errors))  # a scrape may fall between the two counters


def _arms(parts: Mapping[int, _Sum], edges: Sequence[str]) -> tuple[ArmCounts, ...]:
    """Return the counts of each part of the replicas, in the order of the parts; empty if there is only one."""
    if len(parts) < 2:
        return ()
    return tuple(parts.get(place, _Sum()).arm(Traffic.LIVE, edges) for place in range(max(parts) + 1))


def _lives(target: Target, left: Mark | None, known_from_s: float | None) -> list[Life]:
    """Return the unread lives of the target. A target that was never read before began at zero, unless its counters are
    known only from a certain scrape on."""
    if known_from_s is not None:
        return lives_of(target, target.snapshots[known_from_s], known_from_s)
    if left is not None:
        return lives_of(target, left.tell_tales(), left.scraped_s)
    lives = lives_of(target, {}, -math.inf)
    return [life._replace(began=life.began or not place) for place, life in enumerate(lives)]


def _token_edges(targets: Iterable[Target]) -> tuple[str, ...]:
    """Return the edges that all histograms of tokens have; empty if they differ, which is no error: lengths of texts
    alone decide nothing."""
    found = {
        tuple(bucket.label for bucket in buckets(snapshot, TOKEN_BUCKET_METRIC) if bucket.traffic == Traffic.LIVE)
        for target in targets
        for snapshot in target.snapshots.values()
    } - {()}
    return found.pop() if len(found) == 1 else ()
