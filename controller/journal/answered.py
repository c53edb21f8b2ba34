"""The answers that versions gave to suites in earlier releases, so that they need not be asked again."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from controller.core.events import Judged
from controller.core.release import Version
from controller.core.serving import digest_of
from controller.errors import PermanentError
from controller.journal.codec import event_of, release_of
from controller.ports.journal import Journal, ReleaseSummary
from controller.ports.suites import Rows, Subject
from gates.suite_evidence import PARTS, SuiteAnswers, SuiteEvidence

log = logging.getLogger(__name__)

_RELEASES_READ: Final = 20
_ENTRIES_READ: Final = 60
"""The first entries of a release that are read: its suites are judged before its first look."""


class AnsweredBefore:
    """Implements ``Answered`` from the journal, with the answers of the newest of the model's last releases that asked
    the file."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def answers(self, model: str, subject: Subject, digests: Sequence[str]) -> Mapping[str, Rows]:
        wanted = set(digests)
        found: dict[str, Rows] = {}
        if not subject.version.fingerprint:
            return found
        for summary in self._journal.summaries(model=model, limit=_RELEASES_READ):
            if wanted <= found.keys():
                break
            try:
                for digest, rows in self._told(summary, subject):
                    if digest in wanted:
                        found.setdefault(digest, rows)
            except PermanentError as error:
                log.debug("answers of release %s to its suites are not read: %s", summary.release_id, error)
        return found

    def _told(self, summary: ReleaseSummary, subject: Subject) -> Iterator[tuple[str, Rows]]:
        record = self._journal.release(summary.release_id)
        release = release_of(record) if record is not None else None
        if release is None:
            return
        stable = release.stable is not None and _is_same(release.stable, subject.version)
        if not (stable or _is_same(release.candidate, subject.version)):
            return
        if digest_of(release.served_with(release.stable if stable and release.stable else release.candidate)) != (
            subject.settings
        ):
            return
        for entry in self._journal.page(summary.release_id, after=0, limit=_ENTRIES_READ):
            event = event_of(entry) if entry.kind == Judged.__name__ else None
            if isinstance(event, Judged) and event.suites is not None:
                side = event.suites.stable if stable else event.suites.candidate
                if side is not None:
                    yield from _by_file(event.suites, side)


def _is_same(one: Version, other: Version) -> bool:
    return (one.number, one.fingerprint) == (other.number, other.fingerprint)


def _by_file(evidence: SuiteEvidence, answers: SuiteAnswers) -> Iterator[tuple[str, Rows]]:
    """Yield the digest and the rows of each file. A file is left out if the version gave no probability in one of its
    cases."""
    names = tuple(evidence.classes[place] for place in answers.classes)
    ends = list(accumulate(file.cases for file in evidence.files))
    for file, end in zip(evidence.files, ends, strict=True):
        part = answers.probabilities_e7[end - file.cases : end]
        rows = [
            {name: parts / PARTS for name, parts in zip(names, row, strict=True) if parts is not None} for row in part
        ]
        if all(len(row) == len(names) for row in rows) and len(rows) == file.cases:
            yield file.sha256, tuple(rows)
