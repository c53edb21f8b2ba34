"""The CI step: red unless proven, one result a gate, and files that third parties can read."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from controller.adapters.replicas import HttpReplicas
from controller.errors import PermanentError, TransientError, UsageError
from controller.offline.ci_gate import GateResult, Question, World, run_gate
from controller.offline.ci_gate_files import summary, write_json, write_junit, write_summary
from gates.outcome import Outcome
from gates.policy import GatePolicy, SuitePolicy
from gates.verdict import Stage, Verdict
from serving.package.artifact import ArtifactError
from serving.packaging.build import build_package
from suites.cases import load
from tests.controller.test_output_schema import checked
from tests.serving.replica import REPOSITORY, replica

CASES = 400
POLICY = GatePolicy(suite=SuitePolicy(accuracy_min=0.8, calibration_gap_max=0.15))
SURE = 0.9


@dataclass
class Models:
    """Packages by name, each answering a share of the cases rightly; what was served, and what is being served."""

    accuracy: Mapping[str, float]
    root: Path
    served: list[str] = field(default_factory=list)
    running: int = 0
    outage: Exception | None = None

    @property
    def world(self) -> World:
        return World(self._obtain, self._serve, self)

    def _obtain(self, uri: str) -> Path:
        if self.outage is not None:
            raise self.outage
        return self.root / uri.rsplit("/", 1)[-1]

    @contextmanager
    def _running(self, package: Path) -> Iterator[str]:
        self.served.append(package.name)
        self.running += 1
        try:
            yield package.name
        finally:
            self.running -= 1

    def _serve(self, package: Path) -> AbstractContextManager[str]:
        return self._running(package)

    def token_ids(self, url: str, texts: Sequence[str]) -> Sequence[Sequence[int]]:
        assert url in self.accuracy
        return [tuple(text.casefold().encode()) for text in texts]

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]:
        return [self._answer(url, text) for text in texts]

    def _answer(self, url: str, text: str) -> Mapping[str, float]:
        """Right in exactly the share of numbers below the accuracy; as sure as the model is right."""
        number, truth = text.split()
        right = int(number) % 100 < 100 * self.accuracy[url]
        other = "login" if truth == "refund" else "refund"
        return {truth: SURE, other: 1 - SURE} if right else {truth: 1 - SURE, other: SURE}


def suite(path: Path, count: int = CASES, *, first: int = 0) -> Path:
    draw = random.Random(1)
    lines = []
    for number in range(count):
        truth, text = draw.choice(("refund", "login")), first + number
        slices = ["typo"] if number % 100 >= 80 else ["clean"]
        lines.append(json.dumps({"id": f"c{number}", "text": f"{text} {truth}", "label": truth, "slices": slices}))
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models({"7": 0.91, "6": 0.91, "5": 0.5, "4": 0.84}, tmp_path)


@pytest.fixture
def ask(models: Models, tmp_path: Path) -> Callable[..., GateResult]:
    file = suite(tmp_path / "suite.jsonl")

    def run(model: str, **changes: object) -> GateResult:
        question = Question(model, (file,), policy=POLICY)
        return run_gate(replace(question, **changes), models.world)  # type: ignore[arg-type]

    return run


def result_of(*outcomes: Outcome, advisory: bool = False) -> GateResult:
    verdicts = tuple(
        Verdict(f"gate.{outcome}", Stage.SUITE, outcome, f"It is {outcome}.", advisory=advisory) for outcome in outcomes
    )
    return GateResult("models:/intent/7", None, ("suite.jsonl",), verdicts)


# --- exit codes -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ((Outcome.PASS, Outcome.PASS), 0),
        ((Outcome.PASS, Outcome.FAIL, Outcome.ERROR), 1),
        ((Outcome.PASS, Outcome.INCONCLUSIVE), 3),
        ((Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.ERROR), 4),
        ((), 3),
    ],
)
def test_only_a_pass_is_green(outcomes: tuple[Outcome, ...], code: int) -> None:
    """0 pass, 1 fail, 3 inconclusive, 4 could not judge; nothing judged at all is no pass."""
    assert result_of(*outcomes).exit_code == code


def test_an_advisory_gate_alone_proves_nothing() -> None:
    assert result_of(Outcome.PASS, advisory=True).exit_code == 3


# --- judging ----------------------------------------------------------------------------------------------------------
def test_a_good_model_passes(ask: Callable[..., GateResult], models: Models) -> None:
    """It is served once, and nothing is left running."""
    found = ask("models:/intent/7")
    assert (found.outcome, found.exit_code) == (Outcome.PASS, 0)
    assert [verdict.gate for verdict in found.verdicts] == ["accuracy.suite", "calibration.suite"]
    assert (models.served, models.running) == (["7"], 0)


def test_a_bad_model_fails_and_the_worst_slice_comes_first(ask: Callable[..., GateResult]) -> None:
    """promptfoo 5847: an average hides nothing; each slice's wrong answers are counted."""
    found = ask("models:/intent/5")
    assert found.exit_code == 1
    assert "failed accuracy.suite" in found.sentence
    assert [(part.name, part.wrong, part.cases) for part in found.slices] == [
        ("", 200, 400), ("typo", 80, 80), ("clean", 120, 320),
    ]  # fmt: skip
    assert len(found.wrong) == 10


