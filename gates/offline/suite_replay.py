"""Answers to suites as evidence, and evidence as the answers that the gates judge.

A release judges the evidence itself, not what it was made from: so the journal holds exactly what was judged, and
judging it again gives the same verdicts to the last bit.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from gates.checks import is_within
from gates.offline.suite import SuiteResult, judge_suite, unusable
from gates.offline.suite_cases import Reading
from gates.policy import GatePolicy
from gates.suite_evidence import PARTS, SuiteAnswers, SuiteEvidence, SuiteFile
from gates.verdict import Verdict


# --- from answers to evidence -----------------------------------------------------------------------------------------
def as_evidence(
    files: Sequence[SuiteFile],
    results: Sequence[SuiteResult],
    baseline: Sequence[SuiteResult] | None,
    *,
    reading: Reading = Reading.UNKNOWN,
) -> SuiteEvidence:
    """Return the evidence for these answers of the candidate, and of stable where it was asked, case by case.

    Probabilities are rounded to seven decimals. An answer's confidence is the probability of its label: not kept twice.

    Raises:
        ValueError: a version's answers are not all over the same classes, or a confidence is not the probability of its
            label, or stable was asked other cases.
    """
    if baseline is not None and [(r.case_id, r.truth) for r in baseline] != [(r.case_id, r.truth) for r in results]:
        raise ValueError("the two versions were not asked the same cases in the same order")
    both = [*results, *(baseline or ())]
    classes = _once(chain.from_iterable((*result.classes, result.truth, result.label) for result in both))
    slice_names = _once(chain.from_iterable(result.slices for result in results))
    chances = tuple(float(result.inclusion_probability) for result in results)
    place = {result.case_id: number for number, result in enumerate(results)}
    repeated = any(result.same_text_as for result in results)
    return SuiteEvidence(
        files=tuple(files),
        classes=tuple(classes),
        case_ids=tuple(result.case_id for result in results),
        truths=tuple(classes[result.truth] for result in results),
        candidate=_answers(results, classes),
        stable=None if baseline is None else _answers(baseline, classes),
        slice_names=tuple(slice_names),
        slices=tuple(tuple(slice_names[name] for name in r.slices) for r in results) if slice_names else (),
        inclusion_probabilities=chances if any(chance != 1.0 for chance in chances) else (),
        texts=tuple(place[result.same_text_as or result.case_id] for result in results) if repeated else (),
        reading=reading.value,
    )


def _once(names: Iterable[str]) -> dict[str, int]:
    """Return each name's place, in the order in which names first appear."""
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def _answers(results: Sequence[SuiteResult], places: dict[str, int]) -> SuiteAnswers:
    classes = results[0].classes if results else ()
    if any(result.classes != classes for result in results):
        raise ValueError("a version's answers are not all over the same classes in the same order")
    for result in results:
        said = dict(zip(classes, result.probabilities, strict=True))
        if _parts(said.get(result.label)) != _parts(result.confidence):
            raise ValueError(f"case {result.case_id!r}: the confidence is not the probability of the label")
    return SuiteAnswers(
        classes=tuple(places[name] for name in classes),
        labels=tuple(places[result.label] for result in results),
        probabilities_e7=tuple(tuple(map(_parts, result.probabilities)) for result in results),
    )


def _parts(probability: float | None) -> int | None:
    return round(PARTS * probability) if probability is not None and is_within(probability, 1.0) else None


# --- from evidence to verdicts ----------------------------------------------------------------------------------------
def judge_suite_evidence(evidence: SuiteEvidence, policy: GatePolicy) -> tuple[Verdict, ...]:
    """Return a verdict for accuracy and one for calibration; unusable evidence gives errors that name the field."""
    problem = next(_problems(evidence), None)
    if problem is not None:
        return unusable(problem, samples=len(evidence.case_ids))
    results = _results(evidence, evidence.candidate)
    baseline = _results(evidence, evidence.stable) if evidence.stable is not None else None
    return judge_suite(results, baseline, policy, reading=Reading(evidence.reading))


