"""Suites asked of replicas: what was answered is kept until all is, and told meanwhile."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controller.adapters.local.suites import SuiteRuns
from controller.core.release import Phase, Version
from controller.errors import TransientError
from controller.ports.suites import Subject, SuiteOrder, SuiteProgress
from suites.runner import BATCH_CASES
from tests.controller.service import GOOD
from tests.controller.world import World, with_suite
from tests.fakes.replicas import FakeReplica, FakeReplicas

CASES = 100
CANDIDATE = Subject(Version("7", "m-7", "f" * 64), "http://seven", "2b")


class Limping(FakeReplicas):
    """Answers so many times, and then no more."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.left = answers
        self.asked: list[int] = []
        for url in ("http://six", "http://seven"):
            self.running[url] = FakeReplica("f" * 64, lambda text: tuple(text.encode()), predict)

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        if self.left == 0:
            raise TransientError("deployments", "it did not answer")
        self.left -= 1
        self.asked.append(len(texts))
        return super().probabilities(url, texts)


def predict(text: str) -> Mapping[str, float]:
    share = (1 + sum(text.encode()) % 3) / 7  # another one for the texts beside it
    return {"billing": share, "orders": 0.5 - share / 2, "other": 0.5 - share / 2}


@pytest.fixture
def order(tmp_path: Path) -> SuiteOrder:
    suite = tmp_path / "intents.jsonl"
    labels = ("billing", "orders", "other")
    lines = [json.dumps({"id": f"c{n}", "text": f"text {n}", "label": labels[n % 3]}) for n in range(CASES)]
    suite.write_text("\n".join(lines), encoding="utf-8")
    return SuiteOrder("intent", (str(suite),), CANDIDATE, Subject(Version("6", "m-6", "e" * 64), "http://six"))


def test_a_run_that_failed_goes_on_where_it_had_come_to(order: SuiteOrder, tmp_path: Path) -> None:
    """Also by another controller: the end is the same as of a run that nothing stopped."""
    whole = SuiteRuns(Limping(100), tmp_path / "whole").run(order)
    replicas = Limping(2)
    with pytest.raises(TransientError):
        SuiteRuns(replicas, tmp_path / "kept").run(order)
    again = SuiteRuns(replicas, tmp_path / "kept")
    assert again.progress("intent") == [SuiteProgress("7", ("intents.jsonl",), 2 * BATCH_CASES, CASES)]
    assert again.progress("topic") == []
    replicas.left = 3  # the rest of the candidate, and a part of stable
    with pytest.raises(TransientError):
        again.run(order)
    assert [(one.version, one.asked) for one in again.progress("intent")] == [("6", BATCH_CASES), ("7", CASES)]
    replicas.left = 100
    assert again.run(order) == whole
    assert sum(replicas.asked) == 2 * CASES
    assert again.progress("intent") == []


def test_each_answer_stays_with_its_text_where_parts_are_of_another_size(
    order: SuiteOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another version of Serin may ask them: what is kept ends in the middle of a part, and the rest follows it."""
    whole, replicas = SuiteRuns(Limping(100), tmp_path / "whole").run(order), Limping(0)
    for size, answers in ((BATCH_CASES, 1), (BATCH_CASES - 5, 1), (7, 100)):
        monkeypatch.setattr("suites.runner.BATCH_CASES", size)
        replicas.left = answers
        if answers == 1:
            with pytest.raises(TransientError):
                SuiteRuns(replicas, tmp_path / "kept").run(order)
    assert SuiteRuns(replicas, tmp_path / "kept").run(order) == whole
    assert sum(replicas.asked) == 2 * CASES


@pytest.mark.parametrize(
    "other",
    [
        replace(CANDIDATE, version=Version("7", "m-7", "0" * 64)),
        replace(CANDIDATE, settings=""),
    ],
)
def test_answers_of_another_package_or_with_other_settings_are_of_no_use(
    order: SuiteOrder, tmp_path: Path, other: Subject
) -> None:
    replicas = Limping(2)
    with pytest.raises(TransientError):
        SuiteRuns(replicas, tmp_path / "kept").run(order)
    replicas.left, replicas.asked = 100, []
    SuiteRuns(replicas, tmp_path / "kept").run(replace(order, candidate=other, stable=None))
    assert sum(replicas.asked) == CASES


@pytest.mark.parametrize("damage", ["{", '[{"billing": 1.0}', ""])
def test_a_file_that_ends_in_the_middle_or_is_damaged_costs_questions_alone(
    order: SuiteOrder, tmp_path: Path, damage: str
) -> None:
    whole, replicas = SuiteRuns(Limping(100), tmp_path / "whole").run(order), Limping(2)
    with pytest.raises(TransientError):
        SuiteRuns(replicas, tmp_path / "kept").run(order)
    path = tmp_path / "kept" / "intent-v7.jsonl"
    path.write_text(path.read_text() + damage if damage else "")
    replicas.left = 100
    assert SuiteRuns(replicas, tmp_path / "kept").run(order) == whole


def test_a_place_that_cannot_be_written_keeps_nothing_and_stops_nothing(order: SuiteOrder, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    assert SuiteRuns(Limping(100), tmp_path / "kept").run(order).case_ids


def test_a_release_is_told_no_answer_twice(tmp_path: Path) -> None:
    """The candidate is away for a moment in the middle of its suite: the deadline is the release's own."""
    world = World(tmp_path, policy=with_suite(tmp_path)).given(stable=GOOD, candidate=GOOD)
    asked, limit = list[str](), [4]

    def interrupt(point: str) -> None:
        if point == "before replicas.probabilities":
            if len(asked) == limit[0]:
                raise TransientError("deployments", "away")
            asked.append(point)

    world.interrupt = interrupt
    world.when(lambda: bool(world.release.faults))
    assert (world.release.phase, len(asked)) == (Phase.SUITE, 4)
    limit[0] = 1_000
    world.when_settled()
    assert world.release.phase is Phase.PROBATION
    assert len(asked) == 2 * -(-300 // BATCH_CASES)