def test_a_loss_against_the_baseline_fails_above_the_floor(ask: Callable[..., GateResult], models: Models) -> None:
    """One after the other, on the same cases: two replicas never run at once."""
    found = ask("models:/intent/4", baseline="models:/intent/6")
    assert found.exit_code == 1
    assert models.served == ["4", "6"]
    assert "worse" in found.verdicts[0].reason or "loss" in found.verdicts[0].reason


def test_too_few_cases_are_inconclusive(models: Models, tmp_path: Path) -> None:
    file = suite(tmp_path / "small.jsonl", 20)
    found = run_gate(Question("models:/intent/7", (file,), policy=POLICY), models.world)
    assert (found.outcome, found.exit_code) == (Outcome.INCONCLUSIVE, 3)


def test_a_directory_is_a_model_too(ask: Callable[..., GateResult], models: Models, tmp_path: Path) -> None:
    """Without a registry: the package as it lies on disk."""
    (tmp_path / "7").mkdir()
    models.outage = TransientError("registry", "there is none")
    assert ask(str(tmp_path / "7")).exit_code == 0


def test_two_suites_may_use_the_same_ids(models: Models, tmp_path: Path) -> None:
    files = (suite(tmp_path / "a.jsonl"), suite(tmp_path / "b.jsonl", first=CASES))
    found = run_gate(Question("models:/intent/7", files, policy=POLICY), models.world)
    assert found.verdicts[0].samples == 2 * CASES
    assert found.suites == ("a.jsonl", "b.jsonl")


# --- what keeps it from judging ---------------------------------------------------------------------------------------
def test_a_registry_that_is_away_is_an_error_and_no_failure(ask: Callable[..., GateResult], models: Models) -> None:
    models.outage = TransientError("registry", "connection refused")
    found = ask("models:/intent/7")
    assert found.exit_code == 4
    assert "registry does not answer: connection refused" in found.verdicts[0].reason


def test_a_package_that_is_not_what_its_manifest_says_fails(ask: Callable[..., GateResult], models: Models) -> None:
    models.outage = ArtifactError("model.onnx", "its SHA-256 is not the manifest's")
    found = ask("models:/intent/7")
    assert found.exit_code == 1
    assert "model.onnx" in found.verdicts[0].reason


def test_a_broken_baseline_is_not_the_candidates_fault(
    ask: Callable[..., GateResult], models: Models, tmp_path: Path
) -> None:
    (tmp_path / "7").mkdir()
    models.outage = ArtifactError("model.onnx", "is missing")
    found = ask(str(tmp_path / "7"), baseline="models:/intent/6")
    assert found.exit_code == 4
    assert "baseline" in found.verdicts[0].reason


def test_a_permanent_refusal_is_an_error(ask: Callable[..., GateResult], models: Models) -> None:
    models.outage = PermanentError("no version 7 of intent")
    assert ask("models:/intent/7").exit_code == 4


def test_a_suite_that_cannot_be_used_is_the_callers_mistake(models: Models, tmp_path: Path) -> None:
    """Exit code 2: the file, the line and the field are named."""
    with pytest.raises(UsageError, match="suite is needed"):
        run_gate(Question("models:/intent/7", ()), models.world)
    with pytest.raises(UsageError, match=r"missing\.jsonl"):
        run_gate(Question("models:/intent/7", (tmp_path / "missing.jsonl",)), models.world)
    odd = tmp_path / "odd.jsonl"
    odd.write_text(json.dumps({"id": "1", "text": "1 refund", "label": "unheard_of"}))
    with pytest.raises(
        UsageError, match=r"odd\.jsonl, line 1, case '1': the label 'unheard_of' is not a class of the version"
    ):
        run_gate(Question("models:/intent/7", (odd,)), models.world)


