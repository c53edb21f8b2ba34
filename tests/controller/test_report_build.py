"""The report's data: read from the journal alone, and from nothing else."""

import itertools
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from controller.core.events import ChampionMoved, FaultNoted, Looked, evolve
from controller.core.release import Phase, Purpose, Version
from controller.errors import PermanentError
from controller.journal.codec import entry_of, event_of
from controller.ports.journal import Entry
from controller.report.build import build_report
from controller.report.data import ReportData
from controller.report.page import render_html, render_json
from gates.evidence import ArmCounts, LabelCounts, LabelledPair, Look
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict, Window
from tests.controller import report_support as support
from tests.controller.report_support import EDGES_MS, START_S, Journal, Scene, started


@pytest.fixture(scope="module")
def promoted() -> Journal:
    return support.play(support.PROMOTED)


@pytest.fixture(scope="module")
def slow() -> Journal:
    return support.play(support.SLOW)


def report_of(journal: Journal) -> ReportData:
    return build_report(journal.record, journal.entries)


def test_a_rolled_back_release_says_which_gate_and_why(slow: Journal) -> None:
    """'No reason provided' cannot happen: the headline names the gates, the reason is their recorded sentences."""
    conclusion = report_of(slow).conclusion
    assert conclusion.phase is Phase.ROLLED_BACK
    assert "latency.p95" in conclusion.blamed
    assert conclusion.headline.startswith("Version 7 of intent was rolled back because latency.p95")
    assert slow.release is not None
    assert conclusion.reason == slow.release.reason


def test_verdicts_are_the_recorded_ones(promoted: Journal) -> None:
    """Nothing is judged again: each verdict of the report is the last that the journal holds of its gate."""
    recorded: dict[str, Verdict] = {}
    for entry in promoted.entries:
        event = event_of(entry.entry)
        recorded |= {v.gate: v for v in getattr(event, "verdicts", ())}
    assert {v.gate: v for v in report_of(promoted).gates} == recorded


def test_phases_follow_each_other_without_a_gap(promoted: Journal) -> None:
    """Each canary step is a span of its own, so is the end of the copies in probation; the last ends the release."""
    phases = report_of(promoted).phases
    assert [span.title for span in phases] == [
        "Pending", "Preflight", "Suite", "Shadow", "Canary 5 %", "Canary 25 %", "Canary 50 %",
        "Promoting", "Probation", "End of probation", "Promoted",
    ]  # fmt: skip
    assert all(before.end_s == after.start_s for before, after in itertools.pairwise(phases))


def test_evidence_adds_up_to_what_the_looks_hold(promoted: Journal) -> None:
    """Requests, labels and pairs of the report are the sums over every recorded look."""
    looks = [e.look for e in (event_of(r.entry) for r in promoted.entries) if isinstance(e, Looked)]
    evidence = report_of(promoted).evidence
    assert evidence.looks == len(looks)
    assert evidence.stable.live_requests == sum(look.stable.requests for look in looks if look.stable)
    assert evidence.candidate.live_requests == sum(look.candidate.requests for look in looks if look.candidate)
    assert evidence.candidate.mirrored_requests == sum(look.shadow.requests for look in looks if look.shadow)
    assert evidence.pairs_labelled_by_chance == sum(len(look.pairs) for look in looks)
    assert evidence.candidate.wrong == sum(look.candidate_labels.wrong for look in looks if look.candidate_labels)


def test_reliability_counts_every_labelled_pair_of_both_versions(promoted: Journal) -> None:
    report = report_of(promoted)
    for found in (report.reliability_stable, report.reliability_candidate):
        assert found.count == sum(part.count for part in found.bins) == report.evidence.pairs_labelled_by_chance
        assert all(part.low <= part.confidence <= part.high for part in found.bins)


def test_overconfidence_shows_in_the_candidates_diagram_alone() -> None:
    report = report_of(support.play(support.OVERCONFIDENT))
    assert "calibration.shadow" in report.conclusion.blamed
    stable, candidate = report.reliability_stable, report.reliability_candidate
    assert stable.confidence is not None
    assert stable.accuracy is not None
    assert candidate.confidence is not None
    assert candidate.accuracy is not None
    assert candidate.confidence - candidate.accuracy > 0.02 > abs(stable.confidence - stable.accuracy)


