"""The asking of suite cases at running replicas. If a replica refuses a text, the file is at fault, never a version."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from controller.errors import PermanentError, RefusedRequestError
from gates.offline.suite import SuiteResult
from gates.offline.suite_cases import Reading
from serving.package.artifact import Manifest
from suites.cases import Case, SuiteError
from suites.runner import Predict, check_classes, run, with_repeats

_Answer = TypeVar("_Answer")


class Asks(Protocol):
    """The part of the port ``Replicas`` that is needed here."""

    def token_ids(self, url: str, texts: Sequence[str]) -> Sequence[Sequence[int]]: ...

    def probabilities(self, url: str, texts: Sequence[str]) -> Sequence[Mapping[str, float]]: ...


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of a version to all cases, with repeated texts marked. ``reading``: whether texts were compared by
    their tokens or as written."""

    results: tuple[SuiteResult, ...]
    reading: Reading


Keep = Callable[[Predict], Predict]
"""A wrapper of the asking function that keeps answers; it is called with the cases in order."""


def _as_asked(predict: Predict) -> Predict:
    return predict


def ask(
    replicas: Asks, url: str, cases: Sequence[Case], who: str, *, keep: Keep = _as_asked
) -> tuple[SuiteResult, ...]:
    """Return the version's answer to each case, in order. ``who``: the version's name in errors.

    Raises:
        SuiteError: the replica refuses a text; names the case, its place in the file, and the limit.
        SerinError: the replica does not answer.
    """
    return run(cases, keep(lambda texts: _probabilities(replicas, url, texts, cases, who)))


def ask_candidate(
    replicas: Asks, url: str, cases: Sequence[Case], manifest: Manifest | None, *, keep: Keep = _as_asked
) -> Answers:
    """Return the candidate's answers, with repeated texts marked. Two texts are the same if the tokenizer reads them
    alike; if the token ids cannot be had, if they are written alike.

    Raises:
        SuiteError: as `ask`; or the same text has two labels.
    """
    results = ask(replicas, url, cases, "the candidate", keep=keep)
    try:
        return Answers(
            with_repeats(cases, results, lambda texts: _read(replicas, url, texts, manifest)), Reading.TOKENS
        )
    except PermanentError:
        return Answers(with_repeats(cases, results, lambda texts: texts), Reading.TEXT)


def hold_against(cases: Sequence[Case], *sides: Sequence[SuiteResult]) -> None:
    """Check the cases' labels. Raises SuiteError if a label is no class of any version that was asked."""
    check_classes(cases, *sides)


def _read(replicas: Asks, url: str, texts: Sequence[str], manifest: Manifest | None) -> Sequence[object]:
    """Return the token ids of each text; if the ids cover only the first window of a long text, the text itself."""
    first_window = manifest.max_tokens if manifest is not None and manifest.rules.windows is not None else None
    found = _in_parts(lambda part: replicas.token_ids(url, part), texts)
    return [
        text if first_window is not None and len(ids) >= first_window else tuple(ids)
        for text, ids in zip(texts, found, strict=True)
    ]


def _probabilities(
    replicas: Asks, url: str, texts: Sequence[str], cases: Sequence[Case], who: str
) -> Sequence[Mapping[str, float]]:
    try:
        return _in_parts(lambda part: replicas.probabilities(url, part), texts)
    except _RefusedTextError as error:
        case = next(case for case in cases if case.text == error.text)
        raise SuiteError(
            f"{case.named}: the replica of {who} does not take its text ({len(case.text):,} characters): {error}"
        ) from error


class _RefusedTextError(RefusedRequestError):
    def __init__(self, text: str, error: RefusedRequestError) -> None:
        super().__init__(str(error))
        self.text = text


def _in_parts(call: Callable[[Sequence[str]], Sequence[_Answer]], texts: Sequence[str]) -> Sequence[_Answer]:
    """Return the answers to all texts. If they are too many for one request, they are asked in halves.

    Raises:
        _RefusedTextError: a text is refused even when asked alone.
    """
    try:
        return call(texts)
    except RefusedRequestError as error:
        if error.place is not None and error.place < len(texts):
            raise _RefusedTextError(texts[error.place], error) from error
        if len(texts) == 1:
            raise _RefusedTextError(texts[0], error) from error
    middle = len(texts) // 2
    return [*_in_parts(call, texts[:middle]), *_in_parts(call, texts[middle:])]
