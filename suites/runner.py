"""Asks a model the cases of a suite, and returns its answers in the form that the gates judge."""

import difflib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from gates.offline.suite import SuiteResult
from serving.text.printable import shown
from suites.cases import Case, SuiteError, refuse_two_labels

BATCH_CASES: Final = 32
_CLASSES_TOLD: Final = 12
_LEFT_OUT: Final = frozenset({"Mn", "Cc", "Cf", "Zs", "Zl", "Zp"})

Predict = Callable[[Sequence[str]], Sequence[Mapping[str, float]]]
"""Texts to class probabilities: one mapping (label -> probability) for each text, in order."""
Read = Callable[[Sequence[str]], Sequence[object]]
"""Texts to what a tokenizer makes of each: equal for texts that the model cannot tell apart."""


def run(cases: Sequence[Case], predict: Predict) -> tuple[SuiteResult, ...]:
    """Return the model's answer to every case, in order. If the model does not have a case's label, its answer is
    wrong.

    Raises:
        SuiteError: the model gave more or fewer answers than it was asked texts, or answered with other classes than
            before.
    """
    results: list[SuiteResult] = []
    classes: tuple[str, ...] = ()
    for part in _parts(cases):
        answers = predict([case.text for case in part])
        if len(answers) != len(part):
            raise SuiteError(f"asked about {len(part)} texts, the model answered {len(answers)}")
        classes = classes or tuple(answers[0])
        results.extend(_result(case, answer, classes) for case, answer in zip(part, answers, strict=True))
    return tuple(results)


def with_repeats(cases: Sequence[Case], results: Sequence[SuiteResult], read: Read) -> tuple[SuiteResult, ...]:
    """Return the results, in which ``same_text_as`` names the first case with the same label whose text ``read`` takes
    for the same.

    A tokenizer may also read two texts as one that differ by more than case, accents or spaces. If they have different
    labels, they stay two cases: it is the version that cannot tell them apart, and it is wrong in one of them.

    Raises:
        SuiteError: one text has two labels; names both cases.
    """
    read_as: list[object] = []
    for part in _parts(cases):
        read_as.extend(read([case.text for case in part]))
    labelled: dict[object, Case] = {}
    first: dict[object, Case] = {}
    found = []
    for case, result, key in zip(cases, results, read_as, strict=True):
        refuse_two_labels(labelled.setdefault((key, loosely(case.text)), case), case)
        one = first.setdefault((key, case.label), case)
        found.append(result if one is case else replace(result, same_text_as=one.id))
    return tuple(found)


def loosely(text: str) -> str:
    """Return the text without what many tokenizers leave out: case, accents, spaces, control and format characters."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if unicodedata.category(letter) not in _LEFT_OUT)


def check_classes(cases: Sequence[Case], *sides: Sequence[SuiteResult]) -> None:
    """Check that each case's label is a class of at least one of the versions that were asked.

    Raises:
        SuiteError: a label is a class of none of them, so that no answer could be right. Names the case, its line, and
            the nearest class.
    """
    known = {name for side in sides for result in side[:1] for name in result.classes}
    unknown = [case for case in cases if case.label not in known]
    if not (cases and unknown):
        return
    first = unknown[0]
    near = difflib.get_close_matches(first.label.casefold(), {name.casefold(): name for name in known}, n=1)
    nearest = next((name for name in sorted(known) if near and name.casefold() == near[0]), None)
    hint = f"did you mean {shown(nearest)!r}?" if nearest else f"its classes: {_listed(sorted(known))}"
    whose = "the version" if len(sides) == 1 else "either version"
    more = f" (and {len(unknown) - 1:,} more cases)" if len(unknown) > 1 else ""
    raise SuiteError(f"{first.named}: the label {shown(first.label)!r} is not a class of {whose}{more}; {hint}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _CLASSES_TOLD} more" if len(names) > _CLASSES_TOLD else ""
    return ", ".join(map(shown, names[:_CLASSES_TOLD])) + more


def _parts(cases: Sequence[Case]) -> list[Sequence[Case]]:
    return [cases[start : start + BATCH_CASES] for start in range(0, len(cases), BATCH_CASES)]


def _result(case: Case, probabilities: Mapping[str, float], classes: tuple[str, ...]) -> SuiteResult:
    if len(probabilities) != len(classes) or not all(name in probabilities for name in classes):
        raise SuiteError(f"{case.named}: the model answered with other classes than for the cases before")
    label = max(probabilities, key=lambda name: probabilities[name])
    return SuiteResult(
        case_id=case.id,
        truth=case.label,
        label=label,
        confidence=probabilities[label],
        probabilities=tuple(probabilities[name] for name in classes),
        classes=classes,
        slices=case.slices,
        inclusion_probability=case.inclusion_probability,
    )
