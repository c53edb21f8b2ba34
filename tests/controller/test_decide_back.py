"""What takes a release back: a failed gate, a person, a newer candidate, or something that broke."""

from dataclasses import replace

import pytest

from controller.core.commands import Ask
from controller.core.condition import Condition
from controller.core.decide import decide
from controller.core.events import ChampionMoved, Judged, Leaving
from controller.core.facts import (
    AliasAt,
    AliasSurprise,
    Asked,
    Broken,
    NewerCandidate,
    Overridden,
    Routed,
    Serving,
)
from controller.core.release import TERMINAL, Phase, Purpose
from controller.core.traffic import Override
from gates.outcome import Outcome
from gates.verdict import Stage
from tests.controller.releases import (
    NOW_S,
    POLICY,
    after,
    command,
    look,
    of_kind,
    passes,
    release_in,
    suites_run,
    taken,
    verdict,
)

ABORT = Asked(command(Ask.ABORT))
ROLLBACK = Asked(command(Ask.ROLLBACK))
OVERRIDE = Overridden(Override("pager", "bo", NOW_S))
BACK = Routed({"6": 100.0}, 9)
FAILED = passes() | {"accuracy.shadow": verdict("accuracy.shadow", Outcome.FAIL)}
ACTIVE = [phase for phase in Phase if phase not in TERMINAL]
ON_THE_WAY = [phase for phase in ACTIVE if phase is not Phase.ROLLING_BACK]
UNTRIED = {Phase.PENDING, Phase.PREFLIGHT, Phase.SUITE, Phase.HELD}


@pytest.mark.parametrize("phase", ON_THE_WAY)
def test_a_failed_gate_takes_a_release_back_from_any_phase(phase):
    release = after(release_in(phase, verdicts=FAILED))
    assert (release.phase, release.blamed) == (Phase.ROLLING_BACK, ("accuracy.shadow",))
    assert release.ending is (Phase.REJECTED if phase in UNTRIED else Phase.ROLLED_BACK)
    assert release.reason == "accuracy.shadow says fail"


def test_a_failed_look_takes_a_release_back_in_the_same_decision():
    """A failed analysis did not stop the step (argo 1411): verdict and step change in one transaction."""
    policy = replace(POLICY, gates=replace(POLICY.gates, incident_s=0.0))  # each look counts by itself
    release = release_in(Phase.CANARY, policy=policy, step_requests=10_000, routed=True)
    for number in (1, 2):  # no look fails a gate alone
        at_s = NOW_S + 10 * number
        release = after(release, taken(release, look(number, requests=5_000, errors=1_500, at_s=at_s)), at_s=at_s)
    assert release.phase is Phase.CANARY
    last = look(3, requests=5_000, errors=1_500, at_s=NOW_S + 30)
    events = decide(release, [taken(release, last)], NOW_S + 30)
    assert [type(event).__name__ for event in events] == ["Looked", "Leaving"]
    assert "errors.live" in events[-1].blamed


def test_every_failed_gate_is_blamed_and_heard():
    verdicts = FAILED | {"latency.p95": verdict("latency.p95", Outcome.FAIL, Stage.LIVE)}
    release = after(release_in(Phase.CANARY, verdicts=verdicts))
    assert release.blamed == ("accuracy.shadow", "latency.p95")
    assert release.reason == "accuracy.shadow says fail latency.p95 says fail"


def test_an_advisory_failure_takes_nothing_back():
    verdicts = passes() | {"drift": verdict("drift", Outcome.FAIL, advisory=True)}
    assert after(release_in(Phase.PROBATION, verdicts=verdicts)).phase is Phase.PROBATION


def test_a_failed_suite_rejects_a_version_that_had_no_traffic():
    failed = suites_run(verdict("accuracy.suite", Outcome.FAIL, Stage.SUITE))
    release = after(release_in(Phase.SUITE), failed)
    assert (release.ending, release.blamed) == (Phase.REJECTED, ("accuracy.suite",))


def test_rolling_back_ends_once_the_data_plane_confirms_the_route():
    release = release_in(Phase.ROLLING_BACK, ending=Phase.ROLLED_BACK, reason="why")
    assert after(release).phase is Phase.ROLLING_BACK
    release = after(release, BACK)
    assert (release.phase, release.reason) == (Phase.ROLLED_BACK, "why")


def test_a_moved_alias_is_moved_back_before_the_release_rests():
    release = release_in(Phase.ROLLING_BACK, ending=Phase.ROLLED_BACK, champion_moved=True)
    release = after(release, BACK)
    assert (release.phase, release.routed) == (Phase.ROLLING_BACK, True)
    assert after(release, AliasAt("6")).phase is Phase.ROLLED_BACK


def test_an_alias_that_somebody_else_moved_does_not_keep_a_rollback_from_ending():
    release = release_in(Phase.ROLLING_BACK, ending=Phase.ROLLED_BACK, champion_moved=True, reason="Too slow.")
    release = after(release, BACK, AliasSurprise("champion points at 9"))
    assert release.phase is Phase.ROLLED_BACK
    assert release.reason == "Too slow. The registry is left as found: champion points at 9"


