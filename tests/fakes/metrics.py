"""Metrics in memory: what versions were said to have served, counted like the real thing."""

import bisect
from collections.abc import Mapping, Sequence

from controller.errors import TransientError
from controller.ports import CounterCursor, MetricCounts
from gates.evidence import ArmCounts
from serving.contract import Traffic, latency_edges_ms


class FakeMetrics:
    """``serve`` lets a version answer requests; ``unscraped`` lists versions whose samples are missing; ``away`` is the
    reason why nothing can be read at all."""

    def __init__(self, edges_ms: Sequence[float] | None = None) -> None:
        self._edges_ms = tuple(edges_ms) if edges_ms is not None else latency_edges_ms()
        self._totals: dict[str, float] = {}
        self.unscraped: set[str] = set()
        self.away: str | None = None

    def serve(
        self,
        model: str,
        version: str,
        *,
        traffic: Traffic = Traffic.LIVE,
        latencies_ms: Sequence[float] = (),
        codes: Mapping[int, int] | None = None,
    ) -> None:
        """Answer one request with 200 for each latency, and further, untimed ones: status code -> how many."""
        for code, number in {200: len(latencies_ms), **(codes or {})}.items():
            kind = "errors" if code >= 500 else "answers"
            self._add(f"{model}|{version}|{traffic}|{kind}", number)
        for latency_ms in latencies_ms:
            self._add(f"{model}|{version}|{traffic}|{bisect.bisect_left(self._edges_ms, latency_ms)}", 1)

    def counts(self, model: str, versions: Sequence[str], cursor: CounterCursor | None, *, at_s: float) -> MetricCounts:
        if self.away is not None:
            raise TransientError("metrics", self.away)
        for version in versions:
            if version in self.unscraped:
                raise TransientError("metrics", f"version {version} has no samples: nothing of it is being scraped")
        return MetricCounts(
            live={version: self._arm(f"{model}|{version}|{Traffic.LIVE}", cursor) for version in versions},
            shadow={version: self._arm(f"{model}|{version}|{Traffic.SHADOW}", cursor) for version in versions},
            latency_edges_ms=self._edges_ms,
            cursor=CounterCursor(dict(self._totals), at_s),
        )

    def _add(self, key: str, number: int) -> None:
        self._totals[key] = self._totals.get(key, 0.0) + number

    def _arm(self, prefix: str, cursor: CounterCursor | None) -> ArmCounts:
        before = self._totals if cursor is None else cursor.values

        def gained(name: object) -> int:
            return int(self._totals.get(f"{prefix}|{name}", 0.0) - before.get(f"{prefix}|{name}", 0.0))

        errors = gained("errors")
        buckets = range(len(self._edges_ms) + 1)
        return ArmCounts(gained("answers") + errors, errors, tuple(gained(bucket) for bucket in buckets))