def test_directed_labels_stay_out_of_the_reliability_diagram() -> None:
    """Labels asked for where the versions disagreed say nothing of one version's own calibration."""
    pair = support.look(Scene(), 1, START_S, START_S + 10, 0.0, support.np.random.default_rng(1)).pairs[0]
    wrong = replace(pair.candidate, label="invoice")
    directed = replace(pair, directed=True, stable=replace(pair.stable, label="refund"), candidate=wrong)
    look = Look(1, Window(START_S, START_S + 10), 0.0, pairs=(pair, directed, directed))
    report = report_of(_with_looks([look]))
    assert report.reliability_candidate.count == 1
    assert report.evidence.pairs_labelled_directed == 2


def test_an_uneven_sample_is_weighted_by_its_design() -> None:
    """One answer taken with a chance of one in ten stands for ten."""
    pair = support.look(Scene(), 1, START_S, START_S + 10, 0.0, support.np.random.default_rng(1)).pairs[0]
    right = replace(pair, candidate=replace(pair.candidate, label=pair.truth, confidence=0.95))
    wrong = replace(pair, candidate=replace(pair.candidate, label="login", confidence=0.95), inclusion_probability=0.1)
    report = report_of(_with_looks([Look(1, Window(START_S, START_S + 10), 0.0, pairs=(right, wrong))]))
    assert report.reliability_candidate.accuracy == pytest.approx(1 / 11)
    assert report.reliability_candidate.count == 2


def test_accuracy_gives_labels_of_disagreements_the_weight_of_the_disagreements() -> None:
    """Of 1,000 pairs 100 disagree. The candidate is right in all that agree, and in half of those that do not."""
    pair = support.look(Scene(), 1, START_S, START_S + 10, 0.0, support.np.random.default_rng(1)).pairs[0]
    same = replace(pair, stable=replace(pair.stable, label=pair.truth), candidate=pair.stable)
    same = replace(same, candidate=replace(same.candidate, label=pair.truth))
    lost = replace(same, candidate=replace(same.candidate, label="login"), directed=True)
    won = replace(same, stable=replace(same.stable, label="login"), directed=True)
    look = Look(
        1, Window(START_S, START_S + 10), 0.0, pairs=(same, lost, won) * 30, pairs_agreed=900, pairs_disagreed=100
    )
    report = report_of(_with_looks([look]))
    for found in (report.accuracy_stable, report.accuracy_candidate):
        assert found is not None
        assert found.value == pytest.approx(0.95)
        assert found.low < 0.95 < found.high < 1
        assert (found.method, found.labels) == ("aipw", 90)
    assert "95 % confidence, from 90 labels" in " ".join(render_html(report).split())


def test_the_class_that_lost_most_is_named() -> None:
    """By the true class, of labels given by chance: what was asked for by disagreement tells of disagreements alone."""
    pair = support.look(Scene(), 1, START_S, START_S + 10, 0.0, support.np.random.default_rng(1)).pairs[0]

    def answered(truth: str, stable: str, candidate: str, **more: Any) -> LabelledPair:
        answers = {"stable": replace(pair.stable, label=stable), "candidate": replace(pair.candidate, label=candidate)}
        return replace(pair, truth=truth, **answers, **more)

    few = [answered("login", "login", "refund")] * 9  # too few labels to say so
    lost = [answered("invoice", "invoice", "refund")] * 9 + [answered("invoice", "refund", "refund")] * 16
    kept = [answered("refund", "refund", "refund")] * 60 + [answered("refund", "refund", "invoice")] * 3
    asked = [answered("refund", "refund", "invoice", directed=True)] * 50
    look = Look(1, Window(START_S, START_S + 10), 0.0, pairs=(*few, *lost, *kept, *asked))
    report = report_of(_with_looks([look]))
    assert [(one.name, one.labels, one.stable, one.candidate) for one in report.classes_lost] == [
        ("invoice", 25, pytest.approx(0.36), 0.0),
        ("refund", 63, 1.0, pytest.approx(60 / 63)),
    ]
    assert "Lost most: class invoice, 36 % → 0 % found of 25 labelled by chance" in " ".join(
        render_html(report).split()
    )