@pytest.mark.parametrize("phase", [Phase.PROMOTING, Phase.PROBATION])
def test_an_alias_that_may_have_been_moved_before_a_crash_is_moved_back(phase):
    """The controller can die between moving the alias and recording it."""
    moved = phase is Phase.PROBATION
    release = after(release_in(phase, routed=True, champion_moved=moved), ROLLBACK)
    assert release.champion_moved
    assert after(release, BACK).phase is Phase.ROLLING_BACK
    assert after(release, BACK, AliasAt("6")).phase is Phase.ROLLED_BACK


def test_a_first_version_has_nothing_to_go_back_to():
    release = after(release_in(Phase.PROMOTING, stable=None, routed=True), ABORT, AliasAt("7"))
    assert release.phase is Phase.ROLLING_BACK
    assert after(release).phase is Phase.ABORTED


# --- a person's word --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("phase", ACTIVE)
def test_abort_always_wins(phase):
    """Abort was ignored after `promote --full` (argo 4461)."""
    others = [ROLLBACK, NewerCandidate("8"), OVERRIDE, AliasSurprise("moved"), Broken("broken"), BACK]
    release = after(release_in(phase, verdicts=FAILED, ending=Phase.HELD), *others, ABORT)
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.ABORTED)
    assert release.reason == "Aborted by ana: I say so"


@pytest.mark.parametrize("phase", sorted(TERMINAL))
def test_a_release_at_rest_absorbs_everything(phase):
    """Abort with nothing running scaled the stable version to zero (argo 1292): then it does nothing."""
    facts = [ABORT, ROLLBACK, OVERRIDE, BACK, AliasAt("7"), Broken("broken"), Serving("7", Condition.FAILED)]
    assert decide(release_in(phase, verdicts=FAILED), facts, NOW_S + 10_000_000) == ()


@pytest.mark.parametrize("phase", ON_THE_WAY)
def test_a_person_takes_any_release_back(phase):
    """Breach while waiting for approval did not roll back (flagger 1801); no manual 'fail it now' (flagger 724)."""
    release = after(release_in(phase), ROLLBACK)
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    assert release.reason == "Rolled back by ana: I say so"


@pytest.mark.parametrize("phase", ON_THE_WAY)
def test_a_route_moved_by_a_person_ends_the_release_with_the_persons_reason(phase):
    release = after(release_in(phase), OVERRIDE)
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.ROLLED_BACK)
    assert release.reason == "Rolled back by bo: pager"


def test_a_release_that_goes_back_stays_its_course():
    release = release_in(Phase.ROLLING_BACK, ending=Phase.REJECTED, reason="suite", verdicts=FAILED)
    for fact in (ROLLBACK, OVERRIDE, NewerCandidate("8"), Broken("broken"), Serving("7", Condition.FAILED)):
        assert not of_kind(decide(release, [fact], NOW_S), Leaving)


def test_a_rollback_asked_for_on_the_way_to_hold_is_the_decision_that_hold_would_wait_for():
    release = after(release_in(Phase.ROLLING_BACK, ending=Phase.HELD), ROLLBACK)
    assert release.ending is Phase.ROLLED_BACK


def test_a_second_abort_changes_nothing():
    release = release_in(Phase.ROLLING_BACK, ending=Phase.ABORTED, routed=False)
    assert not of_kind(decide(release, [ABORT], NOW_S), Leaving)


# --- a newer candidate ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("phase", [p for p in ON_THE_WAY if p not in (Phase.PROMOTING, Phase.PROBATION)])
def test_a_newer_candidate_supersedes_one_that_is_not_decided(phase):
    """A new version in the middle of a canary (flagger 30, argo 1372)."""
    release = after(release_in(phase), NewerCandidate("8"))
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.SUPERSEDED)


def test_a_promotion_on_its_way_is_finished_before_the_newer_candidate_comes():
    assert after(release_in(Phase.PROMOTING), NewerCandidate("8")).phase is Phase.PROMOTING


def test_a_newer_candidate_ends_probation_early():
    release = after(release_in(Phase.PROBATION), NewerCandidate("8"))
    assert release.phase is Phase.PROMOTED
    assert "version 8" in release.reason


def test_a_failure_in_probation_is_not_forgotten_over_a_newer_candidate():
    release = after(release_in(Phase.PROBATION, verdicts=FAILED), NewerCandidate("8"))
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.ROLLED_BACK)


# --- something broke --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("phase", ON_THE_WAY)
def test_what_asking_again_will_not_mend_ends_the_release(phase):
    refused = verdict("preflight.package", Outcome.FAIL, Stage.PREFLIGHT)
    release = after(release_in(phase), Broken("model.onnx: is missing", refused))
    assert (release.phase, release.blamed) == (Phase.ROLLING_BACK, ("preflight.package",))
    assert release.ending is (Phase.REJECTED if phase in UNTRIED else Phase.ROLLED_BACK)
    assert release.reason == "model.onnx: is missing"


