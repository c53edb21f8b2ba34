"""A real Prometheus, as `serin up` starts it, with processes of ours to scrape."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TypeVar

import httpx

from controller.adapters.local.loopback import free_port
from controller.adapters.prometheus.metrics import PrometheusMetrics
from controller.adapters.prometheus.server import (
    TargetFiles,
    prometheus_command,
    prometheus_config,
    prometheus_ready_url,
)
from controller.errors import TransientError
from controller.ports.metrics import CounterCursor, GatewayCounts, MetricCounts
from serving.contract import (
    BUSY_METRIC,
    CLUSTER_LABEL,
    CODE_CLASS_LABEL,
    COLD_REQUESTS_METRIC,
    CORES_METRIC,
    CPU_METRIC,
    DURATION_METRIC,
    FAILURES_METRIC,
    GATEWAY_COMPLETED_METRIC,
    GATEWAY_JOB,
    GATEWAY_NO_CLUSTER_METRIC,
    GATEWAY_REQUESTS_METRIC,
    GATEWAY_TIME_METRIC,
    GATEWAY_UPTIME_METRIC,
    INFO_METRIC,
    MEMORY_LIMIT_METRIC,
    QUEUE_DEPTH_METRIC,
    REQUESTS_METRIC,
    RESIDENT_MEMORY_METRIC,
    START_METRIC,
    TOKENS_METRIC,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    WORKER_RESTARTS_METRIC,
    Traffic,
    deployment_name,
    shadow_cluster_name,
)
from tests.contracts.metrics import EDGES_MS, TOKEN_EDGES
from tests.controller.http_support import http_server
from tests.fakes.metrics import server_errors
from tests.patience import PATIENCE_S, eventually

SCRAPE_INTERVAL_S = 0.5
WITHIN_S = PATIENCE_S
AMOUNTS = {
    "unknown_tokens": UNKNOWN_TOKENS_METRIC,
    "truncated": TRUNCATED_METRIC,
    "cold_requests": COLD_REQUESTS_METRIC,
    "worker_restarts": WORKER_RESTARTS_METRIC,
    "busy_s": BUSY_METRIC,
    "cpu_s": CPU_METRIC,
}


@dataclass
class Exporter:
    """A process whose counters the test controls."""

    model: str
    version: str
    url: str = ""
    codes: dict[tuple[str, int], int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    tokens: dict[str, list[int]] = field(default_factory=dict)
    amounts: dict[str, float] = field(default_factory=dict)
    levels: dict[str, float] = field(default_factory=dict)
    tokenizer: str = "words"
    started_at_s: float = field(default_factory=time.time)
    lock: threading.Lock = field(default_factory=threading.Lock)  # a scrape sees a state, never half of a change

    def page(self) -> str:
        with self.lock:
            return self._page()

    def _page(self) -> str:
        mine = f'model="{self.model}",model_version="{self.version}"'
        codes = {(traffic, code): 0 for traffic in Traffic for code in (200, 500, 503)} | self.codes
        lines = [
            f'{REQUESTS_METRIC}{{{mine},traffic="{traffic}",code="{code}"}} {number}'
            for (traffic, code), number in codes.items()
        ]
        lines += [f"{metric}{{{mine}}} {self.amounts.get(name, 0)}" for name, metric in AMOUNTS.items()]
        lines += [f"{metric}{{{mine}}} {value}" for metric, value in self.levels.items()]
        lines.append(f"{START_METRIC}{{{mine}}} {self.started_at_s!r}")
        lines.append(f'{INFO_METRIC}{{{mine},fingerprint="f",tokenizer="{self.tokenizer}"}} 1')
        for traffic in Traffic:
            lines.append(f'{FAILURES_METRIC}{{{mine},traffic="{traffic}"}} {self.failures.get(traffic, 0)}')
            lengths = self.tokens.get(traffic, [])
            lines.append(f'{TOKENS_METRIC}_sum{{{mine},traffic="{traffic}"}} {sum(lengths)}')
            for edge in (*TOKEN_EDGES, float("inf")):
                below = sum(length <= edge for length in lengths)
                label = "+Inf" if edge == float("inf") else f"{edge:.1f}"
                lines.append(f'{TOKENS_METRIC}_bucket{{{mine},traffic="{traffic}",le="{label}"}} {below}')
        for traffic, latencies_ms in self.latencies_ms.items():
            for edge_ms in (*EDGES_MS, float("inf")):
                at_most = sum(latency_ms <= edge_ms for latency_ms in latencies_ms)
                edge = "+Inf" if edge_ms == float("inf") else f"{edge_ms / 1000:g}"
                lines.append(f'{DURATION_METRIC}_bucket{{{mine},traffic="{traffic}",le="{edge}"}} {at_most}')
        return "\n".join([*lines, ""])


@dataclass
class GatewayExporter:
    """What a scraped Envoy tells, of many models; the test controls what it answered."""

    url: str = ""
    classes: dict[tuple[str, str], int] = field(default_factory=dict)  # by cluster and class of status
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    clusters: set[str] = field(default_factory=set)
    started_at_s: float = field(default_factory=time.time)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, cluster: str, latencies_ms: Sequence[float], codes: Mapping[int, int]) -> None:
        with self.lock:
            for code, number in {200: len(latencies_ms), **codes}.items():
                if number:
                    place = (cluster, str(code // 100))
                    self.classes[place] = self.classes.get(place, 0) + number
            self.latencies_ms.setdefault(cluster, []).extend(latencies_ms)

    def page(self) -> str:
        with self.lock:
            return self._page()

    def _page(self) -> str:
        lines = [f"{GATEWAY_UPTIME_METRIC}{{}} {int(time.time() - self.started_at_s)}"]
        lines.append(f'{GATEWAY_NO_CLUSTER_METRIC}{{envoy_http_conn_manager_prefix="models"}} 0')
        for (cluster, kind), number in self.classes.items():
            labels = f'{CODE_CLASS_LABEL}="{kind}",{CLUSTER_LABEL}="{cluster}"'
            lines.append(f"{GATEWAY_REQUESTS_METRIC}{{{labels}}} {number}")
        for cluster in self.clusters:
            completed = sum(number for (whose, _), number in self.classes.items() if whose == cluster)
            lines.append(f'{GATEWAY_COMPLETED_METRIC}{{{CLUSTER_LABEL}="{cluster}"}} {completed}')
        for cluster, latencies_ms in self.latencies_ms.items():
            lines.append(f'{GATEWAY_TIME_METRIC}_count{{{CLUSTER_LABEL}="{cluster}"}} {len(latencies_ms)}')
            for edge_ms in (*EDGES_MS, float("inf")):
                below = sum(int(latency_ms) < edge_ms for latency_ms in latencies_ms)
                edge = "+Inf" if edge_ms == float("inf") else f"{edge_ms:g}"
                labels = f'{CLUSTER_LABEL}="{cluster}",le="{edge}"'
                lines.append(f"{GATEWAY_TIME_METRIC}_bucket{{{labels}}} {below}")
        return "\n".join([*lines, ""])


@contextmanager
def exporter(model: str, version: str) -> Iterator[Exporter]:
    with exported(Exporter(model, version)) as state:
        yield state


Exported = TypeVar("Exported", Exporter, GatewayExporter)


@contextmanager
def exported(state: Exported) -> Iterator[Exported]:
    """Its page is served while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = state.page().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with http_server(Handler) as state.url:
        yield state


