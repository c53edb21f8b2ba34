"""Samples on their way in: how many a processor second of the controller takes over HTTP, and whether any is lost.

A real controller process of a home without models, on SQLite and on PostgreSQL, and batches as replicas send them.
Answers of one version alone are what comes while nothing is released; with those of a second version to copies of the
same requests, as in a release, each request is a pair. At the end the controller is killed while batches come: whatever
it has acknowledged must be in the database.
"""

import http.client
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import sqlalchemy as sa

from controller.adapters.local.loopback import free_port, get
from controller.adapters.sql import schema
from controller.adapters.sql.database import connect
from controller.adapters.sql.upgrade import upgrade_store
from controller.bootstrap.access import prepare_access, replica_token
from controller.config.settings import Home, Settings
from serving.contract import HEALTH_ROUTE, PREDICTIONS_ROUTE, Traffic
from serving.observe.capture import BATCH_PREDICTIONS_MAX, CapturedPrediction, encode_batch
from tests.bench._table import Bar, machine, report
from tests.controller.envoy_support import eventually
from tests.postgres_support import postgres_server

MODEL: Final = "intent"
CLASSES: Final = 8
BATCHES: Final = 60
WARM_UP: Final = 6
KILL_AFTER_BATCHES: Final = 20
SAMPLES_A_CPU_SECOND: Final = 12_000


@dataclass(frozen=True, slots=True)
class Batch:
    """The body of one delivery and the version whose token it comes with."""

    version: str
    request_ids: tuple[str, ...]
    body: bytes


def run() -> list[Bar]:
    rows: list[Bar] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = stack.enter_context(postgres_server())
        urls = {
            "SQLite": f"sqlite:///{folder}/intake.db",
            "PostgreSQL": stack.enter_context(server.database()),
        }
        for number, (kind, url) in enumerate(urls.items()):
            upgrade_store(url)
            rows += _measured(kind, url, Home(Path(folder) / f"home{number}"))
    return rows


def main() -> int:
    about = machine()
    return report("intake", [*run(), *about])


def _measured(kind: str, url: str, home: Home) -> list[Bar]:
    with _controller(home, url) as (process, send):
        alone = _rate(process, send, list(_batches("alone", BATCHES, shadow=False)))
        paired = _rate(process, send, list(_batches("paired", BATCHES, shadow=True)))
    lost = _lost_at_a_kill(home, url)
    return [
        Bar(f"{kind}: samples of one version", alone, "1/CPU s", at_least=SAMPLES_A_CPU_SECOND),
        Bar(f"{kind}: samples of two versions, each request a pair", paired, "1/CPU s", at_least=SAMPLES_A_CPU_SECOND),
        Bar(f"{kind}: acknowledged and lost when the controller is killed", lost, "samples", at_most=0),
    ]


def _rate(process: psutil.Process, send: Callable[[Batch], bool], batches: Sequence[Batch]) -> float:
    """Samples taken in a processor second of the controller, after a few to warm up."""
    before_s = 0.0
    for number, batch in enumerate(batches):
        if number == WARM_UP:
            before_s = _cpu_s(process)
        assert send(batch)
    return sum(len(batch.request_ids) for batch in batches[WARM_UP:]) / (_cpu_s(process) - before_s)


def _lost_at_a_kill(home: Home, url: str) -> int:
    """Samples that were acknowledged and are not there after a kill in the midst of others."""
    acknowledged: list[Batch] = []
    with _controller(home, url) as (process, send):
        killer = threading.Thread(target=_kill_after, args=(process, acknowledged))
        killer.start()
        for batch in _batches("killed", 100 * KILL_AFTER_BATCHES, shadow=True):
            if not send(batch):
                break
            acknowledged.append(batch)
        killer.join()
    database = connect(url)
    with database.read("bench") as connection:
        columns = schema.predictions.c
        query = sa.select(columns.version, columns.request_id).where(columns.request_id.like("killed-%"))
        kept = {(row.version, row.request_id) for row in connection.execute(query)}
    database.close()
    return sum((batch.version, one) not in kept for batch in acknowledged for one in batch.request_ids)


def _kill_after(process: psutil.Process, acknowledged: Sequence[Batch]) -> None:
    eventually(lambda: len(acknowledged) >= KILL_AFTER_BATCHES, what="batches to be acknowledged")
    process.kill()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


@contextmanager
def _controller(home: Home, url: str) -> Iterator[tuple[psutil.Process, Callable[[Batch], bool]]]:
    """A controller process, and what sends it a batch: whether it was acknowledged."""
    settings = Settings(database_url=url, api_port=free_port())
    home.save(settings)
    prepare_access(home, settings)
    tokens = {version: _token(home, version) for version in ("1", "2")}
    process = subprocess.Popen(
        [sys.executable, "-m", "controller", "--home", str(home.path)], stderr=subprocess.DEVNULL
    )
    connection = http.client.HTTPConnection("127.0.0.1", settings.api_port, timeout=60)

    def send(batch: Batch) -> bool:
        headers = {"content-type": "application/json", "authorization": f"Bearer {tokens[batch.version]}"}
        for _ in range(2):  # the first one finds a connection that was idle for too long closed
            try:
                connection.request("POST", PREDICTIONS_ROUTE, batch.body, headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
            else:
                return answer.status == 200
        return False

    try:
        eventually(lambda: _answers(settings), what="the controller to answer")
        time.sleep(1.0)  # what it does at its start is not the samples'
        yield psutil.Process(process.pid), send
    finally:
        connection.close()
        process.kill()
        process.wait()


def _answers(settings: Settings) -> bool:
    try:
        return get(settings.api + HEALTH_ROUTE, timeout_s=1.0)[0] == 200
    except OSError:
        return False


def _token(home: Home, version: str) -> str:
    file = home.path / f"{version}.token"
    replica_token(home, MODEL, version, file, running={(MODEL, "1"), (MODEL, "2")})
    return file.read_text(encoding="ascii").strip()


def _batches(mark: str, number: int, *, shadow: bool) -> Iterator[Batch]:
    """As replicas send them: each version its own, the copies after the answers."""
    at_s = time.time()
    for first in range(number // 2 if shadow else number):
        requests = [f"{mark}-{first:05}-{place:04}-5c1f0a2e9b77" for place in range(BATCH_PREDICTIONS_MAX)]
        for version, traffic in (("1", Traffic.LIVE), ("2", Traffic.SHADOW))[: 2 if shadow else 1]:
            captured = [_captured(request, place, version, traffic, at_s) for place, request in enumerate(requests)]
            yield Batch(version, tuple(requests), encode_batch(captured))


def _captured(request: str, place: int, version: str, traffic: Traffic, at_s: float) -> CapturedPrediction:
    label = f"class_{place % CLASSES}"
    others = {f"class_{other}": 0.0123456789 for other in range(CLASSES) if other != place % CLASSES}
    return CapturedPrediction(
        request_id=request,
        model=MODEL,
        model_version=version,
        traffic=traffic,
        at_s=at_s + place / 1_000,
        label=label,
        confidence=1 - sum(others.values()),
        probabilities={label: 1 - sum(others.values()), **others},
        inclusion_probability=1.0,
        text_digest=f"{hash(request) & 0xFFFFFFFFFFFFFFFF:016x}{place:016x}",
        tokens=12 + place % 50,
        tags={"language": "en"},
    )


if __name__ == "__main__":
    sys.exit(main())
