"""A team's own model of thirty imbalanced classes: what stood in its way is found before a user sees it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from controller.bootstrap.packaging import Order, Packaged, package_checkpoint
from controller.cli.making import reading, tempering
from gates.offline.suite import judge_suite
from gates.offline.suite_cases import SuiteResult
from gates.outcome import Outcome
from gates.policy import GatePolicy, SuitePolicy
from gates.verdict import Verdict
from serving.package.artifact import verify
from serving.packaging.temper import answers
from suites.cases import Case, load
from suites.runner import check_classes, run
from tests.own_model import (
    CLASSES,
    NEW_CLASS,
    POSITIONS,
    examples,
    write_cases,
    write_checkpoint,
)


@pytest.fixture
def packaged(tmp_path: Path) -> Callable[..., tuple[Path, Packaged]]:
    """The package of an own model, as `serin package` makes it."""

    def made(name: str, order: Order | None = None, **model: object) -> tuple[Path, Packaged]:
        checkpoint = write_checkpoint(tmp_path / "checkpoints" / name, **model)  # type: ignore[arg-type]
        return tmp_path / name, package_checkpoint(None, checkpoint, tmp_path / name, order or Order(""))

    return made


def asked(package: Path, cases: Sequence[Case]) -> tuple[SuiteResult, ...]:
    labels = verify(package).labels

    def predict(texts: Sequence[str]) -> list[dict[str, float]]:
        return [dict(zip(labels, map(float, row), strict=True)) for row in np.round(answers(package, texts), 7)]

    return run(cases, predict)


def judged(candidate: Path, stable: Path, cases: Sequence[Case]) -> Verdict:
    results, baseline = asked(candidate, cases), asked(stable, cases)
    check_classes(cases, results, baseline)
    return judge_suite(results, baseline, GatePolicy(suite=SuitePolicy(calibration_gap_max=0.5)))[0]


def test_whole_texts_are_read_whatever_training_cut(packaged: Callable[..., tuple[Path, Packaged]]) -> None:
    """Cut to what was left in the tokenizer, a third of the answers would be guesses."""
    cases = [Case(str(n), one.text, one.label) for n, one in enumerate(examples(600, seed=1))]
    whole, made = packaged("whole")
    cut, _ = packaged("cut", Order("", max_tokens=12))
    assert made.manifest.max_tokens == POSITIONS
    assert "tokenizer.json was last used with 12, which does not count" in reading(made.manifest)
    right, found = (np.mean([one.correct for one in asked(package, cases)]) for package in (whole, cut))
    assert right > 0.85
    assert found < right - 0.2


def test_a_temperature_makes_it_as_sure_as_it_is_right(
    packaged: Callable[..., tuple[Path, Packaged]], tmp_path: Path
) -> None:
    held_out = write_cases(tmp_path / "held-out.jsonl", examples(1_500, seed=2))
    _, made = packaged("fitted", Order("", fit_on=held_out))
    assert made.fit is not None
    assert made.fit.after < 0.5 * made.fit.before
    assert "fitted on held-out.jsonl, 1500 cases" in tempering(made.manifest, made.fit)
    cases = load(write_cases(tmp_path / "cases.jsonl", examples(1_500, seed=3))).cases
    raw, _ = packaged("raw")
    _, before = judge_suite(asked(raw, cases), None, GatePolicy())
    _, after = judge_suite(asked(tmp_path / "fitted", cases), None, GatePolicy())
    assert (before.outcome, after.outcome) == (Outcome.FAIL, Outcome.PASS)


def test_a_suite_with_a_class_that_stable_does_not_know_is_judged(
    packaged: Callable[..., tuple[Path, Packaged]],
) -> None:
    """The class set grows: stable is wrong there, and that is told by class."""
    cases = [Case(str(n), one.text, one.label) for n, one in enumerate(examples(2_000, seed=4, classes=31))]
    stable, _ = packaged("stable")
    candidate, _ = packaged("candidate", classes=(*CLASSES, NEW_CLASS))
    verdict = judged(candidate, stable, cases)
    assert verdict.outcome is Outcome.PASS
    assert f"stable has no class {NEW_CLASS!r}" in verdict.reason


def test_a_class_that_was_lost_fails_though_the_whole_hardly_shows_it(
    packaged: Callable[..., tuple[Path, Packaged]],
) -> None:
    cases = [Case(str(n), one.text, one.label) for n, one in enumerate(examples(2_000, seed=5))]
    stable, _ = packaged("stable")
    lost, _ = packaged("lost", lost=[CLASSES[20]])
    results, baseline = asked(lost, cases), asked(stable, cases)
    points = 100 * (np.mean([one.correct for one in baseline]) - np.mean([one.correct for one in results]))
    assert 0 < points < 2
    verdict = judged(lost, stable, cases)
    assert verdict.outcome is Outcome.FAIL
    assert f"of class {CLASSES[20]} the candidate finds" in verdict.reason
    assert judged(stable, stable, cases).outcome is Outcome.PASS
