"""The cases of a suite as evidence: each distinct text counts once, and a class that one version lacks is reported.

Cases that a tokenizer reads as one text get one answer: counted twice they would prove twice as much as was seen.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

_NAMES_TOLD: Final = 3


class Reading(StrEnum):
    """The way texts were told apart. ``UNKNOWN``: an older Serin did not tell them apart."""

    UNKNOWN = ""
    TOKENS = "tokens"
    TEXT = "text"  # as written: no tokenizer was available


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """The answer of one version to one labelled case.

    ``probabilities`` holds the probability of every class, in the order of ``classes``; both may be empty where only
    the confidence is known, and the Brier score and the temperature are then left out. ``same_text_as`` is the id of
    the first case with the same text, empty where this is the first.
    """

    case_id: str
    truth: str
    label: str
    confidence: float
    probabilities: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    inclusion_probability: float = 1.0  # of the case being in the suite, where it was sampled unevenly
    same_text_as: str = ""

    @property
    def correct(self) -> bool:
        return self.label == self.truth


def distinct(results: Sequence[SuiteResult]) -> tuple[SuiteResult, ...]:
    """Return the first case of each text, in order, with all slices of the text's cases and the largest of their
    inclusion probabilities."""
    first: dict[str, SuiteResult] = {}
    for result in results:
        if not result.same_text_as:
            first[result.case_id] = result
    for result in results:
        if result.same_text_as and (of := first.get(result.same_text_as)) is not None:
            slices = tuple(dict.fromkeys((*of.slices, *result.slices)))
            chance = max(of.inclusion_probability, result.inclusion_probability)
            first[of.case_id] = replace(of, slices=slices, inclusion_probability=chance)
    return tuple(first.values())


def told(results: Sequence[SuiteResult], baseline: Sequence[SuiteResult] | None, counted: int, reading: Reading) -> str:
    """Return what a reader must know about the cases, to follow a verdict's reason; empty where there is nothing."""
    notes = []
    if repeats := len(results) - counted:
        how = " (as written: no tokenizer was available)" if reading is Reading.TEXT else ""
        cases = "1 case repeats a text" if repeats == 1 else f"{repeats:,} cases repeat a text"
        notes.append(f"{cases}{how}, and each text counts once: {counted:,} of {len(results):,}")
    elif reading is Reading.TEXT:
        notes.append("texts were told apart as written, since no tokenizer was available")
    notes += [
        f"{who} has no class {names}: its answers there are wrong"
        for who, side in (("the candidate", results), ("stable", baseline or ()))
        if (names := _listed(unknown_truths(side)))
    ]
    return "".join(f"; {note}" for note in notes)


def unknown_truths(results: Sequence[SuiteResult]) -> Mapping[str, int]:
    """Return the true classes that a version does not have, with the number of cases of each, most frequent first."""
    counts = Counter(result.truth for result in results if result.classes and result.truth not in result.classes)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _listed(names: Mapping[str, int]) -> str:
    """Return the most frequent names, and how many more there are."""
    parts = [f"{name!r} ({cases:,} case{'s' * (cases > 1)})" for name, cases in list(names.items())[:_NAMES_TOLD]]
    more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    return ", ".join(parts) + more


def odd_cases(results: Sequence[SuiteResult], baseline: Sequence[SuiteResult] | None) -> Iterator[str]:
    """Yield what is wrong with truths and repeated texts, naming the field."""
    by_id = {result.case_id: result for result in results}
    for result in results:
        if not result.same_text_as:
            continue
        first = by_id.get(result.same_text_as)
        if first is None or first.same_text_as:
            yield f"candidate[{result.case_id}].same_text_as: {result.same_text_as!r} is no first case of a text"
        elif first.truth != result.truth:
            yield (
                f"candidate[{result.case_id}].truth: {result.truth!r}, but {first.truth!r} for case "
                f"{first.case_id!r}, which has the same text"
            )
    known = {name for side in (results, baseline or ()) for result in side[:1] for name in result.classes}
    complete = all(result.classes for side in (results, baseline or ()) for result in side)
    if known and complete:
        for result in results:
            if result.truth not in known:
                yield f"candidate[{result.case_id}].truth: {result.truth!r} is a class of neither version"
