"""Suites of labelled cases, and versions that are asked them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from controller.core.release import Version
from gates.suite_evidence import SuiteEvidence
from serving.package.artifact import Manifest


@dataclass(frozen=True, slots=True)
class Subject:
    """A version that is asked, at ``url``, and the digest of its settings: with others it may answer otherwise."""

    version: Version
    url: str
    settings: str = ""


@dataclass(frozen=True, slots=True)
class SuiteOrder:
    """The order of suites, by name, for a version and the one that it is held against. ``manifest``: of the candidate;
    with it texts are told apart as it reads them."""

    model: str
    suites: tuple[str, ...]
    candidate: Subject
    stable: Subject | None = None
    manifest: Manifest | None = None


@dataclass(frozen=True, slots=True)
class SuiteProgress:
    """The progress of asking a version: ``asked`` of ``cases``."""

    version: str
    suites: tuple[str, ...]
    asked: int
    cases: int


Rows = Sequence[Mapping[str, float]]
"""The probabilities of each class, a row for each case of a file, in the file's order."""


class Answered(Protocol):
    def answers(self, model: str, subject: Subject, digests: Sequence[str]) -> Mapping[str, Rows]:
        """The answers that the very version, with the same settings, gave to files before: by the file's SHA-256,
        as far as known."""


class NothingAnswered:
    """Implements ``Answered`` where nothing is kept."""

    def answers(self, model: str, subject: Subject, digests: Sequence[str]) -> Mapping[str, Rows]:  # noqa: ARG002
        return {}


class Suites(Protocol):
    def run(self, order: SuiteOrder) -> SuiteEvidence:
        """Ask each version every case. What was answered is kept until all is: the next call with the same order goes
        on where one that failed, or was killed, had come to. The version that serves users is asked what is not known
        of it, and as slowly as they do not feel it.

        Raises:
            SuiteError: a suite cannot be used, or a replica refuses a case of it: our file's fault, never a version's.
                The next call raises it again, and asks nobody, until a file has changed.
            TransientError: a replica did not answer.
        """

    def progress(self, model: str) -> Sequence[SuiteProgress]:
        """Return what is being asked now, or was when the asking stopped; nothing once all is answered."""