def _results(evidence: SuiteEvidence, answers: SuiteAnswers) -> tuple[SuiteResult, ...]:
    names = evidence.classes
    classes = tuple(names[place] for place in answers.classes)
    column = {place: number for number, place in enumerate(answers.classes)}
    slices = evidence.slices or ((),) * len(evidence.case_ids)
    chances = evidence.inclusion_probabilities or (1.0,) * len(evidence.case_ids)
    texts = evidence.texts or range(len(evidence.case_ids))
    found = []
    for place, case_id in enumerate(evidence.case_ids):
        label = answers.labels[place]
        probabilities = tuple(parts / PARTS for parts in answers.probabilities_e7[place] if parts is not None)
        found.append(
            SuiteResult(
                case_id=case_id,
                truth=names[evidence.truths[place]],
                label=names[label],
                confidence=probabilities[column[label]],
                probabilities=probabilities,
                classes=classes,
                slices=tuple(evidence.slice_names[name] for name in slices[place]),
                inclusion_probability=chances[place],
                same_text_as=evidence.case_ids[texts[place]] if texts[place] != place else "",
            )
        )
    return tuple(found)


# --- what may be wrong with evidence ----------------------------------------------------------------------------------
def _problems(evidence: SuiteEvidence) -> Iterator[str]:
    """Yield what keeps `_results` from making answers. Problems of an answer itself are found by `judge_suite`."""
    cases = len(evidence.case_ids)
    yield from _names("classes", evidence.classes)
    yield from _names("slice_names", evidence.slice_names)
    if sum(file.cases for file in evidence.files) != cases or any(file.cases < 0 for file in evidence.files):
        yield f"files: they have {[file.cases for file in evidence.files]} cases, case_ids {cases}"
    yield from _column("truths", evidence.truths, evidence)
    if evidence.slices and len(evidence.slices) != cases:
        yield f"slices: {len(evidence.slices)} rows for {cases} cases"
    for place, row in enumerate(evidence.slices):
        yield from _places(f"slices[{place}]", row, "slice_names", len(evidence.slice_names))
        if len(set(row)) != len(row):
            yield f"slices[{place}]: a slice appears twice"
    if evidence.inclusion_probabilities and len(evidence.inclusion_probabilities) != cases:
        yield f"inclusion_probabilities: {len(evidence.inclusion_probabilities)} for {cases} cases"
    if evidence.texts and len(evidence.texts) != cases:
        yield f"texts: {len(evidence.texts)} for {cases} cases"
    yield from _places("texts", evidence.texts, "case_ids", cases)
    if evidence.reading not in {reading.value for reading in Reading}:
        yield f"reading: {evidence.reading!r} is none of {', '.join(repr(reading.value) for reading in Reading)}"
    yield from _answer_problems("candidate", evidence.candidate, evidence)
    if evidence.stable is not None:
        yield from _answer_problems("stable", evidence.stable, evidence)


def _names(field: str, names: Sequence[str]) -> Iterator[str]:
    if len(set(names)) != len(names):
        yield f"{field}: a name appears twice"


def _answer_problems(who: str, answers: SuiteAnswers, evidence: SuiteEvidence) -> Iterator[str]:
    rows = answers.probabilities_e7
    yield from _places(f"{who}.classes", answers.classes, "classes", len(evidence.classes))
    if len(set(answers.classes)) != len(answers.classes):
        yield f"{who}.classes: a class appears twice"
    yield from _column(f"{who}.labels", answers.labels, evidence)
    known = set(answers.classes)
    for place, label in enumerate(answers.labels):
        if label not in known:
            yield f"{who}.labels[{place}]: {label} is none of the version's classes"
    if len(rows) != len(evidence.case_ids):
        yield f"{who}.probabilities_e7: {len(rows)} rows for {len(evidence.case_ids)} cases"
    for place, (case_id, row) in enumerate(zip(evidence.case_ids, rows, strict=False)):
        if len(row) != len(answers.classes):
            yield f"{who}.probabilities_e7[{place}]: {len(row)} numbers for {len(answers.classes)} classes"
        if None in row:
            yield f"{who}.probabilities_e7[{place}]: null, the answer to case {case_id!r} was no probability"


def _column(field: str, classes: Sequence[int], evidence: SuiteEvidence) -> Iterator[str]:
    """Yield what is wrong with a column that has a class for each case."""
    if len(classes) != len(evidence.case_ids):
        yield f"{field}: {len(classes)} for {len(evidence.case_ids)} cases"
    yield from _places(field, classes, "classes", len(evidence.classes))


def _places(field: str, places: Sequence[int], names: str, count: int) -> Iterator[str]:
    for number, place in enumerate(places):
        if not 0 <= place < count:
            yield f"{field}[{number}]: {place} is no place among the {count} {names}"
