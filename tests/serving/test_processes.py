"""Several HTTP and inference processes are one replica: to its clients, in its counts, and in its end."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from serving.contract import (
    BATCH_SIZE_METRIC,
    BUSY_METRIC,
    CPU_METRIC,
    DURATION_METRIC,
    PREDICT_ROUTE,
    QUEUE_DEPTH_METRIC,
    REQUESTS_METRIC,
    START_METRIC,
    TOKENS_METRIC,
    WORKER_RESTARTS_METRIC,
    WORKERS_METRIC,
)
from tests.bench._load import Plan, Stream, load
from tests.patience import PATIENCE_S
from tests.serving.replica import Replica, replica, total, until
from tests.serving.test_life import all_gone

pytestmark = pytest.mark.integration

TWO_BY_TWO = ("--api-processes", "2", "--workers", "2")
SCRAPES = 8  # each on a connection of its own, so that each HTTP process answers some


@pytest.fixture
def running(built_package: Path) -> Iterator[Replica]:
    with replica(built_package, *TWO_BY_TWO) as it:
        until(lambda: it.total(WORKERS_METRIC) == 2, "both workers run")
        yield it


def served_by(running: Replica) -> dict[int, int]:
    """Connections by the process that has accepted them."""
    processes = running.family()[1:]
    established = {process.pid: process.net_connections("tcp") for process in processes}
    return {pid: sum(c.status == psutil.CONN_ESTABLISHED for c in found) for pid, found in established.items()}


def test_the_sum_of_what_is_counted_is_what_was_sent_whoever_is_asked(running: Replica) -> None:
    """Neither lost nor doubled, whichever process answered a request and whichever a scrape."""
    sent = [200] * 400 + [422] * 40
    bodies = {200: b'{"texts": ["refund", "where is my order"]}', 422: b"{}"}

    def send(codes: list[int]) -> None:
        with httpx.Client(base_url=running.url, trust_env=False, timeout=20) as client:
            for code in codes:
                assert client.post(PREDICT_ROUTE, content=bodies[code]).status_code == code
            everyone.wait()
            everyone.wait()

    connections = 20
    everyone = threading.Barrier(connections + 1)
    with ThreadPoolExecutor(connections) as pool:
        done = [pool.submit(send, sent[number::connections]) for number in range(connections)]
        everyone.wait(timeout=PATIENCE_S)
        shares = served_by(running)
        everyone.wait(timeout=PATIENCE_S)
        for one in done:
            one.result()
    assert sum(share > 0 for share in shares.values()) == 2, f"each HTTP process has a part of the clients: {shares}"
    for samples in [running.samples() for _ in range(SCRAPES)]:
        for code, count in Counter(sent).items():
            assert total(samples, REQUESTS_METRIC, code=str(code)) == count
        assert total(samples, REQUESTS_METRIC) == len(sent)
        assert total(samples, f"{DURATION_METRIC}_count") == 400
        assert total(samples, f"{DURATION_METRIC}_bucket", le="+Inf") == 400
        assert total(samples, f"{TOKENS_METRIC}_count") == 800
        assert total(samples, f"{BATCH_SIZE_METRIC}_sum") == 800
        assert total(samples, QUEUE_DEPTH_METRIC) == 0


def test_a_worker_that_is_killed_under_load_costs_its_requests_alone(running: Replica) -> None:
    """Each request is answered once, with a prediction or an error; counts go on, and the other worker never stops."""
    texts = [f"where is my order number {number}" for number in range(50)]
    names = (CPU_METRIC, BUSY_METRIC, f"{DURATION_METRIC}_sum", f"{BATCH_SIZE_METRIC}_sum", REQUESTS_METRIC)
    seen: dict[str, list[float]] = {name: [] for name in (*names, START_METRIC)}

    def scrape() -> None:
        samples = running.samples()
        for name, values in seen.items():
            values.append(total(samples, name))

    with load(Plan(running.url + PREDICT_ROUTE, [Stream(16, texts)], 60.0, requests_max=4000)) as it:
        until(lambda: running.total(REQUESTS_METRIC, code="200") > 500, "load has begun")
        scrape()
        running.family()[3].kill()
        until(lambda: running.total(WORKER_RESTARTS_METRIC) == 1, "the loss is counted")
        for _ in range(SCRAPES):
            scrape()
        answers = Counter(answer.status for answer in it.result().answers)
    assert answers.total() == 4000
    assert answers.keys() <= {200, 500}
    assert answers[500] <= 16, "no more than was under way"
    until(lambda: running.total(WORKERS_METRIC) == 2, "the worker is replaced")
    scrape()
    for name, values in seen.items():
        assert values == sorted(values), f"{name} went back: {values}"
    assert len(set(seen[START_METRIC])) == 1, "the replica is the same one, whoever is asked and whoever was replaced"
    for samples in [running.samples() for _ in range(SCRAPES)]:
        assert total(samples, REQUESTS_METRIC, code="200") == answers[200]
        assert total(samples, REQUESTS_METRIC, code="500") == answers[500]
    assert running.total(f"{BATCH_SIZE_METRIC}_sum") >= answers[200]


def test_the_replica_drains_every_process_and_leaves_none(running: Replica) -> None:
    family = running.family()
    assert len(family) == 5
    for worker in family[3:]:
        worker.suspend()
    with ThreadPoolExecutor(8) as pool:
        body = {"text": "where is my order"}
        answers = [
            pool.submit(httpx.post, running.url + PREDICT_ROUTE, json=body, trust_env=False, timeout=30)
            for _ in range(8)
        ]
        until(lambda: running.total(QUEUE_DEPTH_METRIC) == 8, "requests are under way")
        running.process.terminate()
        until(lambda: not running.is_healthy(), "no new request is wanted")
        for worker in family[3:]:
            worker.resume()
        assert [answer.result().status_code for answer in answers] == [200] * 8
    assert running.process.wait(PATIENCE_S) == 0
    assert all_gone(family)


@pytest.mark.parametrize("victim", [0, 1, 2], ids=["supervisor", "first HTTP process", "second HTTP process"])
def test_kill_9_leaves_nothing_behind(running: Replica, victim: int) -> None:
    family = running.family()
    family[victim].send_signal(signal.SIGKILL)
    until(lambda: all_gone(family), "every process has ended")
    assert running.process.wait(PATIENCE_S) != 0
