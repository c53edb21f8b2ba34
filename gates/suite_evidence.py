"""The evidence of the suites: what both versions answered to labelled cases, and never a text.

Kept in columns, with one entry per case and each name once, so that thousands of cases stay small beside a release's
looks. A *place* is an index that counts from 0.
"""

from dataclasses import dataclass
from typing import Final

PARTS: Final = 10_000_000
"""The parts that a probability of 1 has. Replicas write seven decimals, so that nothing of an answer is lost."""


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """One file of cases: its name, the SHA-256 of its bytes, and how many cases it has."""

    name: str
    sha256: str
    cases: int


@dataclass(frozen=True, slots=True)
class SuiteAnswers:
    """The answers of one version: a predicted class and a row of probabilities per case.

    ``classes`` are the places of the classes that the version knows, in the order of each row. A row's numbers are
    probabilities times ``PARTS``; ``None`` stands for a number that is no probability, such as NaN.
    """

    classes: tuple[int, ...]
    labels: tuple[int, ...]
    probabilities_e7: tuple[tuple[int | None, ...], ...]


@dataclass(frozen=True, slots=True)
class SuiteEvidence:
    """All that the gates judge of the suites of one release: cases, truths, and the answers of both versions.

    The cases of several files follow each other in the order of ``files``. ``truths`` and labels are places in
    ``classes``; ``slices`` has a row of places in ``slice_names`` for each case, or is empty where no case has a slice.
    ``inclusion_probabilities`` is empty where every case is in its suite for certain. ``texts`` holds, for each case,
    the place of the first case with the same text; it is empty where every case has a text of its own. ``reading``
    says how texts were told apart: by ``tokens``, by ``text``, or not at all (empty).
    """

    files: tuple[SuiteFile, ...]
    classes: tuple[str, ...]
    case_ids: tuple[str, ...]
    truths: tuple[int, ...]
    candidate: SuiteAnswers
    stable: SuiteAnswers | None = None
    slice_names: tuple[str, ...] = ()
    slices: tuple[tuple[int, ...], ...] = ()
    inclusion_probabilities: tuple[float, ...] = ()
    texts: tuple[int, ...] = ()
    reading: str = ""
