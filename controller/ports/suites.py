"""Suites of labelled cases, and the versions that answer them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from controller.core.release import Version
from gates.suite_evidence import SuiteEvidence
from serving.package.artifact import Manifest


@dataclass(frozen=True, slots=True)
class Subject:
    """A version that answers suites at ``url``. ``settings``: the digest of its settings, because with other settings
    it may answer otherwise."""

    version: Version
    url: str
    settings: str = ""


@dataclass(frozen=True, slots=True)
class SuiteOrder:
    """The order to ask a candidate, and stable if there is one, the suites (by name). ``manifest``: of the candidate;
    it helps to find texts that are the same for the candidate's tokenizer."""

    model: str
    suites: tuple[str, ...]
    candidate: Subject
    stable: Subject | None = None
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class SuiteProgress:
    """The progress of a version: ``asked`` of all ``cases`` have been asked."""

    version: str
    suites: tuple[str, ...]
    asked: int
    cases: int


Rows = Sequence[Mapping[str, float]]
"""The probabilities by class, one row for each case of a file, in the file's order."""


class Answered(Protocol):
    def answers(self, model: str, subject: Subject, digests: Sequence[str]) -> Mapping[str, Rows]:
        """Return earlier answers of exactly this version with the same settings, by the SHA-256 of the suite's file;
        files without known answers are left out."""


class NothingAnswered:
    """Implements ``Answered`` for an installation that keeps no answers."""

    def answers(self, model: str, subject: Subject, digests: Sequence[str]) -> Mapping[str, Rows]:  # noqa: ARG002
        return {}


class Suites(Protocol):
    def run(self, order: SuiteOrder) -> SuiteEvidence:
        """Ask each version every case, and return the answers. Answers are kept until all are there: after a failure
        or a kill, the next call with the same order goes on from them. The version that serves users is asked only the
        cases whose answers are not known, and so slowly that users do not notice.

        Raises:
            SuiteError: a suite cannot be used, or a replica refuses a case: the fault of the file, never of a version.
                Later calls raise the error again, without asking, until a file has changed.
            TransientError: a replica did not answer.
        """

    def progress(self, model: str) -> Sequence[SuiteProgress]:
        """Return the progress of each version that is being asked, or was when the asking stopped; empty once every
        case is answered."""
