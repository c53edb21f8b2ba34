"""Suites asked of replicas: what was answered is kept until all is, and told meanwhile."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.local.suite_pace import BESIDE_USERS, Pace, paced
from controller.adapters.local.suites import SuiteRuns
from controller.core.events import Judged
from controller.core.release import Phase, Version
from controller.errors import TransientError
from controller.journal.answered import AnsweredBefore
from controller.journal.codec import event_of
from controller.ports.suites import Answered, NothingAnswered, Rows, Subject, SuiteOrder, SuiteProgress
from gates.offline.suite_replay import judge_suite_evidence
from gates.policy import GatePolicy
from gates.suite_evidence import SuiteEvidence
from suites.cases import SuiteError, load
from suites.runner import BATCH_CASES
from tests.controller.service import GOOD
from tests.controller.world import World, with_suite
from tests.fakes.replicas import FakeReplica, FakeReplicas

CASES = 100
UNHURRIED = Pace(BATCH_CASES, 1.0)
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


def runs(replicas: FakeReplicas, directory: Path, answered: Answered | None = None) -> SuiteRuns:
    return SuiteRuns(replicas, directory, answered, alone=UNHURRIED, beside_users=UNHURRIED)


@pytest.fixture
def order(tmp_path: Path) -> SuiteOrder:
    suite = tmp_path / "intents.jsonl"
    labels = ("billing", "orders", "other")
    lines = [json.dumps({"id": f"c{n}", "text": f"text {n}", "label": labels[n % 3]}) for n in range(CASES)]
    suite.write_text("\n".join(lines), encoding="utf-8")
    return SuiteOrder("intent", (str(suite),), CANDIDATE, Subject(Version("6", "m-6", "e" * 64), "http://six"))


def test_a_run_that_failed_goes_on_where_it_had_come_to(order: SuiteOrder, tmp_path: Path) -> None:
    """Also by another controller: the end is the same as of a run that nothing stopped."""
    whole = runs(Limping(100), tmp_path / "whole").run(order)
    replicas = Limping(2)
    with pytest.raises(TransientError):
        runs(replicas, tmp_path / "kept").run(order)
    again = runs(replicas, tmp_path / "kept")
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
    whole, replicas = runs(Limping(100), tmp_path / "whole").run(order), Limping(0)
    for size, answers in ((BATCH_CASES, 1), (BATCH_CASES - 5, 1), (7, 100)):
        monkeypatch.setattr("suites.runner.BATCH_CASES", size)
        replicas.left = answers
        if answers == 1:
            with pytest.raises(TransientError):
                runs(replicas, tmp_path / "kept").run(order)
    assert runs(replicas, tmp_path / "kept").run(order) == whole
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
        runs(replicas, tmp_path / "kept").run(order)
    replicas.left, replicas.asked = 100, []
    runs(replicas, tmp_path / "kept").run(replace(order, candidate=other, stable=None))
    assert sum(replicas.asked) == CASES


@pytest.mark.parametrize("damage", ["{", '[{"billing": 1.0}', ""])
def test_a_file_that_ends_in_the_middle_or_is_damaged_costs_questions_alone(
    order: SuiteOrder, tmp_path: Path, damage: str
) -> None:
    whole, replicas = runs(Limping(100), tmp_path / "whole").run(order), Limping(2)
    with pytest.raises(TransientError):
        runs(replicas, tmp_path / "kept").run(order)
    path = tmp_path / "kept" / "intent-v7.jsonl"
    path.write_text(path.read_text() + damage if damage else "")
    replicas.left = 100
    assert runs(replicas, tmp_path / "kept").run(order) == whole


def test_a_place_that_cannot_be_written_keeps_nothing_and_stops_nothing(order: SuiteOrder, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    assert runs(Limping(100), tmp_path / "kept").run(order).case_ids


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


# --- what is known is not asked again ---------------------------------------------------------------------------------
class Known(NothingAnswered):
    """What stable answered to files of these digests."""

    def __init__(self, rows: Mapping[str, Rows]) -> None:
        self.rows = rows

    def answers(self, model: str, subject: Subject, digests: Sequence[str]) -> Mapping[str, Rows]:
        assert (model, subject.version.number) == ("intent", "6")
        return {digest: rows for digest, rows in self.rows.items() if digest in digests}


def test_stable_is_not_asked_what_it_is_known_to_answer(order: SuiteOrder, tmp_path: Path) -> None:
    whole, replicas = runs(Limping(100), tmp_path / "whole").run(order), Limping(100)
    suite = load(Path(order.suites[0]))
    known = Known({suite.sha256: [predict(case.text) for case in suite.cases]})
    assert runs(replicas, tmp_path / "kept", known).run(order) == whole
    assert sum(replicas.asked) == CASES, "the candidate alone"


def test_of_two_files_the_one_that_is_new_is_asked(order: SuiteOrder, tmp_path: Path) -> None:
    suite, more = load(Path(order.suites[0])), tmp_path / "more.jsonl"
    more.write_text('{"id": "new", "text": "a new text", "label": "other"}')
    both = replace(order, suites=(*order.suites, str(more)))
    whole, replicas = runs(Limping(100), tmp_path / "whole").run(both), Limping(100)
    known = Known({suite.sha256: [predict(case.text) for case in suite.cases]})
    assert runs(replicas, tmp_path / "kept", known).run(both) == whole
    assert sum(replicas.asked) == (CASES + 1) + 1


def test_a_later_release_takes_stables_answers_from_the_journal(tmp_path: Path) -> None:
    """Version 7 was asked as a candidate; it serves when version 8 is held against it on the same file."""
    world = World(tmp_path, policy=with_suite(tmp_path, probation_s=10.0)).given(stable=GOOD, candidate=GOOD)
    world.when(lambda: world.release.phase is Phase.PROMOTED)
    asked = list[str]()
    ask = FakeReplicas.probabilities

    def counted(replicas: FakeReplicas, url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        asked.extend([url] * len(texts))
        return ask(replicas, url, texts)

    world.replicas.probabilities = partial(counted, world.replicas)  # type: ignore[method-assign]
    world.given_candidate("v8", GOOD).when_phase(Phase.SHADOW)
    assert world.release.candidate.number == "8"
    assert {url.split("-v")[1][0] for url in asked} == {"8"}
    assert len(asked) == 300
    first, second = (suites_of(world, number) for number in ("7", "8"))
    assert second.stable == first.candidate


def suites_of(world: World, number: str) -> SuiteEvidence:
    """What the suites of the version's release were judged by."""
    (record,) = (one for one in world.journal.releases() if one.version == number)
    events = (event_of(recorded.entry) for recorded in world.journal.entries(record.release_id))
    (found,) = (event.suites for event in events if isinstance(event, Judged) and event.suites is not None)
    return found


