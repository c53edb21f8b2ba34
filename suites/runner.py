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
            answered another number of texts than it was asked, or with other classes than before.
    """
    results: list[SuiteResult] = []
    classes: tuple[str, ...] = ()
    for start in range(0, len(cases), BATCH_CASES):
        part = cases[start : start + BATCH_CASES]
        answers = predict([case.text for case in part])
        if len(answers) != len(part):
            raise SuiteError(f"asked about {len(part)} texts, the model answered {len(answers)}")
        classes = classes or tuple(answers[0])
        results.extend(_result(case, answer, classes) for case, answer in zip(part, answers, strict=True))
    return tuple(results)


def _result(case: Case, probabilities: Mapping[str, float], classes: tuple[str, ...]) -> SuiteResult:
    if len(probabilities) != len(classes) or not all(name in probabilities for name in classes):
        raise SuiteError(f"case {case.id!r}: the model answered with other classes than to the cases before")
    if case.label not in probabilities:
        known = ", ".join(sorted(probabilities))
        raise SuiteError(f"case {case.id!r}: the model knows no label {case.label!r}; it knows {known}")
    label = max(probabilities, key=lambda name: probabilities[name])
    return SuiteResult(
        case_id=case.id,
        truth=case.label,
        label=label,
        confidence=probabilities[label],
        probabilities=tuple(probabilities[name] for name in classes),
        classes=classes,
        slices=case.slices,
    )
