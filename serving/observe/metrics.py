"""What a replica counts: prometheus_client in multiprocess mode, so that every process's numbers are in one answer.

prometheus_client looks for the directory of the mode once, at its first import: ``serving.__main__`` sets it before it
imports anything that leads here. A process writes to files named by its place ("http-0", "worker-1"), not by its id:
a worker that takes another's place goes on where that one's counts ended, and no number of restarts adds a file.
"""

import bisect
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.core import Exemplar, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.utils import floatToGoString

from serving.access.clients import Refusal
from serving.contract import (
    ACCESS_LOG_LOST_METRIC,
    ACCESS_REFUSED_METRIC,
    BATCH_SIZE_METRIC,
    BUSY_METRIC,
    CAPTURE_DROPPED_METRIC,
    CAPTURED_METRIC,
    CLIENT_GONE_CODE,
    CODE_LABEL,
    COLD_REQUESTS_METRIC,
    DURATION_METRIC,
    FAILURES_METRIC,
    MODEL_LABEL,
    QUEUE_DEPTH_METRIC,
    REASON_LABEL,
    REQUESTS_METRIC,
    TOKEN_EDGES,
    TOKENS_METRIC,
    TRAFFIC_LABEL,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    VERSION_LABEL,
    WINDOWED_METRIC,
    WINDOWS_METRIC,
    Traffic,
    latency_edges_ms,
)
from serving.observe.capture import DropReason
from serving.process.link import Failure

_BATCH_EDGES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128)
_CODES_FROM_START: Final = (200, 422, 500, 503)  # series that exist before their first event miss no increment


def _own_values(place: str) -> None:
    """Let the values of this process be kept under its place, without a question for its id at every increment."""
    values.ValueClass = values.MultiProcessValue(lambda: place)  # type: ignore[no-untyped-call]