@pytest.mark.parametrize(
    ("other", "known"),
    [
        ({}, True),
        ({"settings": "other settings"}, False),
        ({"version": Version("7", "m-7", "0" * 64)}, False),
        ({"version": Version("7", "m-7")}, False),
    ],
)
def test_answers_are_of_the_very_version_and_its_settings(
    tmp_path: Path, other: Mapping[str, Any], *, known: bool
) -> None:
    world = World(tmp_path, policy=with_suite(tmp_path)).given(stable=GOOD, candidate=GOOD).when_phase(Phase.SHADOW)
    digest = load(tmp_path / "suite.jsonl").sha256
    subject = replace(Subject(world.release.candidate, "http://seven"), **other)
    found = AnsweredBefore(world.journal).answers("intent", subject, [digest])
    assert (set(found), {len(rows) for rows in found.values()}) == (({digest}, {300}) if known else (set(), set()))
    assert AnsweredBefore(world.journal).answers("intent", subject, ["0" * 64]) == {}


# --- our own mistakes -------------------------------------------------------------------------------------------------
def test_a_file_that_is_wrong_is_not_asked_again_until_it_changes(order: SuiteOrder, tmp_path: Path) -> None:
    """A label that no version has: each round would ask thousands of cases of the replica that serves users."""
    path, replicas = Path(order.suites[0]), Limping(100)
    right = path.read_text()
    path.write_text(right + '\n{"id": "x", "text": "x", "label": "Billing"}')
    suites = runs(replicas, tmp_path / "kept")
    for restarted in ("http://seven", "http://seven", "http://seven"):
        with pytest.raises(SuiteError, match="'Billing' is not a class of either version; did you mean 'billing'"):
            suites.run(replace(order, candidate=replace(CANDIDATE, url=restarted)))
    assert sum(replicas.asked) == 2 * (CASES + 1)
    path.write_text(right)
    assert suites.run(order).case_ids[-1] == f"c{CASES - 1}"


def test_another_model_is_asked_all_the_same(order: SuiteOrder, tmp_path: Path) -> None:
    suites, wrong = runs(Limping(100), tmp_path / "kept"), tmp_path / "wrong.jsonl"
    wrong.write_text("{")
    with pytest.raises(SuiteError):
        suites.run(replace(order, suites=(str(wrong),)))
    assert suites.run(replace(order, model="topic")).case_ids


def test_a_class_that_stable_does_not_know_is_a_case_that_it_has_wrong(order: SuiteOrder, tmp_path: Path) -> None:
    """A class set may grow: what the candidate alone knows is judged, and told."""
    Path(order.suites[0]).write_text('{"id": "n", "text": "new", "label": "closed"}\n', encoding="utf-8")
    replicas = Limping(100)
    replicas.running["http://seven"] = FakeReplica(
        "f" * 64, lambda text: tuple(text.encode()), lambda _: {"billing": 0.1, "closed": 0.9}
    )
    evidence = runs(replicas, tmp_path / "kept").run(order)
    accuracy, _ = judge_suite_evidence(evidence, GatePolicy())
    assert "stable has no class 'closed' (1 case): its answers there are wrong" in accuracy.reason


# --- the pace ---------------------------------------------------------------------------------------------------------
def test_a_replica_with_users_rests_most_of_the_time() -> None:
    """By how long it takes: one that its users keep busy is asked less."""
    now_s, rested, asked = [0.0], list[float](), list[int]()

    def slow(texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        asked.append(len(texts))
        now_s[0] += 0.02 * len(texts)
        return [predict(text) for text in texts]

    texts = [f"text {number}" for number in range(7)]
    found = paced(slow, BESIDE_USERS, now_s=lambda: now_s[0], rest=rested.append)(texts)
    assert found == [predict(text) for text in texts]
    assert asked == [1] * 7
    assert now_s[0] / (now_s[0] + sum(rested)) == pytest.approx(BESIDE_USERS.busy_ratio)
