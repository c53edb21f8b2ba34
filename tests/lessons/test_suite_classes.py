"""A suite's classes are held against both versions: one that a version lacks is its wrong answer, and it is told."""

import json
from pathlib import Path

import pytest

from controller.errors import UsageError
from controller.offline.ci_gate import GateResult, Question, run_gate
from gates.offline.suite import judge_suite
from gates.outcome import Outcome
from tests.controller.test_ci_gate import POLICY, Models
from tests.gates.suite_support import results

CASES = 400


class Vocabularies(Models):
    """Version 7 has a class more than version 6: ``lost``; each is right wherever it knows the truth."""

    def _answer(self, url, text):
        truth = text.split()[1]
        classes = ["refund", "login", *(["lost"] if url == "7" else [])]
        label = truth if truth in classes else "refund"
        return {name: (0.98 if name == label else 0.02 / (len(classes) - 1)) for name in classes}


def gate(tmp_path: Path, model: str, baseline: str | None, odd: str = "lost") -> GateResult:
    path = tmp_path / "suite.jsonl"
    labels = [odd if number % 8 == 0 else ("refund", "login")[number % 2] for number in range(CASES)]
    path.write_text(
        "\n".join(
            json.dumps({"id": f"c{number}", "text": f"{number} {label}", "label": label})
            for number, label in enumerate(labels)
        )
    )
    world = Vocabularies({"7": 1.0, "6": 1.0}, tmp_path).world
    return run_gate(Question(model, (path,), baseline, POLICY), world)


def test_a_class_that_only_the_candidate_has_is_the_baselines_wrong_answer(tmp_path: Path) -> None:
    """The usual reason for a release: no usage error, and not one that names the wrong version."""
    found = gate(tmp_path, "models:/intent/7", "models:/intent/6")
    assert found.outcome is Outcome.PASS
    assert "stable has no class 'lost' (50 cases): its answers there are wrong" in found.verdicts[0].reason


def test_a_class_that_only_stable_has_is_the_candidates_wrong_answer(tmp_path: Path) -> None:
    found = gate(tmp_path, "models:/intent/6", "models:/intent/7")
    assert found.verdicts[0].outcome is Outcome.FAIL
    assert "the candidate has no class 'lost' (50 cases): its answers there are wrong" in found.verdicts[0].reason


@pytest.mark.parametrize("baseline", [None, "models:/intent/6"])
def test_a_class_that_no_version_has_is_a_usage_error_with_line_and_nearest_class(
    tmp_path: Path, baseline: str | None
) -> None:
    with pytest.raises(
        UsageError, match=r"suite\.jsonl, line 1, case 'c0': the label 'Logn' is not a class of .*did you mean 'login'"
    ):
        gate(tmp_path, "models:/intent/7", baseline, odd="Logn")


def test_the_brier_score_of_a_class_that_a_version_lacks_is_not_for_nothing(tmp_path: Path) -> None:
    """It gave the truth no probability: that costs 1, or the version that lacks the class would look calibrated."""
    found = gate(tmp_path, "models:/intent/7", "models:/intent/6")
    assert found.verdicts[1].outcome is Outcome.PASS
    back = gate(tmp_path, "models:/intent/6", "models:/intent/7")
    assert back.verdicts[1].outcome is Outcome.FAIL


def test_evidence_with_a_truth_of_neither_version_is_an_error_and_no_pass() -> None:
    """As a label of another vocabulary: nobody could have been right."""
    from dataclasses import replace

    cases = results(300)
    cases[7] = replace(cases[7], truth="Refund")
    accuracy, calibration = judge_suite(cases, cases, POLICY)
    assert (accuracy.outcome, calibration.outcome) == (Outcome.ERROR, Outcome.ERROR)
    assert "candidate[7].truth: 'Refund' is a class of neither version" in accuracy.reason