def test_the_same_refusal_is_recorded_once():
    """A release that goes back asks again at every step; the journal need not hear it again."""
    refused = verdict("preflight.package", Outcome.FAIL, Stage.PREFLIGHT)
    release = release_in(Phase.ROLLING_BACK, ending=Phase.REJECTED)
    release = after(release, Broken("x", refused))
    assert not of_kind(decide(release, [Broken("x", refused)], NOW_S), Judged)


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.SUITE, Phase.SHADOW])
def test_a_replica_that_is_not_ready_yet_is_waited_for(phase):
    release = release_in(phase, verdicts={})
    assert after(release, Serving("7", Condition.FAILING)).phase is phase


@pytest.mark.parametrize("phase", [p for p in ON_THE_WAY if p is not Phase.HELD])
def test_a_candidate_that_cannot_be_kept_running_goes_back(phase):
    release = after(release_in(phase), Serving("7", Condition.FAILED, "killed, out of memory"))
    assert (release.phase, release.blamed) == (Phase.ROLLING_BACK, ("deployment",))
    assert "killed, out of memory" in release.reason


@pytest.mark.parametrize("phase", [Phase.CANARY, Phase.PROMOTING, Phase.PROBATION])
def test_users_are_not_left_with_a_candidate_that_does_not_answer(phase):
    serving = Serving("7", Condition.FAILING), Serving("6", Condition.READY)
    assert after(release_in(phase), *serving).phase is Phase.ROLLING_BACK


@pytest.mark.parametrize("phase", [Phase.CANARY, Phase.PROMOTING, Phase.PROBATION])
@pytest.mark.parametrize("stable", [(), (Serving("6", Condition.FAILING),), (Serving("6", Condition.DISTURBED),)])
def test_a_candidate_is_not_blamed_while_stable_is_away_too_or_nobody_knows(phase, stable):
    """As after a machine lost its power: what ended both was neither's doing."""
    assert after(release_in(phase), Serving("7", Condition.FAILING), *stable).phase is phase


def test_a_stable_version_that_died_is_started_again_and_blames_nobody():
    release = release_in(Phase.SHADOW, verdicts={})
    assert after(release, Serving("6", Condition.FAILED)).phase is Phase.SHADOW


@pytest.mark.parametrize("phase", ON_THE_WAY)
def test_an_alias_that_somebody_else_moved_holds_the_release(phase):
    release = after(release_in(phase), AliasSurprise("champion points at 9, expected 6"))
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.HELD)
    assert "champion points at 9, expected 6" in release.reason


# --- a way back is a release too --------------------------------------------------------------------------------------
def restoring(phase, **changes):
    """Version 7 comes back in the place of 6, by a person's word."""
    return release_in(phase, **({"purpose": Purpose.RESTORE, "verdicts": {}} | changes))


def test_a_way_back_skips_gates_and_steps():
    """Undo replays all steps (argo 2168, 574, 2939)."""
    release = after(restoring(Phase.PENDING, reason="pager"))
    release = after(release, Serving("7", Condition.READY))
    assert release.phase is Phase.PROMOTING
    release = after(release, Routed({"7": 100.0}, 2), AliasAt("7"))
    assert (release.phase, release.reason) == (Phase.PROMOTED, "pager")


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.PREFLIGHT, Phase.PROMOTING, Phase.HELD])
@pytest.mark.parametrize("fact", [NewerCandidate("8"), ROLLBACK, OVERRIDE, AliasSurprise("champion points at 9")])
def test_a_way_back_is_not_left_for_what_a_person_just_left(phase, fact):
    """Neither a newer candidate, nor a second press of the button, nor a name sends traffic back to the bad version."""
    assert not of_kind(decide(restoring(phase), [fact], NOW_S), Leaving)


def test_a_way_back_is_not_judged():
    assert after(restoring(Phase.PROMOTING, verdicts=FAILED)).phase is Phase.PROMOTING


def test_a_way_back_can_be_aborted():
    assert after(restoring(Phase.PROMOTING), ABORT).ending is Phase.ABORTED


def test_a_way_back_ends_with_the_traffic_restored_even_where_the_alias_was_moved_by_somebody():
    release = restoring(Phase.PROMOTING, routed=True, reason="pager")
    release = after(release, AliasSurprise("champion points at 9"))
    assert release.phase is Phase.PROMOTED
    assert release.reason == "pager The registry is left as found: champion points at 9"


@pytest.mark.parametrize("fact", [Broken("model.onnx: is missing"), Serving("7", Condition.FAILING)])
def test_a_way_back_that_cannot_be_gone_is_held_with_traffic_as_it_is(fact):
    release = after(restoring(Phase.PREFLIGHT), fact, at_s=NOW_S + 3_600)
    assert release.phase is Phase.HELD
    assert decide(release, [fact], NOW_S + 3_700) == ()
    assert after(release, Asked(command(Ask.RESUME))).phase is Phase.PREFLIGHT


def test_an_alias_moved_by_us_is_known_to_be_moved():
    release = release_in(Phase.PROMOTING, routed=True)
    events = decide(release, [AliasAt("7")], NOW_S)
    assert of_kind(events, ChampionMoved) == [ChampionMoved("7")]
    assert after(release, AliasAt("7")).champion_moved
