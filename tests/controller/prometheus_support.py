"""A real Prometheus, as `serin up` starts it, with processes of ours to scrape."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx

from controller.adapters.loopback import free_port
from controller.adapters.prometheus import PrometheusMetrics
from controller.adapters.prometheus_server import (
    TargetFiles,
    prometheus_command,
    prometheus_config,
    prometheus_ready_url,
)
from controller.errors import TransientError
from controller.ports import CounterCursor, MetricCounts
from serving.contract import DURATION_METRIC, REQUESTS_METRIC, Traffic
from tests.contracts.metrics import EDGES_MS
from tests.controller.http_support import http_server

SCRAPE_INTERVAL_S = 0.5
WITHIN_S = 30.0


def eventually(condition: Callable[[], object], *, what: str, within_s: float = WITHIN_S) -> None:
    """Poll until the condition holds; fail, saying what was waited for, when it does not in time."""
    deadline_s, pause = time.monotonic() + within_s, threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {within_s} s for: {what}"
        pause.wait(0.02)


@dataclass
class Exporter:
    """A process whose counters the test controls."""

    model: str
    version: str
    url: str = ""
    codes: dict[tuple[str, int], int] = field(default_factory=dict)
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)

    def page(self) -> str:
        mine = f'model="{self.model}",model_version="{self.version}"'
        lines = [
            f'{REQUESTS_METRIC}{{{mine},traffic="{traffic}",code="{code}"}} {number}'
            for (traffic, code), number in self.codes.items()
        ]
        for traffic, latencies_ms in self.latencies_ms.items():
            for edge_ms in (*EDGES_MS, float("inf")):
                at_most = sum(latency_ms <= edge_ms for latency_ms in latencies_ms)
                edge = "+Inf" if edge_ms == float("inf") else f"{edge_ms / 1000:g}"
                lines.append(f'{DURATION_METRIC}_bucket{{{mine},traffic="{traffic}",le="{edge}"}} {at_most}')
        return "\n".join([*lines, ""])


@contextmanager
def exporter(model: str, version: str) -> Iterator[Exporter]:
    state = Exporter(model, version)

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

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.targets = TargetFiles(directory / "targets")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        prometheus_config(directory, directory / "targets", scrape_interval_s=SCRAPE_INTERVAL_S)
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
            self._process.wait(10)
            self._process = None

    def last_success_s(self, model: str, version: str) -> float:
        """Time of the version's last successful scrape, 0 for none."""
        up = f'up{{model="{model}",model_version="{version}"}}'
        query = f"timestamp({up}) and {up} == 1"
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, trust_env=False).json()
        return max((float(series["value"][1]) for series in answer["data"]["result"]), default=0.0)


class ScrapedWorld:
    """A ``MetricsWorld`` behind a real Prometheus."""

    def __init__(self, server: PrometheusServer, exporters: Sequence[Exporter]) -> None:
        self._server = server
        self.exporters = {one.version: one for one in exporters}
        self._model = exporters[0].model
        self.metrics = PrometheusMetrics(server.url, scrape_interval_s=SCRAPE_INTERVAL_S)

    def serve(
        self,
        version: str,
        *,
        traffic: Traffic = Traffic.LIVE,
        latencies_ms: Sequence[float] = (),
        codes: Mapping[int, int] | None = None,
    ) -> None:
        process = self.exporters[version]
        # Replaced, not edited: a scrape in between sees the state before or after, never half of it.
        counted = dict(process.codes)
        for code, number in {200: len(latencies_ms), **(codes or {})}.items():
            counted[traffic, code] = counted.get((traffic, code), 0) + number
        timed = {**process.latencies_ms, traffic: [*process.latencies_ms.get(traffic, []), *latencies_ms]}
        process.latencies_ms, process.codes = timed, counted

    def restart(self, version: str) -> None:
        self.settle()
        process = self.exporters[version]
        process.codes, process.latencies_ms = {}, {}

    def settle(self) -> None:
        """Wait until a scrape of every process began after now."""
        now_s = time.time()
        for version in self.exporters:
            eventually(
                partial(self._scraped_since, version, now_s),
                what=f"a new scrape of {self._model} version {version}",
            )

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