class ApiMetrics:
    """What an HTTP process sees. One instance, made in that process; ``place`` is its own among those that run."""

    def __init__(self, model: str, version: str, objectives_ms: Iterable[float], place: str) -> None:
        _own_values(place)
        registry = CollectorRegistry()  # in multiprocess mode the values live in files, not in a registry
        names = (MODEL_LABEL, VERSION_LABEL)
        self._own = (model, version)
        edges_s = [edge / 1000 for edge in latency_edges_ms(objectives_ms)]
        self.exemplars = Exemplars(edges_s)
        self._requests = Counter(
            REQUESTS_METRIC, "Requests answered.", (*names, TRAFFIC_LABEL, CODE_LABEL), registry=registry
        )
        self._failures = Counter(
            FAILURES_METRIC, "Server errors, those of one cause once.", (*names, TRAFFIC_LABEL), registry=registry
        )
        self._seconds = Histogram(
            DURATION_METRIC,
            "Time in the server of requests that were answered with a prediction, or given up by their client.",
            (*names, TRAFFIC_LABEL),
            buckets=edges_s,
            registry=registry,
        )
        self._tokens = Histogram(
            TOKENS_METRIC,
            "Tokens of a text before truncation.",
            (*names, TRAFFIC_LABEL),
            buckets=TOKEN_EDGES,
            registry=registry,
        )
        self._unknown = Counter(UNKNOWN_TOKENS_METRIC, "Tokens outside the vocabulary.", names, registry=registry)
        self._truncated = Counter(TRUNCATED_METRIC, "Texts cut to the model's limit.", names, registry=registry)
        self._windowed = Counter(WINDOWED_METRIC, "Texts read in several windows.", names, registry=registry)
        self._windows = Counter(WINDOWS_METRIC, "Windows of texts read in several.", names, registry=registry)
        self._cold = Counter(COLD_REQUESTS_METRIC, "Requests before warm-up was over.", names, registry=registry)
        self._busy = Counter(BUSY_METRIC, "Time that workers were computing.", names, registry=registry)
        self._captured = Counter(CAPTURED_METRIC, "Predictions delivered.", names, registry=registry)
        self._dropped = Counter(
            CAPTURE_DROPPED_METRIC, "Predictions given up.", (*names, REASON_LABEL), registry=registry
        )
        self._refused = Counter(
            ACCESS_REFUSED_METRIC, "Requests not let in.", (*names, REASON_LABEL), registry=registry
        )
        self._unlogged = Counter(ACCESS_LOG_LOST_METRIC, "Lines lost to the access log.", names, registry=registry)
        self._depth = Gauge(
            QUEUE_DEPTH_METRIC,
            "Requests accepted and not yet answered.",
            names,
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._bind()

    def _bind(self) -> None:
        """Resolve the label sets once: a look-up for each request costs more than the increment."""
        own = self._own
        self._by_code = {
            (traffic, code): self._requests.labels(*own, traffic, str(code))
            for traffic in Traffic
            for code in _CODES_FROM_START
        }
        self._failures_of = {traffic: self._failures.labels(*own, traffic) for traffic in Traffic}
        self._seconds_of = {traffic: self._seconds.labels(*own, traffic) for traffic in Traffic}
        self._tokens_of = {traffic: self._tokens.labels(*own, traffic) for traffic in Traffic}
        self._unknown_own = self._unknown.labels(*own)
        self._truncated_own = self._truncated.labels(*own)
        self._windowed_own = self._windowed.labels(*own)
        self._windows_own = self._windows.labels(*own)
        self._cold_own = self._cold.labels(*own)
        self._busy_own = self._busy.labels(*own)
        self._captured_own = self._captured.labels(*own)
        self._dropped_of = {reason: self._dropped.labels(*own, reason) for reason in DropReason}
        self._refused_of = {reason: self._refused.labels(*own, reason) for reason in Refusal}
        self._unlogged_own = self._unlogged.labels(*own)
        self._depth_own = self._depth.labels(*own)

    def answered(self, traffic: Traffic, code: int, duration_s: float, trace_id: str | None = None) -> None:
        """Count a request once. Refusals and failures are quick and would flatter the latency: not timed.

        Requests whose client went away while it waited are: to leave those out would flatter it too.
        """
        key = (traffic, code)
        if key not in self._by_code:
            self._by_code[key] = self._requests.labels(*self._own, traffic, str(code))
        self._by_code[key].inc()
        if code < 400 or code == CLIENT_GONE_CODE:
            self._seconds_of[traffic].observe(duration_s)
            if trace_id is not None:
                self.exemplars.note(traffic, duration_s, trace_id)

    def failed(self, traffic: Traffic, failure: Failure | None) -> None:
        """Count what made a request fail, unless another request of this kind has told of it."""
        if failure is None or failure.is_new(traffic):
            self._failures_of[traffic].inc()

    def text(self, traffic: Traffic, tokens: int, unknown: int, *, truncated: bool, windows: int = 1) -> None:
        self._tokens_of[traffic].observe(tokens)
        if unknown:
            self._unknown_own.inc(unknown)
        if truncated:
            self._truncated_own.inc()
        if windows > 1:
            self._windowed_own.inc()
            self._windows_own.inc(windows)

    def cold(self) -> None:
        self._cold_own.inc()

    def busy(self, duration_s: float) -> None:
        self._busy_own.inc(duration_s)

    def depth(self, requests: int) -> None:
        self._depth_own.set(requests)

    def captured(self, predictions: int) -> None:
        self._captured_own.inc(predictions)

    def dropped(self, predictions: int, reason: DropReason) -> None:
        self._dropped_of[reason].inc(predictions)

    def refused(self, reason: Refusal) -> None:
        self._refused_of[reason].inc()

    def unlogged(self, lines: int) -> None:
        self._unlogged_own.inc(lines)


class WorkerMetrics:
    """What an inference worker sees. One instance, made in that process; ``place`` is its own among those that run."""

    def __init__(self, model: str, version: str, place: str) -> None:
        _own_values(place)
        histogram = Histogram(
            BATCH_SIZE_METRIC,
            "Texts of one engine call.",
            (MODEL_LABEL, VERSION_LABEL),
            buckets=_BATCH_EDGES,
            registry=CollectorRegistry(),
        )
        self._batch = histogram.labels(model, version)

    def batch(self, texts: int) -> None:
        self._batch.observe(texts)


class Exemplars:
    """The last trace that fell into each bucket of the latency histogram.

    Those of this HTTP process only: an exemplar is an example, and each scrape meets one process or another.
    """

    def __init__(self, edges_s: Sequence[float]) -> None:
        self._edges_s = edges_s
        self._names = [*(floatToGoString(edge) for edge in edges_s), "+Inf"]  # type: ignore[no-untyped-call]
        self._last: dict[tuple[str, str], Exemplar] = {}

    def note(self, traffic: Traffic, duration_s: float, trace_id: str) -> None:
        edge = self._names[bisect.bisect_left(self._edges_s, duration_s)]
        self._last[str(traffic), edge] = Exemplar({"trace_id": trace_id}, duration_s, time.time())

    def added_to(self, histogram: Metric) -> None:
        """Give the samples of the buckets their exemplars."""
        histogram.samples = [
            sample._replace(exemplar=self._last.get((sample.labels[TRAFFIC_LABEL], sample.labels.get("le", ""))))
            for sample in histogram.samples
        ]


class Collector(Protocol):
    """What is asked for metrics at each scrape."""

    def collect(self) -> Iterable[Metric]: ...


class _Written:
    """What all processes have written, with the exemplars of this one."""

    def __init__(self, exemplars: Exemplars) -> None:
        self._written = MultiProcessCollector(None)  # type: ignore[no-untyped-call]
        self._exemplars = exemplars

    def collect(self) -> Iterator[Metric]:
        for metric in self._written.collect():  # type: ignore[no-untyped-call]
            if metric.name == DURATION_METRIC:
                self._exemplars.added_to(metric)
            yield metric


def exposition(exemplars: Exemplars, collectors: Sequence[Collector], accept: str) -> tuple[bytes, str]:
    """The text of /metrics and its content type: OpenMetrics, with exemplars, for those who accept it."""
    registry = CollectorRegistry()
    for collector in (_Written(exemplars), *collectors):
        registry.register(collector)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
