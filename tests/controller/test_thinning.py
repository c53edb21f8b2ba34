"""Old looks give way to their sums: the chain holds, the report and the evidence say what they said."""

import dataclasses
from collections.abc import Iterator

import pytest

from controller.adapters.sql import Store, open_store
from controller.errors import ConflictError, PermanentError
from controller.journal.notes import LooksThinned
from controller.journal.standing import told_of
from controller.journal.walk import walk
from controller.offline.evidence_file import line_of, looks_of, parse_line
from controller.offline.replay import judge, missing_looks
from controller.ports.journal import Entry, summary_stream
from controller.report.build import build_report
from controller.report.data import ReportData
from tests.controller.report_support import POLICY, START_S, Journal, Scene, play
from tests.controller.test_sql_store import execute

RELEASE = "intent-v7-1"
LONG_AFTER_S = START_S + 1e6


@pytest.fixture(scope="module")
def journal() -> Journal:
    """Some minutes in shadow and the first steps of a canary."""
    return play(Scene(requests_per_s=6.0, stop_after_s=420, policy=dataclasses.replace(POLICY, look_every_s=5.0)))


@pytest.fixture
def store(journal: Journal, store_url: str) -> Iterator[Store]:
    opened = open_store(store_url)
    opened.journal.append(journal.record, [one.entry for one in journal.entries])
    yield opened
    opened.close()


def report_of(store: Store) -> ReportData:
    record = store.journal.release(RELEASE)
    assert record is not None
    return build_report(record, walk(store.journal, record))


def payload_bytes(store: Store) -> int:
    with store.database.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT SUM(LENGTH(payload)) FROM entries").scalar_one())


def test_nothing_is_lost_but_the_single_looks(store: Store, journal: Journal) -> None:
    """Counts, labels, latencies, faults and the chain's head are what they were."""
    before, size = report_of(store), payload_bytes(store)
    looks = sum(entry.kind == "Looked" for entry in journal.entries)
    assert store.looks.prune(LONG_AFTER_S) > looks / 2
    after = report_of(store)
    assert after.evidence == before.evidence
    assert after.evidence.looks == looks
    assert (after.latency, after.accuracy_stable) == (before.latency, before.accuracy_stable)
    assert after.reliability_candidate.count == before.reliability_candidate.count
    assert (after.chain, after.decisions, after.gates) == (before.chain, before.decisions, before.gates)
    assert payload_bytes(store) < size
    assert store.looks.prune(LONG_AFTER_S) == 0


def test_the_evidence_is_judged_again_without_gaps(store: Store, journal: Journal) -> None:
    """The last look of each sum is told as many looks as it stands for."""
    whole = [one.verdicts for one in judge(POLICY, list(looks_of(journal.entries)))][-1]
    store.looks.prune(LONG_AFTER_S)
    found = list(looks_of(store.journal.entries(RELEASE)))
    assert len(found) < 20
    assert [parse_line(line_of(one)) for one in found] == found
    assert any(one.looks > 1 for one in found)
    assert missing_looks(found) == []
    thinned = [one.verdicts for one in judge(POLICY, found)][-1]
    assert {v.gate: v.samples for v in thinned if v.gate == "accuracy.shadow"} == {
        v.gate: v.samples for v in whole if v.gate == "accuracy.shadow"
    }


def test_an_old_leader_thins_out_nothing(store: Store) -> None:
    """As little as it appends: who leads now may be reading what it takes away."""
    store.journal.note("model:intent", [], fence=7)
    before = store.journal.entries(RELEASE)
    with pytest.raises(ConflictError, match="later leader"):
        store.looks.led_by(lambda: 6).prune(LONG_AFTER_S)
    assert store.journal.entries(RELEASE) == before
    assert store.journal.stream_page(summary_stream(RELEASE), after=0, limit=1) == ()
    assert store.looks.led_by(lambda: 7).prune(LONG_AFTER_S) > 0
    with pytest.raises(ConflictError, match="later leader"):
        store.looks.led_by(lambda: 6).prune(2 * LONG_AFTER_S)


def test_young_looks_stay(store: Store) -> None:
    """Up to the last full hour before the limit."""
    assert store.looks.prune(START_S - 3_600) == 0
    assert all(one.text is not None for one in store.journal.entries(RELEASE))


def test_a_release_goes_on_after_its_looks_were_thinned(store: Store, journal: Journal) -> None:
    """Its own stream keeps its length and its head: who drives it notices nothing."""
    store.looks.prune(LONG_AFTER_S)
    record, last = journal.record, journal.entries[-1]
    store.journal.append(dataclasses.replace(record, sequence=record.sequence + 1), [last.entry])
    assert len(store.journal.entries(RELEASE)) == record.sequence + 1


def test_what_stands_for_looks_is_an_event_of_its_own(store: Store) -> None:
    """In a stream beside the release's, with a chain."""
    store.looks.prune(LONG_AFTER_S)
    told = [told_of(entry) for entry in store.journal.entries(RELEASE)]
    sums = [one for one in told if isinstance(one, LooksThinned)]
    written = store.journal.stream_page(f"summaries:{RELEASE}", after=0, limit=100)
    assert sums
    assert len(written) == len(sums)


TAKEN_AWAY = "UPDATE entries SET payload = NULL, summarised_by = NULL WHERE kind = 'Started'"
SAID_TO_STAND = (
    "UPDATE entries SET payload = NULL, summarised_by = (SELECT MAX(summarised_by) FROM entries) WHERE kind = 'Started'"
)
CHANGED = "UPDATE entries SET payload = replace(payload, '\"first\":', '\"first\":0') WHERE kind = 'LooksThinned'"
FORGOTTEN = "UPDATE entries SET summarised_by = NULL WHERE kind = 'Looked'"
DELETED = "DELETE FROM entries WHERE kind = 'LooksThinned'"


@pytest.mark.parametrize("tampering", [TAKEN_AWAY, SAID_TO_STAND, CHANGED, FORGOTTEN, DELETED])
def test_a_payload_that_was_taken_away_is_missed(store: Store, tampering: str) -> None:
    """Only what was thinned out, and stands in a sum that is whole, may be away."""
    store.looks.prune(LONG_AFTER_S)
    execute(store, tampering)
    with pytest.raises(PermanentError, match="is away, and nothing stands for it"):
        store.journal.entries(RELEASE)


def test_a_look_that_cannot_be_read_keeps_no_other_releases_looks(store: Store, journal: Journal) -> None:
    odd = dataclasses.replace(journal.record, release_id="aaa-v7-1", model="aaa", sequence=1)
    store.journal.append(odd, [Entry("Looked", START_S, {"teleported": True})])
    assert store.looks.prune(LONG_AFTER_S) > 0
    assert [one.text for one in store.journal.entries("aaa-v7-1")] == ['{"teleported":true}']
