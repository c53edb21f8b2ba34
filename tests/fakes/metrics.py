"""Metrics in memory: what versions were said to have served, counted like the real thing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from controller.errors import AmbiguousError, Source, TransientError
from controller.ports.metrics import CounterCursor, GatewayCounts, MetricCounts, Usage
from gates.evidence import ArmCounts, Resources
from serving.contract import TOKEN_EDGES, Traffic, gateway_edges_ms, latency_edges_ms


@dataclass(frozen=True, slots=True)
class Levels:
    """What a replica's gauges say."""

    memory_ratio: float = 0.25
    queue_depth: float = 0.5
    tokenizer: str = ""


def server_errors(codes: Mapping[int, int] | None) -> int:
    return sum(number for code, number in (codes or {}).items() if code >= 500)


class FakeMetrics:
    """``serve`` lets a version answer requests; ``unscraped`` lists versions whose samples are missing; ``away`` is the
    reason why nothing can be read at all. ``levels``: what each version's gauges say. ``burning``: (errors, requests)
    of the service in any window, unless its own counts are to say it. ``gateway_away``: why only the gateway cannot.
    ``doubted_s``: when two processes seemed to answer by turns; whoever reads over it is told so.
    ``times_untold``: why it tells no times, and no copies. ``parts`` and ``users``: what is told of a version by its
    replicas and its users, at each look."""

    def __init__(self, edges_ms: Sequence[float] | None = None, token_edges: Sequence[int] = TOKEN_EDGES) -> None:
        self._edges_ms = tuple(edges_ms) if edges_ms is not None else latency_edges_ms()
        self._gateway_edges_ms = tuple(edges_ms) if edges_ms is not None else gateway_edges_ms()
        self.gateway_away: str | None = None
        self.doubted_s = -math.inf
        self.times_untold = ""
        self._token_edges = tuple(token_edges)
        self.levels: dict[str, Levels] = {}
        self.burning: tuple[int, int] | None = None
        self._totals: dict[str, float] = {}
        self.parts: dict[str, tuple[ArmCounts, ...]] = {}
        self.users: dict[str, tuple[ArmCounts, ...]] = {}
        self.unscraped: set[str] = set()
        self.away: str | None = None

    def _require_one_process(self, source: Source, cursor: CounterCursor | None) -> None:
        if cursor is not None and cursor.at_s <= self.doubted_s:
            raise AmbiguousError(source, "two processes answer as one", seen_s=self.doubted_s)

    def serve(
        self,
        model: str,
        version: str,
        *,
        traffic: Traffic = Traffic.LIVE,
        latencies_ms: Sequence[float] = (),
        codes: Mapping[int, int] | None = None,
        failures: int | None = None,
    ) -> None:
        """Answer one request with 200 for each latency, and further, untimed ones: status code -> how many.
        ``failures``: what made the server errors among them; each has a cause of its own unless told otherwise."""
        for code, number in {200: len(latencies_ms), **(codes or {})}.items():
            kind = "errors" if code >= 500 else "answers"
            self._add(f"{model}|{version}|{traffic}|{kind}", number)
        self._add(f"{model}|{version}|{traffic}|failures", server_errors(codes) if failures is None else failures)
        self._spread(f"{model}|{version}|{traffic}|", np.searchsorted(self._edges_ms, latencies_ms))
        self.deal(model, version, traffic=traffic, latencies_ms=latencies_ms, codes=codes)

    def deal(
        self,
        model: str,
        version: str,
        *,
        traffic: Traffic = Traffic.LIVE,
        latencies_ms: Sequence[float] = (),
        codes: Mapping[int, int] | None = None,
    ) -> None:
        """Answer requests at the gateway, which ``serve`` does too: alone, they never reached the version."""
        whose = f"{model}|{version}|gateway {traffic}"
        for code, number in {200: len(latencies_ms), **(codes or {})}.items():
            self._add(f"{whose}|{'errors' if code >= 500 else 'answers'}", number)
        whole_ms = np.floor(latencies_ms)
        self._spread(f"{whose}|", np.searchsorted(self._gateway_edges_ms, whole_ms, side="right"))

    def read(self, model: str, version: str, tokens: Sequence[int], *, traffic: Traffic = Traffic.LIVE) -> None:
        """Take in texts of so many tokens, which is part of answering."""
        self._spread(f"{model}|{version}|{traffic}|tokens ", np.searchsorted(self._token_edges, tokens))
        self.use(model, version, texts=len(tokens), tokens=sum(tokens), unknown_tokens=0, truncated=0, cold_requests=0)
        self.use(model, version, worker_restarts=0, busy_s=0.01 * len(tokens), cpu_s=0.01 * len(tokens))

    def use(self, model: str, version: str, **amounts: float) -> None:
        """Raise the version's counters of what it met and used."""
        for name, amount in amounts.items():
            self._add(f"{model}|{version}|{name}", amount)

    def service_errors(self, model: str, windows_s: Sequence[float], *, at_s: float) -> Mapping[float, tuple[int, int]]:
        """Of all time, whatever the window."""
        del at_s
        if away := self.gateway_away or self.away:
            raise TransientError("gateway", away)
        live = [key for key in self._totals if key.startswith(f"{model}|") and f"|gateway {Traffic.LIVE}|" in key]
        errors = sum(self._totals[key] for key in live if key.endswith("|errors"))
        answers = sum(self._totals[key] for key in live if key.endswith("|answers"))
        found = self.burning if self.burning is not None else (int(errors), int(errors + answers))
        return dict.fromkeys(windows_s, found)

    def counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float) -> MetricCounts:
        if self.away is not None:
            raise TransientError("metrics", self.away)
        self._require_one_process(Source.METRICS, cursor)
        for version in versions:
            if version in self.unscraped:
                raise TransientError("metrics", f"version {version} has no samples: nothing of it is being scraped")
        edges = len(self._edges_ms)
        return MetricCounts(
            live={version: self._arm(f"{model}|{version}|{Traffic.LIVE}", cursor, edges) for version in versions},
            shadow={version: self._arm(f"{model}|{version}|{Traffic.SHADOW}", cursor, edges) for version in versions},
            latency_edges_ms=self._edges_ms,
            cursor=CounterCursor(dict(self._totals), at_s),
            usage={version: self._usage(f"{model}|{version}", version, cursor, at_s) for version in versions},
            token_edges=self._token_edges,
            parts=self.parts,
            users=self.users,
        )

    def gateway(
        self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float
    ) -> GatewayCounts:
        away = self.gateway_away or self.away
        if away is not None:
            raise TransientError("gateway", away)
        self._require_one_process(Source.GATEWAY, cursor)
        edges_ms = () if self.times_untold else self._gateway_edges_ms
        edges = len(edges_ms)
        live = {version: self._arm(f"{model}|{version}|gateway {Traffic.LIVE}", cursor, edges) for version in versions}
        copies = {version: self._arm(f"{model}|{version}|gateway {Traffic.SHADOW}", cursor, 0) for version in versions}
        return GatewayCounts(
            live={version: replace(arm, error_clusters=None) for version, arm in live.items()},
            copies={} if self.times_untold else {version: arm.requests for version, arm in copies.items()},
            sent={version: arm.requests for version, arm in live.items()},
            latency_edges_ms=edges_ms,
            cursor=CounterCursor(dict(self._totals), at_s),
            since_s=cursor.at_s if cursor is not None else None,
            times_untold=self.times_untold,
            copies_failed={} if self.times_untold else {version: arm.errors for version, arm in copies.items()},
        )

    def _usage(self, prefix: str, version: str, cursor: CounterCursor | None, at_s: float) -> Usage:
        before = cursor.values if cursor is not None else self._totals

        def gained(name: str) -> float | None:
            total = self._totals.get(f"{prefix}|{name}")
            return None if total is None or cursor is None else total - before.get(f"{prefix}|{name}", 0.0)

        def counted(name: str) -> int | None:
            number = gained(name)
            return None if number is None else int(number)

        levels, cpu_s = self.levels.get(version, Levels()), gained("cpu_s")
        tokens = [gained(f"{Traffic.LIVE}|tokens {place}") or 0 for place in range(len(self._token_edges) + 1)]
        return Usage(
            replicas=1,
            token_counts=tuple(map(int, tokens)) if counted("texts") is not None else (),
            texts=counted("texts"),
            tokens=counted("tokens"),
            unknown_tokens=counted("unknown_tokens"),
            truncated=counted("truncated"),
            worker_restarts=counted("worker_restarts"),
            busy_s=gained("busy_s"),
            resources=Resources(
                memory_ratio=levels.memory_ratio,
                cpu_ratio=cpu_s / (at_s - cursor.at_s) if cursor is not None and cpu_s and at_s > cursor.at_s else None,
                queue_depth=levels.queue_depth,
                cold_starts=counted("cold_requests"),
            ),
            tokenizer=levels.tokenizer,
        )

    def _spread(self, prefix: str, places: npt.NDArray[np.intp]) -> None:
        """Count one in each of these buckets."""
        for place, number in zip(*np.unique(places, return_counts=True), strict=True):
            self._add(f"{prefix}{place}", int(number))

    def _add(self, key: str, number: float) -> None:
        self._totals[key] = self._totals.get(key, 0.0) + number

    def _arm(self, prefix: str, cursor: CounterCursor | None, edges: int) -> ArmCounts:
        before = self._totals if cursor is None else cursor.values

        def gained(name: object) -> int:
            return int(self._totals.get(f"{prefix}|{name}", 0.0) - before.get(f"{prefix}|{name}", 0.0))

        errors = gained("errors")
        buckets = range(edges + 1)
        counts = tuple(gained(bucket) for bucket in buckets)
        return ArmCounts(gained("answers") + errors, errors, counts, gained("failures"))