def test_without_counts_of_all_pairs_accuracy_rests_on_labels_given_by_chance() -> None:
    pair = support.look(Scene(), 1, START_S, START_S + 10, 0.0, support.np.random.default_rng(1)).pairs[0]
    right = replace(pair, candidate=replace(pair.candidate, label=pair.truth))
    wrong = replace(pair, candidate=replace(pair.candidate, label="login"), inclusion_probability=0.1)
    report = report_of(_with_looks([Look(1, Window(START_S, START_S + 10), 0.0, pairs=(right, wrong) * 20)]))
    found = report.accuracy_candidate
    assert found is not None
    assert found.value == pytest.approx(1 / 11)
    assert (found.method, found.labels) == ("hajek", 40)
    few = report_of(_with_looks([Look(1, Window(START_S, START_S + 10), 0.0, pairs=(right, wrong))]))
    assert few.accuracy_candidate is None


def test_latency_compares_both_versions_over_the_same_windows() -> None:
    """While the candidate serves nobody, or everybody, there is nothing to compare: those looks are not mixed in."""
    alone = _timed(1, share=0.0, stable=1_000, candidate=None)
    together = _timed(2, share=0.05, stable=95, candidate=5)
    after = _timed(3, share=1.0, stable=0, candidate=1_000)
    latency = report_of(_with_looks([alone, together, after])).latency
    assert latency is not None
    assert not latency.mirrored
    assert (latency.stable.total, latency.candidate.total) == (95, 5)


def test_before_the_canary_the_mirrored_answers_are_shown() -> None:
    latency = report_of(support.play(support.LESS_ACCURATE)).latency
    assert latency is not None
    assert latency.mirrored
    assert latency.candidate.total > 0


def test_percentiles_are_bucket_edges_and_unknown_beyond_the_last() -> None:
    counts = [0] * (len(EDGES_MS) + 1)
    counts[10], counts[-1] = 90, 10
    arm = ArmCounts(100, 0, tuple(counts))
    look = Look(1, Window(START_S, START_S + 10), 0.5, EDGES_MS, stable=arm, candidate=arm)
    latency = report_of(_with_looks([look])).latency
    assert latency is not None
    assert latency.stable.percentiles_ms == {"P50": EDGES_MS[10], "P95": None, "P99": None}


def test_looks_with_other_bucket_edges_are_counted_and_not_added() -> None:
    odd = replace(_timed(2, share=0.5, stable=10, candidate=10), latency_edges_ms=(*EDGES_MS[:-1], 99_999.0))
    latency = report_of(_with_looks([_timed(1, share=0.5, stable=7, candidate=7), odd])).latency
    assert latency is not None
    assert (latency.stable.total, latency.looks_left_out) == (7, 1)


def test_a_source_that_was_away_is_reported_with_its_time() -> None:
    """An outage is shown as one, apart from the candidate's failures."""
    report = report_of(support.play(support.WITHOUT_METRICS))
    assert report.conclusion.phase is Phase.HELD
    assert not report.conclusion.blamed
    (fault,) = report.faults
    assert fault.source == "metrics"
    assert fault.end_s is None
    assert report.evidence.looks_with_fault["metrics"] > 50


def test_a_persons_word_is_in_the_time_line_with_their_name() -> None:
    report = report_of(support.play(replace(support.PROMOTED, abort_at_s=60.0)))
    assert report.conclusion.phase is Phase.ABORTED
    asked = next(decision for decision in report.decisions if decision.title == "Asked to abort")
    assert (asked.by, asked.reason) == ("Bo", "Complaints from support.")


def test_a_release_that_has_only_started_has_a_report() -> None:
    journal = Journal()
    journal.write([started()], START_S)
    report = report_of(journal)
    assert report.conclusion.headline == "Version 7 of intent waits for its turn."
    assert report.evidence.looks == 0
    assert report.latency is None
    assert "No gate has been judged." in render_html(report)


def test_a_first_version_and_a_restore_have_reports() -> None:
    """No stable version to name; and no gate to blame."""
    journal = Journal()
    journal.write([started(stable=None, purpose=Purpose.RESTORE), ChampionMoved("7")], START_S)
    page = render_html(report_of(journal))
    assert "none: the first version of this model" in page
    assert "Restore asked for" in page