@pytest.mark.integration
def test_a_real_replica_of_a_committed_checkpoint_is_judged(tmp_path: Path) -> None:
    """The whole step with nothing in memory: a package, `python -m serving`, HTTP, the committed suite."""
    checkpoints = REPOSITORY / "suites" / "intents"
    build_package(checkpoints / "checkpoints" / "v1", tmp_path / "v1")
    asked: list[str] = []

    @contextmanager
    def serve(package: Path) -> Iterator[str]:
        with replica(package) as running:
            asked.append(running.url)
            yield running.url

    def obtain(uri: str) -> Path:
        raise PermanentError(f"no registry for {uri}")

    replicas = HttpReplicas()
    question = Question(str(tmp_path / "v1"), (checkpoints / "suite.jsonl",))
    found = run_gate(question, World(obtain, serve, replicas))
    replicas.close()
    accuracy = found.verdicts[0]
    assert (accuracy.gate, accuracy.outcome) == ("accuracy.suite", Outcome.PASS), found.sentence
    assert accuracy.samples == len(load(checkpoints / "suite.jsonl").cases)
    assert len(asked) == 1


# --- files ------------------------------------------------------------------------------------------------------------
def test_junit_has_one_case_a_gate(ask: Callable[..., GateResult], tmp_path: Path) -> None:
    """promptfoo 1441: 200 wrong answers are one failed gate with their summary, not 200 failures."""
    found = ask("models:/intent/5")
    write_junit(found, tmp_path / "new" / "junit.xml")
    (read,) = JUnitXml.fromfile(str(tmp_path / "new" / "junit.xml"))
    cases = {case.name: case for case in read}
    assert set(cases) == {"accuracy.suite", "calibration.suite"}
    (failure,) = cases["accuracy.suite"].result
    assert isinstance(failure, Failure)
    assert failure.message == found.verdicts[0].reason
    assert "typo: 80 of 80 wrong" in failure.text
    assert read.failures >= 1
    assert read.tests == 2


def test_junit_shows_nothing_unproven_as_green(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    write_junit(result_of(*Outcome), path)
    (read,) = JUnitXml.fromfile(str(path))
    kinds = {case.name: [type(result) for result in case.result] for case in read}
    assert kinds == {
        "gate.pass": [], "gate.fail": [Failure], "gate.inconclusive": [Error], "gate.error": [Error],
    }  # fmt: skip
    write_junit(result_of(Outcome.INCONCLUSIVE, advisory=True), path)
    assert [type(r) for case in next(iter(JUnitXml.fromfile(str(path)))) for r in case.result] == [Skipped]


def test_junit_holds_any_text(tmp_path: Path) -> None:
    """Control characters cannot be written in XML at all; a reason with one must not break the file."""
    verdict = Verdict("g", Stage.SUITE, Outcome.FAIL, "bad \x00\x1b[31m \ufffe <&\"' text ✕")
    path = tmp_path / "junit.xml"
    write_junit(GateResult("m\x01<", None, (), (verdict,)), path)
    (read,) = JUnitXml.fromfile(str(path))
    (case,) = read
    assert case.result[0].message.endswith("<&\"' text ✕")


def test_the_summary_is_markdown_that_a_person_can_read(ask: Callable[..., GateResult], tmp_path: Path) -> None:
    found = ask("models:/intent/5", baseline="models:/intent/6")
    text = summary(found)
    assert text.startswith("### ✕ models:/intent/5 failed accuracy.suite")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in tables[:4]}) == 1
    assert "| typo | 80 | 80 | 100.0 % |" in text
    assert "beside models:/intent/6" in text


def test_the_summary_is_added_to_what_other_steps_wrote(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    path.write_text("# Build\n")
    write_summary(result_of(Outcome.PASS), path)
    assert path.read_text().startswith("# Build\n### ✓ models:/intent/7 passed every gate.")


def test_hostile_names_stay_text_in_the_summary() -> None:
    """A reason or a slice from outside can open no table cell, no link and no tag."""
    hostile = "a|b <img src=x> [x](http://e) `c` \n## new"
    verdict = Verdict("g", Stage.SUITE, Outcome.FAIL, hostile)
    text = summary(GateResult(hostile, None, (hostile,), (verdict,)))
    assert "<img" not in text
    assert "\n## new" not in text
    assert "[x](" not in text.replace("\\[", "").replace("\\]", "")
    row = next(line for line in text.splitlines() if line.startswith("| ✕"))
    assert row.replace("\\|", "").count("|") == 7


def test_json_is_for_machines_and_the_same_each_time(ask: Callable[..., GateResult], tmp_path: Path) -> None:
    found = ask("models:/intent/7")
    for name in ("a.json", "b.json"):
        write_json(found, tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    document = checked((tmp_path / "a.json").read_text())
    assert (document["schema"], document["outcome"], document["exit_code"]) == ("serin.gate/v1", "pass", 0)
    assert document["result"]["verdicts"][0]["reason"] == found.verdicts[0].reason
