"""Ask a model the cases of a suite, and keep what it answered in the form that the gates judge."""

from collections.abc import Callable, Mapping, Sequence

from gates.offline.suite import SuiteResult
from suites.cases import Case, SuiteError

BATCH_CASES = 32

Predict = Callable[[Sequence[str]], Sequence[Mapping[str, float]]]
"""Texts to class probabilities, one mapping (label -> probability) a text, in order."""


def run(cases: Sequence[Case], predict: Predict) -> tuple[SuiteResult, ...]:
    """The model's answer to every case, in order.

    Raises:
        SuiteError: a case's label is none that the model knows, so that it could never be right; or the model
            answered another number of texts than it was asked.
    """
    results: list[SuiteResult] = []
    for start in range(0, len(cases), BATCH_CASES):
        part = cases[start : start + BATCH_CASES]
        answers = predict([case.text for case in part])
        if len(answers) != len(part):
            raise SuiteError(f"asked about {len(part)} texts, the model answered {len(answers)}")
        results.extend(_result(case, answer) for case, answer in zip(part, answers, strict=True))
    return tuple(results)


def _result(case: Case, probabilities: Mapping[str, float]) -> SuiteResult:
    if case.label not in probabilities:
        known = ", ".join(sorted(probabilities))
        raise SuiteError(f"case {case.id!r}: the model knows no label {case.label!r}; it knows {known}")
    label = max(probabilities, key=lambda name: probabilities[name])
    return SuiteResult(
        case_id=case.id,
        truth=case.label,
        label=label,
        confidence=probabilities[label],
        probabilities=tuple(probabilities.values()),
        classes=tuple(probabilities),
        slices=case.slices,
    )
