"""Starts the real server for a test and makes sure that nothing of it is left."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from serving.contract import HEALTH_ROUTE, METRICS_ROUTE
from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
SERVING = "serving"
_fresh = httpx.Client(trust_env=False, timeout=20, limits=httpx.Limits(max_keepalive_connections=0))
"""Each request on a connection of its own, and TLS, which none needs, set up once."""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def until(condition: Callable[[], object], what: str, *, within_s: float = PATIENCE_S) -> None:
    """Poll a condition; when the deadline passes, say what was waited for."""
    deadline_s = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline_s, f"after {within_s} s still not: {what}"
        pause.wait(0.02)


@dataclass(frozen=True)
class Replica:
    """A running replica: where it answers users and copies, and its processes."""

    url: str
    shadow_url: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def family(self) -> list[psutil.Process]:
        """All its processes: the supervisor, then the HTTP process, then the workers, in order of their start."""
        supervisor = psutil.Process(self.pid)
        return [supervisor, *sorted(supervisor.children(recursive=True), key=lambda child: child.create_time())]

    def is_healthy(self) -> bool:
        try:
            return _fresh.get(self.url + HEALTH_ROUTE).status_code == 200
        except httpx.TransportError:
            return False

    def samples(self) -> Samples:
        """Every sample of /metrics by name and labels."""
        text = _fresh.get(self.url + METRICS_ROUTE).text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that carry these labels."""
        return total(self.samples(), name, **labels)


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of a name that carry these labels."""
    wanted = frozenset(labels.items())
    return sum(value for (found, carried), value in samples.items() if found == name and carried >= wanted)


@contextmanager
def replica(
    artifact: Path, *flags: str, model: str = "intent", version: str = "1", module: str = SERVING
) -> Iterator[Replica]:
    """A healthy replica on a free port; ended at the end, by force if it must be. ``module`` is what Python runs."""
    with tempfile.TemporaryDirectory() as directory:
        port_file, log = Path(directory) / "port", Path(directory) / "log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, "--artifact", str(artifact), "--model", model, "--version", version,
                 "--port", "0", "--shadow-port", "0", "--port-file", str(port_file),
                 "--stuck-after-s", "600", *flags],  # tests hold workers up as they like
                cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip
        try:
            until(lambda: port_file.exists() or process.poll() is not None, "the replica listens")
            assert process.poll() is None, log.read_text()
            live, shadow = (f"http://127.0.0.1:{port}" for port in port_file.read_text().split())
            running = Replica(live, shadow, process, log)
            until(lambda: running.is_healthy() or process.poll() is not None, "it is healthy")
            assert process.poll() is None, log.read_text()
            yield running
        finally:
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """SIGTERM, and SIGKILL to the whole group if something stays."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