def test_a_fix_of_what_cannot_run_says_what_it_takes_the_place_of() -> None:
    journal = Journal()
    journal.write([replace(started(stable=None), replaced=Version("6"))], START_S)
    page = render_html(report_of(journal))
    assert "Replaces" in page
    assert "version 6" in page
    assert "the first version of this model" not in page


def test_replaying_the_journal_gives_the_same_report(promoted: Journal) -> None:
    """The state folded again from the recorded events leads to the very same bytes."""
    again = Journal(entries=promoted.entries)
    for entry in promoted.entries:
        again.release = evolve(again.release, event_of(entry.entry), entry.entry.at_s)
    assert render_json(report_of(again)) == render_json(report_of(promoted))
    assert render_html(report_of(again)) == render_html(report_of(promoted))


def test_json_is_versioned_valid_and_the_same_each_time(promoted: Journal) -> None:
    """Infinite bounds become null: every JSON parser reads the file."""
    text = render_json(report_of(promoted))
    assert text == render_json(report_of(promoted))
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["schema"] == "serin.report/v1"
    assert document["chain"] == {"entries": len(promoted.entries), "head_hash": promoted.entries[-1].hash}
    assert set(document["gates"][0]) >= {"gate", "outcome", "reason", "value", "interval", "threshold", "samples"}


def test_entries_written_while_the_report_is_made_are_left_out(slow: Journal) -> None:
    """The record is read first, the entries later; the report speaks of one moment."""
    late = Journal(release=slow.release, entries=list(slow.entries))
    late.append([entry_of(FaultNoted("metrics", "away"), START_S + 9_999)])
    assert build_report(slow.record, late.entries) == report_of(slow)


def test_missing_entries_are_refused(slow: Journal) -> None:
    with pytest.raises(PermanentError, match="journal entries of"):
        build_report(slow.record, slow.entries[:-1])


def test_thousands_of_looks_are_one_pass_and_stay_small() -> None:
    """A release of hours: four times the looks take about four times as long, where every pair of them would be 16."""

    first = support.play(replace(support.SLOW, stop_after_s=472))
    last = next(entry for entry in reversed(first.entries) if entry.entry.kind == "Looked")

    def made(looks: int) -> tuple[ReportData, float]:
        journal = Journal(release=first.release, entries=list(first.entries))
        journal.append([_at(last.entry, START_S + 480 + i, 1_000 + i) for i in range(looks)])
        began_s = time.process_time()  # of the processor, so that busy neighbours do not count
        return report_of(journal), time.process_time() - began_s

    for _ in range(3):  # once is proof: noise only adds
        report, took_s = made(2_400)
        if took_s < 10 * max(made(600)[1], 1e-3):
            break
    else:
        raise AssertionError("four times the looks take more than ten times as long")
    page, text = render_html(report), render_json(report)
    assert report.evidence.looks > 2_400
    assert all(len(trace.points) <= 160 for trace in report.traces)
    assert max(len(page), len(text)) < 1_000_000


def _at(entry: Entry, at_s: float, sequence: int) -> Entry:
    """The same look again at another time, with a few labelled pairs."""
    look: dict[str, Any] = {**entry.payload["look"], "sequence": sequence}  # type: ignore[dict-item]
    look |= {"window": {"start_s": at_s - 1, "end_s": at_s}, "pairs": look["pairs"][:5]}
    return Entry(entry.kind, at_s, {**entry.payload, "look": look})


def _with_looks(looks: list[Look]) -> Journal:
    journal = Journal()
    journal.write([started()], START_S)
    verdict = Verdict("errors.live", Stage.LIVE, Outcome.INCONCLUSIVE, "Nothing yet.")
    for look in looks:
        journal.write([Looked(look, (verdict,))], look.window.end_s)
    return journal


def _timed(sequence: int, *, share: float, stable: int, candidate: int | None) -> Look:
    def arm(requests: int) -> ArmCounts:
        return ArmCounts(requests, 0, (requests, *(0,) * len(EDGES_MS)))

    window = Window(START_S + 10 * sequence, START_S + 10 * sequence + 10)
    served = arm(candidate) if candidate is not None else None
    return Look(
        sequence, window, share, EDGES_MS, stable=arm(stable), candidate=served, stable_labels=LabelCounts(1, 0)
    )
