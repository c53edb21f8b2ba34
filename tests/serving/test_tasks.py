"""One server for every task: its route, its batches, its limits; and the numbers of the engine, as documented."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.contract import (
    BATCH_SIZE_METRIC,
    CAPTURED_METRIC,
    INFO_ROUTE,
    PREDICT_ROUTE,
    TRUNCATED_METRIC,
    WINDOWED_METRIC,
    WINDOWS_METRIC,
)
from serving.inference.documents import ANSWERED
from serving.inference.engine import load
from serving.package.rules import AnswerRules, Task, Windows
from serving.packaging.build import build_package
from tests.serving.conftest import CHECKPOINT
from tests.serving.graphs import (
    DIMENSIONS,
    PROBABILITIES_APART,
    SCORES_APART,
    VECTORS_APART,
    embedding_checkpoint,
    package_of,
    span_checkpoint,
)
from tests.serving.replica import Replica, replica

pytestmark = pytest.mark.integration

TEXTS = ["where is my order", "Órder 🙂 refund", "i want to cancel it please " * 30, "control \x00\x1b[31m characters"]
CLASSES = Task.SEQUENCE_CLASSIFICATION
APART = {CLASSES: PROBABILITIES_APART, Task.EMBEDDING: VECTORS_APART, Task.TOKEN_CLASSIFICATION: SCORES_APART}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, Path]:
    """Each reads long texts in windows; the classifier keeps its own graph."""
    directory = tmp_path_factory.mktemp("tasks")
    build_package(CHECKPOINT, directory / "classes", rules=AnswerRules(windows=Windows(10)))
    states = embedding_checkpoint(directory / "embedding-checkpoint")
    spans = span_checkpoint(directory / "span-checkpoint")
    return {
        CLASSES: directory / "classes",
        Task.EMBEDDING: package_of(
            states, directory / "embedding", AnswerRules(Task.EMBEDDING, Windows(10), normalise=True)
        ),
        Task.TOKEN_CLASSIFICATION: package_of(
            spans, directory / "spans", AnswerRules(Task.TOKEN_CLASSIFICATION, Windows(10))
        ),
    }


@pytest.fixture(scope="module", params=list(Task))
def running(request: pytest.FixtureRequest, packages: dict[Task, Path]) -> Iterator[tuple[Task, Replica]]:
    # Nobody listens where captured predictions would go.
    with replica(packages[request.param], "--max-windows", "5", "--capture-url", "http://127.0.0.1:9") as it:
        yield request.param, it


def post(it: Replica, body: Any) -> httpx.Response:
    return httpx.post(it.url + PREDICT_ROUTE, json=body, trust_env=False, timeout=20)


def test_answers_are_the_engines_and_as_documented(running: tuple[Task, Replica], packages: dict[Task, Path]) -> None:
    task, it = running
    one, many = ANSWERED[task]
    together = many.model_validate_json(post(it, {"texts": TEXTS}).content).model_dump()["predictions"]
    for text, expected, answer in zip(TEXTS, load(packages[task]).answer(TEXTS), together, strict=True):
        alone = one.model_validate_json(post(it, {"text": text}).content).model_dump()
        for found in (answer, alone):
            assert numbers(task, found) == pytest.approx(numbers(task, in_documents(task, expected)), abs=APART[task])
        assert places(task, answer) == places(task, alone) == places(task, in_documents(task, expected))
        assert (answer["truncated"], answer["windows"]) == (False, alone["windows"])
    assert [answer["windows"] for answer in together] == [1, 1, 4, 1]


def in_documents(task: Task, answer: Any) -> dict[str, Any]:
    if task is CLASSES:
        return {"probabilities": dict(enumerate(answer.tolist()))}
    if task is Task.EMBEDDING:
        return {"embedding": answer.tolist()}
    return {"entities": [{"label": e.label, "start": e.start, "end": e.end, "score": e.score} for e in answer]}


def numbers(task: Task, answer: dict[str, Any]) -> list[float]:
    if task is CLASSES:
        return list(answer["probabilities"].values())
    return answer["embedding"] if task is Task.EMBEDDING else [e["score"] for e in answer["entities"]]


def places(task: Task, answer: dict[str, Any]) -> list[tuple[str, int, int]]:
    return [(e["label"], e["start"], e["end"]) for e in answer.get("entities", [])]


def test_long_texts_are_counted(running: tuple[Task, Replica]) -> None:
    _, it = running
    names = (WINDOWED_METRIC, WINDOWS_METRIC, TRUNCATED_METRIC, f"{BATCH_SIZE_METRIC}_sum")
    before = [it.total(name) for name in names]
    post(it, {"texts": TEXTS})
    grown = [it.total(name) - was for name, was in zip(names, before, strict=True)]
    assert grown == [1, 4, 0, 3 + 4], "windows are rows of the engine's calls"


def test_a_huge_text_is_refused_and_nobody_waits_for_it(running: tuple[Task, Replica]) -> None:
    """It names the text and the limit, and costs no engine call, its company's included."""
    _, it = running
    before = it.total(f"{BATCH_SIZE_METRIC}_sum")
    answer = post(it, {"texts": ["refund", "where is my order " * 400]})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["field"]) == (422, "text_too_long", "texts[1]")
    assert "31 windows of 64 tokens; at most 5" in error["message"]
    assert post(it, {"text": "where is my order " * 400}).json()["error"]["field"] == "text"
    assert post(it, {"text": "a" * 100_000}).json()["error"]["code"] == "text_too_long"
    assert it.total(f"{BATCH_SIZE_METRIC}_sum") == before


def test_bad_texts_are_refused_alike(running: tuple[Task, Replica]) -> None:
    _, it = running
    for text in ("", " \t\n"):
        assert post(it, {"text": text}).json()["error"]["code"] == "empty_text"


def test_the_replica_tells_its_task(running: tuple[Task, Replica]) -> None:
    task, it = running
    about = httpx.get(it.url + INFO_ROUTE, trust_env=False).json()
    assert (about["task"], about["variant"], about["variant_of"]) == (task, "fp32", None)
    assert about["windows"] == {"overlap_tokens": 10, "aggregate": "mean"}


def test_only_classes_are_sampled_for_the_gates(running: tuple[Task, Replica]) -> None:
    """What has none cannot be compared; it is served all the same, and no text of it leaves."""
    task, it = running
    post(it, {"text": "refund"})
    if task is not CLASSES:
        assert it.total(CAPTURED_METRIC) == 0
        assert "captured predictions" not in it.log.read_text()


def test_an_embedding_has_the_graphs_dimensions(packages: dict[Task, Path]) -> None:
    assert load(packages[Task.EMBEDDING]).dimensions == DIMENSIONS
