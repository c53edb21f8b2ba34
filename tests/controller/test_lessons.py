"""What went wrong in other canary controllers does not happen here: deciding and acting.

One test for each behaviour that no other test of the controller is named after; each gives tool and issue.
"""

from dataclasses import replace

import pytest

from controller.core.commands import Ask
from controller.core.decide import decide
from controller.core.events import Looked, TrafficConfirmed
from controller.core.phases import BEFORE_PROMOTION
from controller.core.release import Phase
from controller.journal.codec import event_of
from gates.evidence import Answer, LabelledPair
from gates.outcome import Outcome
from tests.controller.releases import NOW_S, after, look, passes, release_in, taken
from tests.controller.service import GOOD, LESS_ACCURATE, Behaviour
from tests.controller.world import GATES, POLICY, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, policy=replace(POLICY, deadline_s=300.0))


def events_of(world, kind):
    """Every event of the kind in the newest release's journal, with its time."""
    recorded = world.journal.entries(world.release.id)
    found = ((one.entry.at_s, event_of(one.entry)) for one in recorded)
    return [(at_s, event) for at_s, event in found if isinstance(event, kind)]


# --- evidence ---------------------------------------------------------------------------------------------------------
def test_a_guard_that_saw_few_requests_holds(world):
    """A guard for few requests that passes (suna 3403): below the minimum, hold."""
    world.given(candidate=GOOD)
    world.service.requests_per_s = 1
    world.when_settled(within_s=400)
    assert (world.release.phase, world.weights) == (Phase.HELD, {"v6": 100})


@pytest.mark.parametrize("confidence", [float("nan"), float("inf"), -0.1])
def test_evidence_that_is_no_number_neither_passes_nor_fails_nor_stops_the_loop(confidence):
    """NaN passes Mann-Whitney (kayenta 426; spinnaker 6278): here it is an error that names the field."""
    pair = LabelledPair("track", Answer("track", 0.9, 0.02), Answer("track", confidence, 0.02))
    release = release_in(Phase.SHADOW, routed=True, verdicts={}, policy=replace(POLICY, gates=GATES))
    release = after(release, taken(release, replace(look(1), pairs=(pair,) * 500)))
    judged = release.verdicts["accuracy.shadow"]
    assert judged.outcome is Outcome.ERROR
    assert "pairs[0].candidate.confidence" in judged.reason
    assert release.phase is Phase.SHADOW


def test_a_blamed_gate_says_why_with_what_was_measured(world):
    """People want the measured values (argo 2276, 2658); "no reason provided" (spinnaker 4733)."""
    world.given(candidate=LESS_ACCURATE).when_settled()
    blamed = world.release.verdicts["accuracy.shadow"]
    assert blamed.reason in world.release.reason
    assert blamed.value is not None
    assert blamed.interval is not None
    assert blamed.samples > 0
    assert blamed.window is not None
    assert blamed.window.end_s <= world.clock.now_s()


# --- deciding ---------------------------------------------------------------------------------------------------------
def test_what_was_ended_before_it_was_measured_is_no_success(world):
    """Terminated measurements were recorded as success (argo 1329, 2158): cancelled is not a pass."""
    world.given(candidate=GOOD).when_phase(Phase.SHADOW)
    world.when_asked(Ask.ABORT).when_settled()
    assert world.release.phase is Phase.ABORTED
    assert world.release.outcome_of(*BEFORE_PROMOTION) is not Outcome.PASS
    assert world.registry.tags_of["intent", "7"]["serin.outcome"] == "aborted"


@pytest.mark.parametrize(("requests", "steps_on"), [(99, False), (100, True)])
def test_a_limit_means_what_it_says(requests, steps_on):
    """`failureLimit: 3` needs four failures (argo): a hundred requests are a hundred."""
    release = release_in(Phase.CANARY, step_requests=requests, phase_since_s=NOW_S, routed=True)
    assert (after(release, at_s=NOW_S + 60).step == 1) is steps_on


def test_a_verdict_and_what_follows_from_it_are_recorded_together(world):
    """A failed analysis did not stop the step (argo 1411): one transaction, so no crash can come between."""
    batches = []
    append = world.journal.append

    def kept(record, entries, **named):
        batches.append([entry.kind for entry in entries])
        append(record, entries, **named)

    world.journal.append = kept
    world.given(candidate=LESS_ACCURATE).when_settled()
    assert ["Looked", "Leaving"] in batches


# --- acting -----------------------------------------------------------------------------------------------------------
def test_an_aborted_release_writes_its_target_once_and_leaves_it_alone(world):
    """Abort left selectors flapping (argo 3078, 4973, 2576): one idempotent target."""
    world.given(candidate=GOOD).when_phase(Phase.CANARY)
    world.when_asked(Ask.ABORT).when_settled()
    writes = len(world.traffic.history)
    world.when_time_passes(200)
    assert len(world.traffic.history) == writes
    assert world.weights == {"v6": 100}


