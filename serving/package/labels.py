"""The names of a classifier's outputs, as real ``config.json`` files give them. Standard library only."""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from serving.contract import class_name_problem
from serving.package.rules import Task, check_span_labels
from serving.text.printable import shown

SINGLE_LABEL: Final = "single_label_classification"
_LABELS_MAX: Final = 100_000
"""Of classes that no file names one by one."""
_WAY_OUT: Final = {
    "multi_label_classification": "a version answers with one class, not several: train one that chooses among them",
    "regression": "a version answers with a class, not a number: train a classifier",
}


def label_names(config: Mapping[str, Any], task: Task) -> tuple[str, ...]:
    """The names in the order of the outputs.

    Two classes without ``id2label`` are ``LABEL_0`` and ``LABEL_1``: the library that writes these files leaves out
    what is its default. Names that are numbers or truth values are taken as they are written there.

    Raises:
        ValueError: what is wrong, and in which field.
    """
    problem = config.get("problem_type")
    if problem not in (None, SINGLE_LABEL):
        raise ValueError(
            f"problem_type {problem!r} is not served ({_WAY_OUT.get(str(problem), f'served is {SINGLE_LABEL}')})"
        )
    names = config.get("id2label")
    if names is None:
        names = _default_names(config)
    if not isinstance(names, dict) or len(names) < 2:
        raise ValueError(f"id2label must name two or more labels, but is {_shown(names)}")
    labels = _in_order(names)
    if task is Task.TOKEN_CLASSIFICATION:
        try:
            check_span_labels(labels)
        except ValueError as error:
            raise ValueError(f"id2label: {error}") from None
    return labels


def check_claims(config: Mapping[str, Any], labels: tuple[str, ...]) -> None:
    """Hold what else a ``config.json`` says about its classes against their names, before anything is made of it.

    Raises:
        ValueError: naming the field that contradicts ``id2label``, with both values, or a name under which no sample
            of the version would be taken.
    """
    for index, label in enumerate(labels):
        if (problem := class_name_problem(label)) is not None:
            raise ValueError(f"id2label: {index} cannot name a class ({shown(label)}): {problem}")
    for field in ("num_labels", "_num_labels"):
        if (count := config.get(field)) not in (None, len(labels)):
            raise ValueError(f"{field} is {_shown(count)}, but id2label names {len(labels)} labels: which is right?")
    numbers = config.get("label2id")
    if not numbers or not isinstance(numbers, dict) or _is_default(numbers):
        return
    for index, label in enumerate(labels):
        if (found := numbers.get(label, index)) not in (index, str(index)):
            raise ValueError(
                f"label2id gives {label!r} the number {_shown(found)}, but id2label gives it {index}: which is right?"
            )
    if unknown := sorted(numbers.keys() - set(labels)):
        raise ValueError(f"label2id has a label {unknown[0]!r} that id2label does not have: which is right?")


def _default_names(config: Mapping[str, Any]) -> dict[str, str]:
    count = config.get("num_labels", config.get("_num_labels", 2))
    if type(count) is not int or count > _LABELS_MAX:
        raise ValueError(f"num_labels must be a whole number up to {_LABELS_MAX}, but is {_shown(count)}")
    return {str(index): f"LABEL_{index}" for index in range(count)}


def _in_order(names: Mapping[str, Any]) -> tuple[str, ...]:
    last = len(names) - 1
    labels: dict[str, int] = {}
    for index in range(len(names)):
        if str(index) not in names:
            strange = (names.keys() - {str(number) for number in range(len(names))}).pop()
            raise ValueError(
                f"id2label must give a name of its own to each of 0 to {last}: it has none for {index}, but one for "
                f"{strange!r}"
            )
        label = _name(index, names[str(index)])
        if label in labels:
            raise ValueError(
                f"id2label must give a name of its own to each of 0 to {last}: {labels[label]} and {index} are both "
                f"{label!r}"
            )
        labels[label] = index
    return tuple(labels)


def _name(index: int, value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, int | float) and _is_finite(value):
        return json.dumps(value)
    raise ValueError(f"id2label must give a name of its own to each number: {index} is {_shown(value)}")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def _is_default(numbers: Mapping[str, Any]) -> bool:
    """Return whether the library writes this where only ``id2label`` was set: no statement about these classes."""
    return all(name == f"LABEL_{number}" for name, number in numbers.items())


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]
