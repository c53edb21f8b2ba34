"""The report's data, from the journal in one pass. No verdict is computed here: the recorded ones are shown."""

from collections.abc import Iterable
from hashlib import sha256
from itertools import islice

from controller.core.events import Judged, Looked
from controller.core.origin import in_words
from controller.core.policy import ReleasePolicy
from controller.core.release import Release
from controller.errors import PermanentError
from controller.journal.chain import canonical_json
from controller.journal.codec import entry_of, release_of
from controller.journal.notes import LooksThinned, PolicyRead
from controller.journal.standing import told_of
from controller.ports.journal import RecordedEntry, ReleaseRecord
from controller.report.data import SCHEMA, Chain, Conclusion, Facts, ReportData
from controller.report.history import History
from controller.report.tallies import (
    AccuracyTally,
    ClassTally,
    EvidenceTally,
    LatencyTally,
    ReliabilityTally,
    TraceTally,
    reliability,
)
from controller.report.words import became, listed
from controller.skew import own_release
from gates.suite_evidence import SuiteFile
from gates.verdict import Stage


def build_report(record: ReleaseRecord, entries: Iterable[RecordedEntry]) -> ReportData:
    """Return the report of a release as of ``record``; later entries are left out.

    Raises:
        PermanentError: there are fewer entries than the record counts, or this version of Serin cannot read one.
    """
    tally = ReportTally(record)
    for recorded in islice(entries, record.sequence):
        tally.add(recorded)
    return tally.result(record)


class ReportTally:
    """The sums over a release's entries, added one by one, so that a later report only has to read the new entries."""

    def __init__(self, record: ReleaseRecord) -> None:
        self.counted = 0
        self._last: RecordedEntry | None = None
        self._history, self._evidence, self._latency = (
            History(release_of(record).policy),
            EvidenceTally(),
            LatencyTally(),
        )
        self._labelled, self._accuracy, self._traces = ReliabilityTally(), AccuracyTally(), TraceTally()
        self._classes = ClassTally()
        self._suites: tuple[SuiteFile, ...] = ()

    def add(self, recorded: RecordedEntry) -> None:
        """Add the next entry. Raises PermanentError if this version of Serin cannot read it."""
        self._last, self.counted = recorded, self.counted + 1
        told = told_of(recorded)
        if isinstance(told, Looked | LooksThinned):
            self._evidence.add(told.look, told.looks if isinstance(told, LooksThinned) else 1)
            self._latency.add(told.look)
            self._labelled.add(told.look.pairs)
            self._accuracy.add(told.look)
            self._classes.add(told.look.pairs)
            self._traces.add(told.look.window.end_s, told.verdicts, told.readings)
        elif told is not None:
            self._history.add(recorded.sequence, recorded.at_s, told)
            if isinstance(told, Judged) and told.suites is not None:
                self._suites = told.suites.files

    def result(self, record: ReleaseRecord) -> ReportData:
        """Return the report of the entries that were added; ``record`` is the release's state after them.

        Raises:
            PermanentError: fewer entries were added than the record counts.
        """
        if self.counted < record.sequence:
            message = f"release {record.release_id}: {self.counted} journal entries of {record.sequence} were given"
            raise PermanentError(message)
        release, history, last = release_of(record), self._history, self._last
        as_of_s = release.started_at_s if last is None else last.at_s
        return ReportData(
            schema=SCHEMA,
            made_by=own_release(),
            conclusion=conclusion_of(release),
            facts=_facts(release, as_of_s, history.decided_at_s),
            policy=release.policy,
            suites=self._suites,
            gates=tuple(sorted(release.verdicts.values(), key=lambda verdict: _ORDER.index(verdict.stage))),
            phases=tuple(history.phases),
            traffic=tuple(history.traffic),
            decisions=tuple(history.decisions),
            faults=tuple(history.faults),
            traces=self._traces.result(),
            reliability_stable=reliability(self._labelled.stable),
            reliability_candidate=reliability(self._labelled.candidate),
            accuracy_stable=self._accuracy.result("stable"),
            accuracy_candidate=self._accuracy.result("candidate"),
            classes_lost=self._classes.result(),
            latency=self._latency.result(release.policy.objectives_ms),
            label_sources=release.label_sources,
            evidence=self._evidence.result(),
            chain=Chain(self.counted, "" if last is None else last.hash),
        )


_ORDER = tuple(Stage)


def conclusion_of(release: Release) -> Conclusion:
    """Return the release's state or end in one sentence, with the recorded reason."""
    because = ""
    if release.blamed:
        because = f" because {listed(release.blamed)} failed"
    headline = f"Version {release.candidate.number} of {release.model} {became(release)}{because}."
    return Conclusion(release.phase, headline, release.reason, release.blamed)


def _facts(release: Release, as_of_s: float, decided_at_s: float | None) -> Facts:
    return Facts(
        release_id=release.id,
        model=release.model,
        purpose=release.purpose,
        candidate=release.candidate,
        stable=release.stable,
        replaced=release.replaced,
        started_by=release.started_by,
        started_at_s=release.started_at_s,
        as_of_s=as_of_s,
        decided_at_s=decided_at_s,
        origin=in_words(release.origin) if release.origin is not None else (),
        policy_digest=policy_digest(release.policy),
    )


def policy_digest(policy: ReleasePolicy) -> str:
    """Return the SHA-256 of the policy's canonical JSON, as in the journal: releases with the same digest had the same
    policy."""
    return sha256(canonical_json(entry_of(PolicyRead(policy), 0.0).payload).encode()).hexdigest()