@pytest.mark.parametrize("ask", [Ask.ROLLBACK, Ask.ABORT])
def test_a_rollback_in_the_middle_of_promotion_finds_the_former_version_running(world, ask):
    """A rollback during promotion deleted the only healthy copy (flagger 1931)."""

    def away_once_asked_to_move(point):  # so that promotion has its traffic and waits for its name
        if point == "before registry.move_alias":
            world.registry.away = "MLflow is away"

    world.given(candidate=GOOD).when_phase(Phase.CANARY, step=1)
    world.interrupt = away_once_asked_to_move
    world.when_phase(Phase.PROMOTING).when_time_passes(10)
    assert world.weights == {"v7": 100}
    world.when_asked(ask).when_time_passes(10)
    assert (world.weights, world.running) == ({"v6": 100}, {"v6", "v7"})
    assert [spec.version for spec in world.deployments.started] == ["6", "7"]
    assert world.service.unanswered == 0


def test_each_table_is_whole_and_replaces_the_one_before(world):
    """Weights 100:0 served 50:50 (seldon 4067); edited weights were appended (seldon 5181)."""
    world.given(candidate=GOOD).when_settled()
    weights = [dict(table.weights_pct) for table in world.traffic.history]
    assert weights == [{"6": 100.0}, {"6": 100.0}, {"6": 90.0, "7": 10.0}, {"6": 50.0, "7": 50.0}, {"7": 100.0}]
    assert [table.generation for table in world.traffic.history] == [1, 2, 3, 4, 5]


def test_evidence_of_one_candidate_is_never_read_for_the_next(world):
    """A new version in the middle of a canary (flagger 30, argo 1372): the next one starts from nothing."""
    world.given(candidate=LESS_ACCURATE).when_phase(Phase.SHADOW)
    world.when_time_passes(30)
    world.given_candidate("v8", GOOD).when(lambda: world.release.candidate.number == "8").when_settled()
    assert world.ends == [("v7", Phase.SUPERSEDED), ("v8", Phase.PROBATION)]
    first = events_of(world, Looked)[0][1]
    assert first.look.pairs == ()
    assert (first.look.candidate.requests, first.look.shadow.requests) == (0, 0)


def test_a_candidate_is_watched_on_after_it_was_promoted(world):
    """A threshold was breached outside an analysis and nobody was told (flagger 1663). Few looks of a calm probation
    are kept (a day was 350 MB), and the next one that is covers all that was not: nothing is lost, nothing late."""
    world.given(candidate=GOOD).when_phase(Phase.PROBATION).when_time_passes(60)  # until all is said of it
    kept, served = world.release.looks, world.release.looked_at_s
    world.when_time_passes(100)
    assert world.release.looks == kept
    world.service.behaviours["7"] = Behaviour(error_ratio=0.1)
    world.when_phase(Phase.ROLLED_BACK, within_s=90)
    assert world.weights == {"v6": 100}
    first = next(event.look for _, event in events_of(world, Looked) if event.look.window.end_s > served)
    assert first.window.start_s == served
    assert first.candidate.requests > 100 * world.service.requests_per_s * 0.8


def test_a_calm_probation_keeps_a_look_now_and_then(tmp_path):
    """As often as the policy says, and one at its end, where the gates have a test kept for that very look."""
    policy = replace(POLICY, probation_s=1_000.0, probation_look_every_s=300.0)
    world = World(tmp_path, policy=policy).given(candidate=GOOD).when_phase(Phase.PROBATION)
    began_s = world.clock.now_s()
    world.when_phase(Phase.PROMOTED)
    kept = [at_s for at_s, event in events_of(world, Looked) if at_s > began_s]
    assert 4 <= len(kept) <= 12  # one a gate's answer that changed, and the end
    assert kept[-1] - began_s >= 1_000


# --- people -----------------------------------------------------------------------------------------------------------
def test_every_look_is_kept(world):
    """Only the last five analyses are kept (argo): a decision can be followed to its first number."""
    world.given(candidate=GOOD).when_settled()
    assert [event.look.sequence for _, event in events_of(world, Looked)] == list(range(1, world.release.looks + 1))


def test_the_journal_tells_which_version_served_when(world):
    """Nobody knows which version was in production when (mlflow 2169)."""
    world.given(candidate=GOOD).when_settled()
    confirmed = events_of(world, TrafficConfirmed)
    first, second, everything = {"6": 90.0, "7": 10.0}, {"6": 50.0, "7": 50.0}, {"7": 100.0}
    assert [event.weights_pct for _, event in confirmed] == [{"6": 100.0}, first, second, everything, everything]
    assert [at_s for at_s, _ in confirmed] == sorted(at_s for at_s, _ in confirmed)


def test_a_decision_can_be_made_again_from_what_was_recorded():
    """The same facts at the same time give the same events: no decision rests on anything else."""
    release = release_in(Phase.CANARY, routed=True, step_requests=500, verdicts=passes())
    facts = [taken(release, look(1, errors=1))]
    assert decide(release, facts, NOW_S + 70) == decide(release, facts, NOW_S + 70)
