"""One real replica: what it answers, refuses and counts."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.contract import (
    BATCH_SIZE_METRIC,
    BUSY_METRIC,
    COLD_REQUESTS_METRIC,
    CORES_METRIC,
    CPU_METRIC,
    DURATION_METRIC,
    INFO_METRIC,
    INFO_ROUTE,
    MEMORY_LIMIT_METRIC,
    MODEL_LABEL,
    MODEL_VERSION_HEADER,
    PREDICT_ROUTE,
    QUEUE_DEPTH_METRIC,
    REQUEST_ID_HEADER,
    REQUESTS_METRIC,
    RESIDENT_MEMORY_METRIC,
    TOKENIZE_ROUTE,
    TOKENIZER_LABEL,
    TOKENS_METRIC,
    TRUNCATED_METRIC,
    UNKNOWN_TOKENS_METRIC,
    VERSION_LABEL,
    WORKER_RESTARTS_METRIC,
)
from serving.inference.engine import Engine
from serving.package.artifact import TOKENIZER_FILE, read_manifest
from tests.serving.graphs import PROBABILITIES_APART
from tests.serving.replica import Replica, replica, until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def running(built_package: Path) -> Iterator[Replica]:
    with replica(
        built_package, "--objective-ms", "200", "--max-text-chars", "500", "--max-texts", "8", version="7"
    ) as it:
        yield it


@pytest.fixture(scope="module")
def client(running: Replica) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, trust_env=False, timeout=20) as it:
        yield it


def test_one_text_gets_one_answer(client: httpx.Client, built_package: Path) -> None:
    answer = client.post(PREDICT_ROUTE, json={"text": "where is my order"}, headers={REQUEST_ID_HEADER: "r-1"})
    engine = Engine(built_package, read_manifest(built_package)[0])
    (row,) = engine.predict(["where is my order"])
    body = answer.json()
    assert answer.status_code == 200
    assert answer.headers[REQUEST_ID_HEADER] == "r-1"
    assert answer.headers[MODEL_VERSION_HEADER] == "7"
    assert body.keys() == {"label", "probabilities", "truncated", "model", "model_version", "request_id"}
    assert (body["model"], body["model_version"], body["request_id"]) == ("intent", "7", "r-1")
    assert list(body["probabilities"].values()) == pytest.approx(list(row.probabilities), abs=PROBABILITIES_APART)
    assert body["label"] == max(body["probabilities"], key=body["probabilities"].get)
    assert body["truncated"] is False


def test_many_texts_get_their_answers_in_their_order(client: httpx.Client) -> None:
    texts = ["refund", "where is my order", "cancel it please " * 25]
    body = client.post(PREDICT_ROUTE, json={"texts": texts}).json()
    alone = [client.post(PREDICT_ROUTE, json={"text": text}).json() for text in texts]
    assert [entry["truncated"] for entry in body["predictions"]] == [False, False, True]
    for together, single in zip(body["predictions"], alone, strict=True):
        assert together["probabilities"] == pytest.approx(single["probabilities"], abs=PROBABILITIES_APART)


def test_a_request_without_an_id_gets_one(client: httpx.Client) -> None:
    answer = client.post(PREDICT_ROUTE, json={"text": "refund"})
    assert answer.json()["request_id"] == answer.headers[REQUEST_ID_HEADER] != ""


BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "invalid_json"),
    (b"{", 400, "invalid_json"),
    (b"{}", 422, "missing_text"),
    (b'{"text": 5}', 422, "wrong_type"),
    (b'{"text": " "}', 422, "empty_text"),
    (b'{"text": "' + b"a" * 501 + b'"}', 422, "text_too_long"),
    (json.dumps({"texts": ["a"] * 9}).encode(), 422, "too_many_texts"),
    (b'{"text": "' + b"a" * 10_000_000 + b'"}', 413, "body_too_large"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_BODIES, ids=[f"{case[2]}-{case[1]}" for case in BAD_BODIES])
def test_bad_input_gets_a_reason_and_never_reaches_the_model(
    running: Replica, client: httpx.Client, body: bytes, status: int, code: str
) -> None:
    before = running.total(f"{BATCH_SIZE_METRIC}_count")
    answer = client.post(PREDICT_ROUTE, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert answer.headers[MODEL_VERSION_HEADER] == "7"
    assert running.total(f"{BATCH_SIZE_METRIC}_count") == before


def test_a_long_body_without_a_declared_length_is_refused_too(client: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(200):
            yield b"a" * 50_000

    assert client.post(PREDICT_ROUTE, content=chunks()).status_code == 413


def test_a_client_that_goes_away_is_not_counted_as_a_failure_of_the_version(running: Replica) -> None:
    abandoned, failed = (running.total(REQUESTS_METRIC, code=code) for code in ("400", "500"))
    address = httpx.URL(running.url)
    with socket.create_connection((address.host, address.port or 80)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nhost: serin.localhost\r\ncontent-length: 100\r\n\r\n{")
    until(lambda: running.total(REQUESTS_METRIC, code="400") == abandoned + 1, "the abandoned request is counted")
    assert running.total(REQUESTS_METRIC, code="500") == failed


@pytest.mark.parametrize(("method", "path", "status"), [("GET", PREDICT_ROUTE, 405), ("GET", "/nowhere", 404)])
def test_every_error_has_the_same_form(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"].keys() == {"code", "message"}


def test_the_replica_tells_what_it_runs(client: httpx.Client, built_package: Path) -> None:
    manifest, digest = read_manifest(built_package)
    body = client.get(INFO_ROUTE).json()
    assert (body["model"], body["model_version"], body["fingerprint"]) == ("intent", "7", digest)
    assert tuple(body["labels"]) == manifest.labels
    assert body["library_versions"].keys() >= {"onnxruntime", "tokenizers"}


def test_the_running_tokenizer_can_be_probed_with_the_golden_texts(client: httpx.Client, package: Path) -> None:
    """An upgraded library may give silently other token ids from identical files: the running replica is asked."""
    golden = read_manifest(package)[0].golden
    short = [entry for entry in golden if len(entry.text) <= 500]
    for at in range(0, len(short), 8):
        part = short[at : at + 8]
        body = client.post(TOKENIZE_ROUTE, json={"texts": [entry.text for entry in part]}).json()
        assert [tuple(ids) for ids in body["token_ids"]] == [entry.token_ids for entry in part]


def test_counts_are_exact_under_concurrency(running: Replica) -> None:
    """Every request once, by traffic and code, whichever process answered it."""
    before = running.samples()
    sent = [("live", 200)] * 150 + [("shadow", 200)] * 100 + [("live", 422)] * 30 + [("shadow", 400)] * 20

    def send(case: tuple[str, int]) -> int:
        traffic, code = case
        bodies = {200: b'{"texts": ["refund", "where is zzz"]}', 422: b"{}", 400: b"{"}
        url = running.shadow_url if traffic == "shadow" else running.url
        return pooled.post(url + PREDICT_ROUTE, content=bodies[code]).status_code

    with httpx.Client(trust_env=False, timeout=20) as pooled, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(send, sent)) == [code for _, code in sent]
    after = running.samples()

    def grown(name: str, **labels: str) -> float:
        def total(samples: Any) -> float:
            wanted = frozenset(labels.items())
            return sum(value for (found, carried), value in samples.items() if found == name and carried >= wanted)

        return total(after) - total(before)

    for (traffic, code), count in Counter(sent).items():
        assert grown(REQUESTS_METRIC, traffic=traffic, code=str(code)) == count
    assert grown(REQUESTS_METRIC) == len(sent)
    assert grown(f"{DURATION_METRIC}_count", traffic="live") == 150, "refusals do not flatter the latency"
    assert grown(f"{DURATION_METRIC}_count", traffic="shadow") == 100
    assert grown(f"{TOKENS_METRIC}_count") == 2 * 250
    assert grown(UNKNOWN_TOKENS_METRIC) == 250
    assert grown(f"{BATCH_SIZE_METRIC}_sum") == 2 * 250


def test_the_port_marks_shadow_requests(running: Replica, client: httpx.Client) -> None:
    before = running.total(REQUESTS_METRIC, traffic="shadow")
    client.post(running.shadow_url + PREDICT_ROUTE, json={"text": "refund"})
    assert running.total(REQUESTS_METRIC, traffic="shadow") == before + 1


def test_truncated_texts_are_counted(running: Replica, client: httpx.Client) -> None:
    before = running.total(TRUNCATED_METRIC)
    client.post(PREDICT_ROUTE, json={"text": "please " * 70})
    assert running.total(TRUNCATED_METRIC) == before + 1


def test_every_sample_carries_model_and_version(running: Replica) -> None:
    for name, labels in running.samples():
        carried = dict(labels)
        assert (carried.get(MODEL_LABEL), carried.get(VERSION_LABEL)) == ("intent", "7"), name


def test_there_is_a_bucket_edge_exactly_at_the_objective(running: Replica) -> None:
    """So "share above 200 ms" is a count, not an interpolation."""
    edges = {dict(labels)["le"] for name, labels in running.samples() if name == f"{DURATION_METRIC}_bucket"}
    assert "0.2" in edges


def test_the_replica_reports_its_own_resources(running: Replica) -> None:
    assert 20e6 < running.total(RESIDENT_MEMORY_METRIC) < 1e9
    assert running.total(CPU_METRIC) > 0
    assert running.total(QUEUE_DEPTH_METRIC) == 0
    assert running.total(COLD_REQUESTS_METRIC) == 0
    assert running.total(INFO_METRIC) == 1
    assert running.total(MEMORY_LIMIT_METRIC) > running.total(RESIDENT_MEMORY_METRIC)
    assert running.total(CORES_METRIC) >= 1
    assert running.total(WORKER_RESTARTS_METRIC) == 0


def test_time_spent_computing_grows_with_the_work(running: Replica, client: httpx.Client) -> None:
    """Requests over it are what a replica can do, however much or little it is asked."""
    before = running.total(BUSY_METRIC)
    client.post(PREDICT_ROUTE, json={"texts": ["please cancel my order " * 10] * 8})
    assert 0 < running.total(BUSY_METRIC) - before < 20


def test_the_tokenizer_that_runs_can_be_compared_with_the_pinned_one(running: Replica, built_package: Path) -> None:
    """The digest of the file as it was when it was loaded, under the name that the manifest pins it by."""
    pinned = read_manifest(built_package)[0].files[TOKENIZER_FILE].sha256
    (told,) = [dict(labels)[TOKENIZER_LABEL] for name, labels in running.samples() if name == INFO_METRIC]
    assert told == pinned
