"""What a replica counts: prometheus_client in multiprocess mode, so that every process's numbers are in one answer.

prometheus_client looks for the directory of the mode once, at its first import: ``serving.life`` sets it before it
imports anything that leads here.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from serving.capture import DropReason
from serving.contract import (
    BATCH_SIZE_METRIC,
    BUSY_METRIC,
    CAPTURE_DROPPED_METRIC,
    CAPTURED_METRIC,
    CLIENT_GONE_CODE,
    CODE_LABEL,
    COLD_REQUESTS_METRIC,
    CORES_METRIC,
    CPU_METRIC,
    DURATION_METRIC,
    INFO_METRIC,
    MEMORY_LIMIT_METRIC,
    MODEL_LABEL,
    QUEUE_DEPTH_METRIC,
    REASON_LABEL,
    REQUESTS_METRIC,
    RESIDENT_MEMORY_METRIC,
    TOKEN_EDGES,
    TOKENS_METRIC,
    TRAFFIC_LABEL,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    VERSION_LABEL,
    WINDOWED_METRIC,
    WINDOWS_METRIC,
    WORKER_RESTARTS_METRIC,
    Traffic,
    latency_edges_ms,
)
from serving.cores import usable_cores, usable_memory_bytes

_BATCH_EDGES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128)
_CODES_FROM_START: Final = (200, 422, 500, 503)  # series that exist before their first event miss no increment


def _own_values() -> None:
    """Let the values of this process, which never forks again, be without a question for its id at every increment."""
    pid = os.getpid()
    values.ValueClass = values.MultiProcessValue(lambda: pid)  # type: ignore[no-untyped-call]


class ApiMetrics:
    """What the HTTP process sees. One instance, made in that process."""

    def __init__(self, model: str, version: str, objectives_ms: Iterable[float]) -> None:
        _own_values()
        registry = CollectorRegistry()  # in multiprocess mode the values live in files, not in a registry
        names = (MODEL_LABEL, VERSION_LABEL)
        self._own = (model, version)
        edges_s = [edge / 1000 for edge in latency_edges_ms(objectives_ms)]
        self._requests = Counter(
            REQUESTS_METRIC, "Requests answered.", (*names, TRAFFIC_LABEL, CODE_LABEL), registry=registry
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
        self._restarts = Counter(WORKER_RESTARTS_METRIC, "Workers that ended.", names, registry=registry)
        self._captured = Counter(CAPTURED_METRIC, "Predictions delivered.", names, registry=registry)
        self._dropped = Counter(
            CAPTURE_DROPPED_METRIC, "Predictions given up.", (*names, REASON_LABEL), registry=registry
        )
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
        self._seconds_of = {traffic: self._seconds.labels(*own, traffic) for traffic in Traffic}
        self._tokens_of = {traffic: self._tokens.labels(*own, traffic) for traffic in Traffic}
        self._unknown_own = self._unknown.labels(*own)
        self._truncated_own = self._truncated.labels(*own)
        self._windowed_own = self._windowed.labels(*own)
        self._windows_own = self._windows.labels(*own)
        self._cold_own = self._cold.labels(*own)
        self._busy_own = self._busy.labels(*own)
        self._restarts_own = self._restarts.labels(*own)
        self._captured_own = self._captured.labels(*own)
        self._dropped_of = {reason: self._dropped.labels(*own, reason) for reason in DropReason}
        self._depth_own = self._depth.labels(*own)

    def answered(self, traffic: Traffic, code: int, duration_s: float) -> None:
        """Count a request once. Refusals and failures are quick and would flatter the latency: not timed.

        Requests whose client went away while it waited are: to leave those out would flatter it too.
        """
        key = (traffic, code)
        if key not in self._by_code:
            self._by_code[key] = self._requests.labels(*self._own, traffic, str(code))
        self._by_code[key].inc()
        if code < 400 or code == CLIENT_GONE_CODE:
            self._seconds_of[traffic].observe(duration_s)

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

    def worker_lost(self) -> None:
        self._restarts_own.inc()

    def depth(self, requests: int) -> None:
        self._depth_own.set(requests)

    def captured(self, predictions: int) -> None:
        self._captured_own.inc(predictions)

    def dropped(self, predictions: int, reason: DropReason) -> None:
        self._dropped_of[reason].inc(predictions)


class WorkerMetrics:
    """What an inference worker sees. One instance, made in that process."""

    def __init__(self, model: str, version: str) -> None:
        _own_values()
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


class ReplicaCollector:
    """What is asked of the operating system at each scrape: memory and CPU of all processes of the replica.

    ``identity``: values of further labels of the info metric, by name.
    """

    def __init__(self, model: str, version: str, identity: Mapping[str, str], supervisor_pid: int) -> None:
        self._own = (model, version)
        self._identity = identity
        self._supervisor = psutil.Process(supervisor_pid)

    def collect(self) -> Iterator[Metric]:
        names = (MODEL_LABEL, VERSION_LABEL)
        memory, cpu_s = self._usage()
        resident = GaugeMetricFamily(RESIDENT_MEMORY_METRIC, "Resident memory, all processes.", labels=names)
        resident.add_metric(self._own, memory)
        yield resident
        cpu = CounterMetricFamily(CPU_METRIC, "CPU time, all processes, ended ones included.", labels=names)
        cpu.add_metric(self._own, cpu_s)
        yield cpu
        allowed = ((MEMORY_LIMIT_METRIC, "Memory", usable_memory_bytes()), (CORES_METRIC, "Cores", usable_cores()))
        for name, what, value in allowed:
            gauge = GaugeMetricFamily(name, f"{what} that the replica may use.", labels=names)
            gauge.add_metric(self._own, value)
            yield gauge
        info = GaugeMetricFamily(INFO_METRIC, "The version served.", labels=(*names, *self._identity))
        info.add_metric((*self._own, *self._identity.values()), 1)
        yield info

    def _usage(self) -> tuple[int, float]:
        ended = self._supervisor.cpu_times()
        memory, cpu_s = 0, ended.children_user + ended.children_system
        for process in (self._supervisor, *self._supervisor.children(recursive=True)):
            try:
                times = process.cpu_times()
                memory += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue  # ended between the listing and the look; the next scrape has it among the ended ones
            cpu_s += times.user + times.system
        return memory, cpu_s


def exposition(collectors: Sequence[ReplicaCollector]) -> bytes:
    """The text of /metrics: what all processes have written, and what the collectors find."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    for collector in collectors:
        registry.register(collector)
    return generate_latest(registry)
