"""A text of ours that a replica does not take is our file's fault: the case, the file and the limit are named, and the
candidate is neither rejected nor rolled back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.replicas import HttpReplicas
from controller.core.release import Phase
from controller.errors import RefusedRequestError
from controller.loop.questions import ask
from serving.packaging.build import build_package
from suites.cases import SuiteError, load
from tests.controller.service import GOOD
from tests.controller.world import World, with_suite
from tests.serving.conftest import CHECKPOINT
from tests.serving.replica import replica


def add_case(path: Path, text: str) -> None:
    lines = path.read_text().splitlines()
    lines.insert(40, json.dumps({"id": "long-one", "text": text, "label": json.loads(lines[0])["label"]}))
    path.write_text("\n".join(lines))


@pytest.mark.parametrize("stable", [GOOD, None], ids=["beside stable", "first version"])
def test_a_text_over_the_replicas_limit_holds_the_release_and_is_named(tmp_path: Path, stable: object) -> None:
    policy = with_suite(tmp_path)
    add_case(tmp_path / "suite.jsonl", "refund " * 4_000)
    world = World(tmp_path, policy=policy).given(stable=stable, candidate=GOOD).when_settled()
    assert world.release.phase is Phase.HELD
    assert "suite.jsonl, line 41, case 'long-one'" in world.release.reason
    assert "at most 20000 characters, got 28000" in world.release.reason


def test_a_request_that_a_replica_refuses_is_no_fault_of_its_version(tmp_path: Path) -> None:
    """Any 4xx is about what we asked; the release waits for its deadline and is held, with the answer."""

    def refuse(_: str) -> tuple[int, ...]:
        raise RefusedRequestError("u refused the request with 413: a body may have at most 10 bytes")

    world = World(tmp_path).given().given_candidate("v7", GOOD)
    url = "http://intent-v7-shadow.test"
    world.replicas.running[url] = replace(world.replicas.running[url], tokenize=refuse)
    world.when_settled()
    assert world.release.phase is Phase.HELD
    assert "413: a body may have at most 10 bytes" in world.release.reason


def test_a_suite_that_is_away_holds_the_release_and_is_named(tmp_path: Path) -> None:
    policy = with_suite(tmp_path)
    (tmp_path / "suite.jsonl").unlink()
    world = World(tmp_path, policy=policy).given(candidate=GOOD).when_settled()
    assert world.release.phase is Phase.HELD
    assert "suite.jsonl: cannot be read: No such file" in world.release.reason


@pytest.mark.integration
def test_a_real_replicas_refusal_names_the_case_and_the_limit(tmp_path: Path) -> None:
    """One text too long, and texts that are too much for one request together: the second are asked in parts."""
    build_package(CHECKPOINT, tmp_path / "package")
    lines = [{"id": f"c{n}", "text": f"refund {n} " + "é" * 19_000, "label": "x"} for n in range(40)]
    path = tmp_path / "suite.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    replicas = HttpReplicas()
    with replica(tmp_path / "package") as running:
        assert len(ask(replicas, running.url, load(path).cases, "the candidate")) == 40
        with pytest.raises(RefusedRequestError, match="422: at most 20000 characters, got 20001") as refused:
            replicas.probabilities(running.url, ["short", "x" * 20_001])
        assert refused.value.place == 1
        add_case(path, "x" * 20_001)
        with pytest.raises(SuiteError, match=r"line 41, case 'long-one': .* \(20,001 characters\).* at most 20000"):
            ask(replicas, running.url, load(path).cases, "the candidate")
    replicas.close()
