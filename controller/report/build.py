"""From the journal to the report's data, in one pass. No verdict is computed here: the recorded ones are shown."""

from collections.abc import Iterable
from itertools import islice

from controller.core.events import Judged, Looked
from controller.core.origin import in_words
from controller.core.release import Phase, Purpose, Release
from controller.errors import PermanentError
from controller.journal.codec import release_of
from controller.journal.notes import LooksThinned
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
from controller.report.words import PHASE_WORDS, listed
from gates.suite_evidence import SuiteFile
from gates.verdict import Stage


def build_report(record: ReleaseRecord, entries: Iterable[RecordedEntry]) -> ReportData:
    """The report of a release as it stood at ``record``; entries that came later are left out.

    Raises:
        PermanentError: there are fewer entries than the record counts, or this version of Serin cannot read one.
    """
    release = release_of(record)
    last: RecordedEntry | None = None
    counted = 0
    history, evidence, latency = History(release.policy), EvidenceTally(), LatencyTally()
    labelled, accuracy, traces = ReliabilityTally(), AccuracyTally(), TraceTally()
    classes = ClassTally()
    suites: tuple[SuiteFile, ...] = ()
    for recorded in islice(entries, record.sequence):
        last, counted = recorded, counted + 1
        told = told_of(recorded)
        if isinstance(told, Looked | LooksThinned):
            evidence.add(told.look, told.looks if isinstance(told, LooksThinned) else 1)
            latency.add(told.look)
            labelled.add(told.look.pairs)
            accuracy.add(told.look)
            classes.add(told.look.pairs)
            traces.add(told.look.window.end_s, told.verdicts, told.readings)
        elif told is not None:
            history.add(recorded.sequence, recorded.at_s, told)
            if isinstance(told, Judged) and told.suites is not None:
                suites = told.suites.files
    if counted < record.sequence:
        message = f"release {record.release_id}: {counted} journal entries of {record.sequence} were given"
        raise PermanentError(message)
    as_of_s = release.started_at_s if last is None else last.at_s
    return ReportData(
        schema=SCHEMA,
        conclusion=_conclusion(release),
        facts=_facts(release, as_of_s, history.decided_at_s),
        policy=release.policy,
        suites=suites,
        gates=tuple(sorted(release.verdicts.values(), key=lambda verdict: _ORDER.index(verdict.stage))),
        phases=tuple(history.phases),
        traffic=tuple(history.traffic),
        decisions=tuple(history.decisions),
        faults=tuple(history.faults),
        traces=traces.result(),
        reliability_stable=reliability(labelled.stable),
        reliability_candidate=reliability(labelled.candidate),
        accuracy_stable=accuracy.result("stable"),
        accuracy_candidate=accuracy.result("candidate"),
        classes_lost=classes.result(),
        latency=latency.result(release.policy.objectives_ms),
        label_sources=release.label_sources,
        evidence=evidence.result(),
        chain=Chain(counted, "" if last is None else last.hash),
    )


_ORDER = tuple(Stage)


def _conclusion(release: Release) -> Conclusion:
    what = PHASE_WORDS[release.phase]
    if release.purpose is Purpose.RESTORE and release.phase in (Phase.PROMOTED, Phase.PROMOTING):
        what = "was restored" if release.phase is Phase.PROMOTED else "is being restored"
    because = ""
    if release.blamed:
        because = f" because {listed(release.blamed)} failed"
    headline = f"Version {release.candidate.number} of {release.model} {what}{because}."
    return Conclusion(release.phase, headline, release.reason, release.blamed)


def _facts(release: Release, as_of_s: float, decided_at_s: float | None) -> Facts:
    return Facts(
        release_id=release.id,
        model=release.model,
        purpose=release.purpose,
        candidate=release.candidate,
        stable=release.stable,
        started_by=release.started_by,
        started_at_s=release.started_at_s,
        as_of_s=as_of_s,
        decided_at_s=decided_at_s,
        origin=in_words(release.origin) if release.origin is not None else (),
    )
