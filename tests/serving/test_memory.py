"""Memory stays flat, however many requests of however many shapes have come."""

import random
from pathlib import Path

import psutil
import pytest

from serving.contract import PREDICT_ROUTE
from tests.bench._load import Plan, Stream, load
from tests.serving.replica import Replica, replica

pytestmark = pytest.mark.integration

REQUESTS = 4000
GROWTH_BYTES_MAX = 4e6  # a leak of 1 kB a request; a pool that grows once more is less


def private_bytes(running: Replica) -> dict[int, int]:
    """By process: what it holds that no other shares, which is where a leak would be."""
    return {process.pid: psutil.Process(process.pid).memory_full_info().uss for process in running.family()}


def test_memory_is_flat_over_many_requests(built_package: Path) -> None:
    words = ["where", "is", "my", "order", "refund", "please", "nonsense"]
    draw = random.Random(1)
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 70))) for _ in range(500)]
    lists = [draw.sample(texts, draw.randint(1, 8)) for _ in range(100)]
    with replica(built_package) as running:
        streams = [Stream(12, texts), Stream(4, lists)]

        def serve(requests: int) -> None:
            with load(Plan(running.url + PREDICT_ROUTE, streams, 120.0, requests)) as it:
                assert {answer.status for answer in it.result().answers} == {200}

        serve(REQUESTS // 2)  # every shape has been seen, every pool has its size
        before = private_bytes(running)
        serve(REQUESTS)
        growth = {pid: now - before[pid] for pid, now in private_bytes(running).items()}
    assert max(growth.values()) < GROWTH_BYTES_MAX, growth
