"""What the journal stores reads back as the same value, on any machine, at any time."""

import json
import math
from dataclasses import replace
from typing import get_args

import pytest

from controller.core.events import (
    ChampionMoved,
    ClockStepped,
    CommandTaken,
    Event,
    FaultCleared,
    FaultNoted,
    GatesRestarted,
    Identified,
    Judged,
    Leaving,
    Looked,
    Paused,
    PhaseEntered,
    Started,
    TrafficConfirmed,
    TrafficRestored,
    Unpaused,
    Verified,
)
from controller.core.origin import Origin
from controller.core.policy import OnDeadline
from controller.core.release import Cursors, GateState, Phase, Purpose, Version
from controller.errors import PermanentError
from controller.journal import chain, codec
from controller.journal.codec import entry_of, event_of, record_of, release_of
from controller.ports.journal import Entry
from gates.evidence import Answer, ArmCounts, Fault, LabelChance, LabelCounts, LabelledPair
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.outcome import Outcome
from gates.policy import GatePolicy
from gates.stats.share import ShareState
from gates.verdict import Interval, Stage, Verdict, Window
from tests.controller.releases import CANDIDATE, NOW_S, POLICY, STABLE, SUITES, look, passes, release_in

JUDGED = Verdict(
    "latency.p95",
    Stage.LIVE,
    Outcome.FAIL,
    "P95 got worse: 1.4 times as many slow answers.",
    value=1 / 3,
    unit="times",
    interval=Interval(0.1, 0.7, 0.99),
    threshold=1.15,
    samples=1_000,
    samples_needed=250,
    window=Window(NOW_S, NOW_S + 10),
    freezes=True,
)
PAIR = LabelledPair("refund", Answer("refund", 0.9, 0.02), Answer("track", 0.8, 1.3), 0.2, True, ("short",))
LOOK = replace(
    look(3, errors=2),
    pairs=(PAIR,),
    pairs_agreed=7,
    pairs_disagreed=1,
    stable_labels=LabelCounts(10, 1, (LabelChance(0.1, 4, 1), LabelChance(1 / 3, 6, 0))),
    faults=(Fault("metrics", "away"),),
)
GATES = state_to_json(GateSet(GatePolicy()).start(deadline_s=NOW_S + 3_600))
CURSORS = Cursors({"a{b='c'}": 17.0}, NOW_S, 3, 2, 1)
POLICY_OF_ALL = replace(POLICY, on_deadline=OnDeadline.ROLL_BACK, gates=GatePolicy(latency=None))
EVENTS = [
    Started(
        "intent-v7-1", "intent", Purpose.PROMOTE, CANDIDATE, STABLE, Version("5"), POLICY_OF_ALL, "ana", "new data"
    ),
    Started("intent-v7-1", "intent", Purpose.RESTORE, CANDIDATE, None, None, POLICY, "ana", "first"),
    PhaseEntered(Phase.CANARY, "Every gate on shadow traffic passed.", NOW_S, step=2),
    Verified(CANDIDATE),
    Verified(
        CANDIDATE, Origin("0a1b", "c0ffee", (("epochs", "3"),), ("tickets (ab12) for training",), 1.4, "held-out")
    ),
    Identified(STABLE, tagged=True),
    Judged((JUDGED, *passes().values())),
    Judged((JUDGED,), SUITES),
    Looked(LOOK, (JUDGED,), {"latency.p95": (1.5, 1.0, None)}, NOW_S + 3_600),
    ClockStepped(-3_600.0),
    GatesRestarted({"latency.p95": "it has none"}),
    TrafficConfirmed({"6": 95.0, "7": 5.0}, 12),
    TrafficRestored("ben", "the route of intent was deleted"),
    ChampionMoved("7"),
    FaultNoted("metrics", "connection refused"),
    FaultCleared("metrics"),
    Leaving(Phase.ROLLED_BACK, "P95 got worse.", ("latency.p95",), "serin"),
    CommandTaken("c-1", "abort", "falscher Prüfpunkt", "ana"),
    Paused("ana", "Feiertag"),
    Unpaused("ana", "vorbei"),
]