class PrometheusServer:
    """Prometheus as ``serin up`` starts it."""

    def __init__(self, directory: Path, gateway_port: int | None = None) -> None:
        self._directory = directory
        self.targets = TargetFiles(directory / "targets")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        prometheus_config(
            directory, directory / "targets", scrape_interval_s=SCRAPE_INTERVAL_S, gateway_port=gateway_port
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                prometheus_command(self._directory, self.port), stdout=log, stderr=log, start_new_session=True
            )
        eventually(self._is_ready, what=f"Prometheus ready, log in {self._directory / 'log'}")

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        try:
            return httpx.get(prometheus_ready_url(self.port), trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(PATIENCE_S)
            self._process = None

    def last_success_s(self, model: str, version: str) -> float:
        """Time of the version's last successful scrape, 0 for none."""
        return self.success_s(f'up{{model="{model}",model_version="{version}"}}')

    def gateway_success_s(self) -> float:
        """As ``last_success_s``, of the gateway."""
        return self.success_s(f'up{{job="{GATEWAY_JOB}"}}')

    def success_s(self, up: str) -> float:
        """Of the targets that this selector of ``up`` means; 0 for none."""
        return self.value(f"max(timestamp({up}) and {up} == 1)")

    def value(self, query: str) -> float:
        """What a query gives, the greatest of it; 0 where it gives nothing."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, trust_env=False).json()
        return max((float(series["value"][1]) for series in answer["data"]["result"]), default=0.0)


class ScrapedWorld:
    """A ``MetricsWorld`` behind a real Prometheus."""

    def __init__(
        self, server: PrometheusServer, exporters: Sequence[Exporter], gateway: GatewayExporter | None = None
    ) -> None:
        self._server = server
        self.gateway = gateway
        self.exporters = {one.version: one for one in exporters}
        self._model = self.model = exporters[0].model
        self.metrics = PrometheusMetrics(server.url, scrape_interval_s=SCRAPE_INTERVAL_S)

    def serve(
        self,
        version: str,
        *,
        traffic: Traffic = Traffic.LIVE,
        latencies_ms: Sequence[float] = (),
        codes: Mapping[int, int] | None = None,
        failures: int | None = None,
    ) -> None:
        process = self.exporters[version]
        found = server_errors(codes) if failures is None else failures
        with process.lock:
            for code, number in {200: len(latencies_ms), **(codes or {})}.items():
                process.codes[traffic, code] = process.codes.get((traffic, code), 0) + number
            process.failures[traffic] = process.failures.get(traffic, 0) + found
            process.latencies_ms.setdefault(traffic, []).extend(latencies_ms)
        cluster = shadow_cluster_name if traffic is Traffic.SHADOW else deployment_name
        if self.gateway is not None:
            self.gateway.answer(cluster(self.model, version), latencies_ms, codes or {})

    def deal(self, version: str, *, latencies_ms: Sequence[float] = (), codes: Mapping[int, int] | None = None) -> None:
        assert self.gateway is not None
        self.gateway.answer(deployment_name(self.model, version), latencies_ms, codes or {})

    def lose_gateway(self) -> None:
        """Read where none is scraped: every other test shares this one."""
        self.metrics = PrometheusMetrics(f"{self._server.url}/nowhere", scrape_interval_s=SCRAPE_INTERVAL_S)

    def users(self, cursor: CounterCursor | None, versions: Sequence[str] = ("6", "7")) -> GatewayCounts:
        self.settle()
        return self.metrics.gateway(self._model, versions, cursor, at_s=time.time())

    def restart_gateway(self) -> None:
        """Its counters of this model and its uptime: the tests share it, one after the other."""
        assert self.gateway is not None
        self.settle()
        mine = deployment_name(self.model, "")
        with self.gateway.lock:
            self.gateway.classes = {it: n for it, n in self.gateway.classes.items() if not it[0].startswith(mine)}
            for cluster in [name for name in self.gateway.latencies_ms if name.startswith(mine)]:
                del self.gateway.latencies_ms[cluster]
            self.gateway.started_at_s = time.time()

    def read(self, version: str, tokens: Sequence[int], *, traffic: Traffic = Traffic.LIVE) -> None:
        process = self.exporters[version]
        with process.lock:
            process.tokens.setdefault(traffic, []).extend(tokens)
            for name in ("busy_s", "cpu_s"):
                process.amounts[name] = process.amounts.get(name, 0) + 0.01 * len(tokens)

    def use(self, version: str, **amounts: float) -> None:
        process = self.exporters[version]
        with process.lock:
            for name, amount in amounts.items():
                process.amounts[name] = process.amounts.get(name, 0) + amount

    def stand(self, version: str, *, memory_ratio: float, queue_depth: float, tokenizer: str) -> None:
        process = self.exporters[version]
        with process.lock:
            process.tokenizer = tokenizer
            process.levels = {
                RESIDENT_MEMORY_METRIC: memory_ratio * 1e9,
                MEMORY_LIMIT_METRIC: 1e9,
                QUEUE_DEPTH_METRIC: queue_depth,
                CORES_METRIC: 2,
            }
        self.settle()

    def service_errors(self, windows_s: Sequence[float]) -> Mapping[float, tuple[int, int]]:
        self.settle()
        return self.metrics.service_errors(self._model, windows_s, at_s=time.time())

    def restart(self, version: str) -> None:
        self.settle()
        process = self.exporters[version]
        with process.lock:
            process.codes, process.latencies_ms, process.tokens, process.amounts = {}, {}, {}, {}
            process.failures, process.started_at_s = {}, time.time()

    def settle(self) -> None:
        """Wait until a scrape of every process began after now."""
        now_s = time.time()
        for version in self.exporters:
            eventually(
                partial(self._scraped_since, version, now_s),
                what=f"a new scrape of {self._model} version {version}",
            )
        if self.gateway is not None:
            eventually(lambda: self._server.gateway_success_s() > now_s, what="a new scrape of the gateway")

    def _scraped_since(self, version: str, time_s: float) -> bool:
        return self._server.last_success_s(self._model, version) > time_s

    def look(self, cursor: CounterCursor | None, versions: Sequence[str] = ("6", "7")) -> MetricCounts:
        self.settle()
        return self.metrics.counts(self._model, versions, cursor, at_s=time.time())

    def look_error(self, cursor: CounterCursor | None, versions: Sequence[str] = ("6", "7")) -> str:
        """What a look says now that is no evidence, or nothing if it is."""
        try:
            self.metrics.counts(self._model, versions, cursor, at_s=time.time())
        except TransientError as error:
            return str(error)
        return ""