def stored(document):
    """Through the text that a database keeps."""
    return json.loads(json.dumps(document, allow_nan=False))


def test_every_kind_of_event_is_tried_here():
    assert {type(event) for event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_reads_back_as_itself(event):
    entry = entry_of(event, NOW_S)
    assert (entry.kind, entry.at_s) == (type(event).__name__, NOW_S)
    assert event_of(replace(entry, payload=stored(entry.payload))) == event


def test_verdicts_recorded_before_suites_left_evidence_read_as_they_did():
    """A journal of an older Serin opens: it has no evidence of its suites."""
    payload = stored(entry_of(Judged((JUDGED,)), NOW_S).payload)
    del payload["suites"]
    assert event_of(Entry("Judged", NOW_S, payload)) == Judged((JUDGED,))


def test_a_release_with_everything_reads_back_as_itself():
    release = release_in(
        Phase.ROLLING_BACK,
        policy=POLICY_OF_ALL,
        verdicts={"latency.p95": JUDGED},
        gate_state=GateState(1, GATES),
        cursors=CURSORS,
        faults={"metrics": "away"},
        ending=Phase.ABORTED,
        blamed=("latency.p95",),
        looked_at_s=NOW_S + 1 / 3,
    )
    record = record_of(release, 12)
    assert (record.version, record.phase, record.active, record.sequence) == ("7", "rolling_back", True, 12)
    assert release_of(record) == release


def test_the_gates_go_on_from_the_journal_to_the_same_floating_point_values():
    gate_set = GateSet(GatePolicy())
    state, _ = gate_set.look(gate_set.start(deadline_s=NOW_S + 3_600), look(1, errors=3))
    read = release_of(record_of(release_in(Phase.CANARY, gate_state=GateState(1, state)), 12))
    assert read.gate_state is not None
    assert read.gate_state.document == state_to_json(state)
    following = look(2, errors=1, at_s=NOW_S + 10)
    assert gate_set.look(state_from_json(read.gate_state.document), following) == gate_set.look(state, following)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_what_is_no_number_in_a_snapshot_is_there_after_a_restart(value):
    """JSON has no such number, in a verdict as little as in what a gate remembers."""
    gate_set = GateSet(GatePolicy())
    first = gate_set.start()
    gates = tuple(
        (name, replace(inner, share=ShareState(peak=value)) if name == "errors.shadow" else inner)
        for name, inner in first.gates
    )
    state = replace(first, gates=gates)
    verdict = replace(JUDGED, value=value)
    release = release_in(Phase.CANARY, verdicts={"latency.p95": verdict}, gate_state=GateState(1, state))
    record = record_of(release, 3)
    json.loads(record.state, parse_constant=pytest.fail)
    read = release_of(record)
    assert read.verdicts["latency.p95"] == verdict
    assert read.gate_state is not None
    assert state_from_json(read.gate_state.document) == state


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_evidence_that_is_no_number_is_recorded_as_what_it_is(value):
    """It is the gates' to judge: a journal that refused it would stop the release from being decided at all."""
    bad = replace(PAIR, candidate=Answer("track", value, value))
    entry = entry_of(Looked(replace(LOOK, pairs=(bad,)), (replace(JUDGED, value=value),)), NOW_S)
    read = event_of(replace(entry, payload=stored(entry.payload)))
    assert str(read.look.pairs[0].candidate.confidence) == str(value)
    assert str(read.verdicts[0].value) == str(value)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_read_from_its_stored_bytes(event):
    """As the journal gives it back, without a detour."""
    (found,) = chain.extend("release:r1", position=0, after=0, head_hash="0" * 64, entries=[entry_of(event, NOW_S)])
    assert event_of(found) == event


def test_evidence_that_is_no_number_is_read_from_its_stored_bytes():
    event = Looked(LOOK, (replace(JUDGED, value=math.inf),))
    (found,) = chain.extend("release:r1", position=0, after=0, head_hash="0" * 64, entries=[entry_of(event, NOW_S)])
    assert event_of(found).verdicts[0].value == math.inf


def test_events_of_earlier_schemas_are_read_step_by_step(monkeypatch):
    """Each change of an event's fields brings one step, and what was recorded two changes ago takes both."""

    def named(payload):
        return {"source": payload["who"], "why": payload["why"]}

    def reasoned(payload):
        return {"source": payload["source"], "reason": payload["why"]}

    monkeypatch.setattr(codec, "READERS", {"FaultNoted": (named, reasoned)})
    event = FaultNoted("metrics", "away")
    assert entry_of(event, NOW_S).schema == 3
    assert event_of(Entry("FaultNoted", NOW_S, {"who": "metrics", "why": "away"}, schema=1)) == event
    assert event_of(Entry("FaultNoted", NOW_S, {"source": "metrics", "why": "away"}, schema=2)) == event
    assert event_of(entry_of(event, NOW_S)) == event
    old = Entry("FaultNoted", NOW_S, {"source": "metrics", "why": "away"}, schema=2)
    (found,) = chain.extend("release:r1", position=0, after=0, head_hash="0" * 64, entries=[old])
    assert event_of(found) == event


def test_a_look_of_the_first_schema_keeps_its_deadline():
    """It held what the gates remembered, and how far was read; of that only their deadline is told again."""
    now = Looked(LOOK, (JUDGED,), deadline_s=NOW_S + 60)
    before = {**stored(entry_of(now, NOW_S).payload), "panel": {"deadline_s": NOW_S + 60}, "cursors": {}}
    del before["deadline_s"], before["readings"]
    assert event_of(Entry("Looked", NOW_S, before, schema=1)) == now


def test_an_event_of_a_later_schema_is_refused():
    with pytest.raises(PermanentError, match="FaultNoted of schema 2; this version reads up to 1"):
        event_of(Entry("FaultNoted", NOW_S, {"source": "metrics", "reason": "away"}, schema=2))


def test_an_event_of_a_later_version_is_refused_by_its_kind():
    with pytest.raises(PermanentError, match="kind 'Teleported', which this version does not know"):
        event_of(Entry("Teleported", NOW_S, {}))


@pytest.mark.parametrize("payload", [{}, {"phase": "limbo", "reason": "x"}, {"phase": "canary"}])
def test_an_event_that_cannot_be_read_is_refused(payload):
    with pytest.raises(PermanentError, match="PhaseEntered that cannot be read"):
        event_of(Entry("PhaseEntered", NOW_S, payload))


def test_a_state_that_cannot_be_read_is_refused():
    record = record_of(release_in(Phase.SHADOW), 3)
    with pytest.raises(PermanentError, match="Release that cannot be read"):
        release_of(replace(record, state=record.state.replace('"shadow"', '"limbo"')))


def test_a_look_that_told_of_half_of_stables_replicas_tells_of_both_halves():
    """They are two parts of it, as looks tell of them now."""
    now = Looked(replace(LOOK, stable=ArmCounts(10, 2, (5, 3)), stable_parts=()), (JUDGED,))
    before = stored(entry_of(now, NOW_S).payload)
    del before["look"]["stable_parts"]
    half = {"requests": 4, "errors": 2, "latency_counts": [1, 1], "error_clusters": None}
    before["look"]["stable_half"] = half
    read = event_of(Entry("Looked", NOW_S, before, schema=2))
    assert read.look.stable_parts == (ArmCounts(6, 0, (4, 2)), ArmCounts(4, 2, (1, 1)))
    before["look"]["stable_half"] = None
    assert event_of(Entry("Looked", NOW_S, before, schema=2)) == now
