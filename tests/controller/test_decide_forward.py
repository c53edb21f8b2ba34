"""What takes a release forward: passes, and nothing else."""

from dataclasses import replace

import pytest

from controller.core.commands import Ask
from controller.core.condition import Condition
from controller.core.decide import decide
from controller.core.events import (
    ChampionMoved,
    ClockStepped,
    CommandTaken,
    FaultCleared,
    FaultNoted,
    Leaving,
    Looked,
    PhaseEntered,
    fold,
)
from controller.core.facts import AliasAt, Asked, FrozenBy, Probed, Routed, Serving, Unreachable
from controller.core.policy import OnDeadline
from controller.core.release import Cursors, Phase, Purpose
from gates.checks import LABELS, METRICS
from gates.evidence import Fault
from gates.outcome import Outcome
from gates.verdict import Stage
from tests.controller.releases import (
    CANDIDATE,
    FREEZE,
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

READY = (Serving("6", Condition.READY), Serving("7", Condition.READY))
PROBED = Probed(CANDIDATE, (verdict("preflight.package", stage=Stage.PREFLIGHT),))
ROUTED = Routed({"6": 95.0, "7": 5.0}, 3)


def test_a_release_starts_with_preflight_and_a_deadline_for_it():
    release = after(release_in(Phase.PENDING, deadline_at_s=None, verdicts={}), at_s=NOW_S)
    assert (release.phase, release.deadline_at_s) == (Phase.PREFLIGHT, NOW_S + 300)


def test_suites_begin_once_both_versions_serve_and_the_candidate_is_what_was_registered():
    assert after(release_in(Phase.PREFLIGHT, verdicts={}), *READY, PROBED).phase is Phase.SUITE


@pytest.mark.parametrize("facts", [READY, (READY[1], PROBED), (READY[0], PROBED), ()])
def test_preflight_waits_for_what_is_missing(facts):
    """Neither a candidate that was not probed nor a stable version that is not ready goes on."""
    assert after(release_in(Phase.PREFLIGHT, verdicts={}), *facts).phase is Phase.PREFLIGHT


def test_the_probe_gives_the_candidate_its_verified_identity():
    verified = replace(CANDIDATE, fingerprint="f" * 64)
    assert after(release_in(Phase.PREFLIGHT), *READY, Probed(verified, PROBED.verdicts)).candidate == verified


def test_passed_suites_lead_to_shadow_with_the_policys_deadline():
    release = after(release_in(Phase.SUITE), suites_run(verdict("accuracy.suite", stage=Stage.SUITE)), at_s=NOW_S)
    assert (release.phase, release.deadline_at_s) == (Phase.SHADOW, NOW_S + POLICY.deadline_s)


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.ERROR])
def test_suites_that_settle_nothing_hold_the_release(outcome):
    """Labelled cases are judged once: asking the same ones again tells nothing new."""
    release = after(release_in(Phase.SUITE), suites_run(verdict("accuracy.suite", outcome, Stage.SUITE)))
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.HELD)
    assert f"accuracy.suite is {outcome}" in release.reason


def test_without_suites_a_later_version_is_judged_on_traffic_alone():
    release = release_in(Phase.SUITE, policy=replace(POLICY, suites=()))
    assert after(release).phase is Phase.SHADOW


def test_the_first_version_is_promoted_by_the_floors_of_the_suites_alone():
    """There is nothing to shadow: no stable version, no traffic to compare."""
    suites = suites_run(verdict("accuracy.suite", stage=Stage.SUITE))
    assert after(release_in(Phase.SUITE, stable=None), suites).phase is Phase.PROMOTING


def test_a_first_version_without_suites_is_held():
    """Nothing at all speaks for it."""
    release = after(release_in(Phase.SUITE, stable=None, policy=replace(POLICY, suites=())))
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.HELD)


def test_a_first_version_with_advisory_suite_verdicts_alone_is_held():
    """The package is sound, and nothing that counts spoke for the model."""
    verdicts = {"preflight.package": passes()["preflight.package"]}
    advisory = suites_run(verdict("accuracy.suite", stage=Stage.SUITE, advisory=True))
    assert after(release_in(Phase.SUITE, stable=None, verdicts=verdicts), advisory).ending is Phase.HELD


def test_a_promoted_first_version_has_no_probation():
    """There is no version it could be rolled back to."""
    release = release_in(Phase.PROMOTING, stable=None, routed=True)
    assert after(release, AliasAt("7")).phase is Phase.PROMOTED


def test_users_are_exposed_once_every_shadow_gate_passed():
    assert after(release_in(Phase.SHADOW), ROUTED).phase is Phase.CANARY


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.ERROR])
def test_an_open_shadow_gate_exposes_nobody(outcome):
    verdicts = passes() | {"calibration.shadow": verdict("calibration.shadow", outcome)}
    assert after(release_in(Phase.SHADOW, verdicts=verdicts)).phase is Phase.SHADOW


def test_no_verdict_on_shadow_traffic_exposes_nobody():
    """Nothing at all is inconclusive, however well the suites went."""
    verdicts = {name: one for name, one in passes().items() if one.stage is not Stage.SHADOW}
    assert after(release_in(Phase.SHADOW, verdicts=verdicts)).phase is Phase.SHADOW


def test_an_advisory_gate_neither_blocks_nor_speaks_for_a_release():
    advisory = verdict("accuracy.shadow", advisory=True)
    only_advisory = passes() | {"accuracy.shadow": advisory}
    assert after(release_in(Phase.SHADOW, verdicts=only_advisory)).phase is Phase.SHADOW
    beside = passes() | {"drift": verdict("drift", Outcome.FAIL, advisory=True)}
    assert after(release_in(Phase.SHADOW, verdicts=beside)).phase is Phase.CANARY


@pytest.mark.parametrize(("seconds", "requests", "step"), [(59, 500, 0), (300, 99, 0), (60, 100, 1)])
def test_a_step_lasts_for_its_time_and_its_requests(seconds, requests, step):
    release = release_in(Phase.CANARY, step_requests=requests, phase_since_s=NOW_S, routed=True)
    assert after(release, at_s=NOW_S + seconds).step == step


def test_the_least_time_of_a_step_begins_once_the_version_is_warm():
    policy = replace(POLICY, warm_up_s=180.0)
    release = release_in(Phase.CANARY, policy=policy, routed=True, phase_since_s=NOW_S, step_requests=1_000)
    assert release.warm_at_s == NOW_S + 180
    assert after(release, Routed({}, 1), at_s=NOW_S + 180 + 59).step == 0
    assert after(release, Routed({}, 1), at_s=NOW_S + 180 + 60).step == 1


def test_users_are_needed_for_a_version_to_be_cold():
    """A share that nobody is answered by has no warm-up; a promotion has one, as each step has."""
    assert release_in(Phase.SHADOW, routed=True).warm_at_s is None
    served_s = NOW_S + 50
    promoted = release_in(Phase.PROBATION, policy=replace(POLICY, warm_up_s=180.0), routed=True, routed_at_s=served_s)
    assert promoted.warm_at_s == served_s + 180
    again = replace(promoted, cursors=Cursors(started_again_s=NOW_S + 400))
    assert again.warm_at_s == NOW_S + 580
    stepped = fold(again, [ClockStepped(3_600.0)], NOW_S + 500)
    assert stepped.warm_at_s == NOW_S + 580 + 3_600


def test_a_step_begins_when_users_are_answered_by_it():
    """What is written and not served yet takes none of the step's time."""
    release = release_in(Phase.CANARY, step_requests=500, phase_since_s=NOW_S)
    release = after(release, ROUTED, at_s=NOW_S + 50)
    assert (release.step, release.served_since_s) == (0, NOW_S + 50)
    assert after(release, at_s=NOW_S + 100).step == 0
    stepped = after(release, at_s=NOW_S + 110)
    assert (stepped.step, stepped.routed, stepped.routed_at_s) == (1, False, None)


def canary(**changes):
    """In the last step, which has served its time."""
    return release_in(Phase.CANARY, **({"step": 1, "step_requests": 500, "routed": True} | changes))


def test_the_last_step_promotes_once_every_required_gate_passed():
    assert after(canary()).phase is Phase.PROMOTING


@pytest.mark.parametrize("outcome", [Outcome.INCONCLUSIVE, Outcome.ERROR])
@pytest.mark.parametrize("gate", sorted(passes()))
def test_no_promotion_while_any_required_gate_has_not_passed(gate, outcome):
    open_gate = replace(passes()[gate], outcome=outcome)
    assert after(canary(verdicts=passes() | {gate: open_gate})).phase is Phase.CANARY


def test_a_step_that_served_its_time_exposes_more_while_gates_are_still_open():
    """A step limits exposure, it decides nothing."""
    verdicts = passes() | {"errors.live": verdict("errors.live", Outcome.INCONCLUSIVE, Stage.LIVE)}
    release = after(canary(step=0, verdicts=verdicts))
    assert (release.phase, release.step, release.step_requests) == (Phase.CANARY, 1, 0)


@pytest.mark.parametrize("step", [0, 1])
def test_no_step_while_a_source_is_away(step):
    """Without its source a gate would not see what more exposure does."""
    release = after(canary(step=step, faults={METRICS: "connection refused"}))
    assert (release.phase, release.step) == (Phase.CANARY, step)


def test_promotion_ends_when_the_route_and_the_registry_both_say_so():
    """For 30 s after promotion traffic went to the old version (argo 1826): the route is confirmed first."""
    release = release_in(Phase.PROMOTING)
    assert after(release, AliasAt("7")).phase is Phase.PROMOTING
    release = after(release, Routed({"7": 100.0}, 4))
    assert (release.phase, release.routed) == (Phase.PROMOTING, True)
    assert after(release, AliasAt("7")).phase is Phase.PROBATION


def test_an_alias_that_was_moved_is_noted_once_however_long_the_candidate_is_waited_for():
    """A candidate that is away for a moment: the journal had the champion moved at each round."""
    down = Serving("7", Condition.DISTURBED, "its node does not report")
    release = release_in(Phase.PROMOTING, routed=True)
    assert of_kind(decide(release, [AliasAt("7"), down], NOW_S), ChampionMoved)
    waiting = after(release, AliasAt("7"), down)
    assert (waiting.phase, waiting.champion_moved) == (Phase.PROMOTING, True)
    assert not of_kind(decide(waiting, [AliasAt("7"), down], NOW_S + 10), ChampionMoved)
    assert after(waiting, AliasAt("7"), *READY, at_s=NOW_S + 20).phase is Phase.PROBATION


def test_probation_lasts_as_long_as_the_policy_says_and_then_nothing_is_left_to_do():
    release = after(release_in(Phase.PROMOTING, routed=True), AliasAt("7"), at_s=NOW_S)
    assert (release.phase, release.deadline_at_s) == (Phase.PROBATION, NOW_S + POLICY.probation_s)
    assert after(release, at_s=NOW_S + POLICY.probation_s).phase is Phase.PROBATION  # nobody knows who answers users
    release = after(release, Routed({"7": 100.0}, 4), at_s=NOW_S)
    assert after(release, at_s=NOW_S + POLICY.probation_s - 1).phase is Phase.PROBATION
    over_s = NOW_S + POLICY.probation_s
    ending = after(release, at_s=over_s)
    assert (ending.phase, ending.step, ending.routed) == (Phase.PROBATION, 1, False)  # copies end first
    assert after(ending, at_s=over_s + 10).phase is Phase.PROBATION
    assert after(ending, Routed({"7": 100.0}, 5), at_s=over_s + 10).phase is Phase.PROMOTED
    uncopied = replace(release, policy=replace(POLICY, probation_mirror_pct=0.0))
    assert after(uncopied, at_s=over_s).phase is Phase.PROMOTED


def test_a_breach_that_blames_nobody_is_told_at_the_end_of_probation():
    over_s = NOW_S + POLICY.probation_s
    breach = replace(verdict("budget.burn", Outcome.INCONCLUSIVE, Stage.LIVE, advisory=True), breach=True)
    release = release_in(Phase.PROBATION, step=1, routed=True, deadline_at_s=over_s, verdicts={"budget.burn": breach})
    assert after(release, at_s=over_s - 1).phase is Phase.PROBATION  # nothing is rolled back
    promoted = after(release, at_s=over_s)
    assert promoted.phase is Phase.PROMOTED
    assert promoted.reason.endswith(f"Reported, but held against no version: {breach.reason}")


def test_a_breach_is_kept_at_the_look_that_finds_it():
    """Though nothing else of the verdict changes, and few looks of probation are written."""
    before = verdict("budget.burn", Outcome.INCONCLUSIVE, Stage.LIVE, advisory=True)
    release = release_in(
        Phase.PROBATION,
        routed=True,
        looks=1,
        looked_at_s=NOW_S,
        verdicts={"budget.burn": before},
        phase_since_s=NOW_S - 9,
    )
    seen = taken(release, look(2, at_s=NOW_S + 10))
    for changed in (False, True):
        judged = replace(seen.judgement, verdicts=(replace(before, breach=changed),))
        events = decide(release, [replace(seen, judgement=judged)], NOW_S + 10)
        assert len(of_kind(events, Looked)) == changed


def test_probation_does_not_end_without_the_candidate():
    """A restart at the deadline is waited for; where it lasts longer than a start may, a person has to look."""
    over_s = NOW_S + POLICY.probation_s
    release = release_in(Phase.PROBATION, routed=True, champion_moved=True, deadline_at_s=over_s)
    starting = after(release, Serving("7", Condition.STARTING, "it is starting"), at_s=over_s)
    assert starting.phase is Phase.PROBATION
    assert after(starting, *READY, at_s=over_s + 10).step == 1  # copies end, and then it does
    without = [Serving("7", Condition.FAILED, "SIGSEGV"), Serving("6", Condition.DISTURBED)]
    held = after(release, *without, at_s=over_s + POLICY.start_timeout_s)
    assert (held.phase, held.ending, held.blamed) == (Phase.ROLLING_BACK, Phase.HELD, ())
    assert "SIGSEGV" in held.reason


def test_a_version_that_is_down_is_noted_once_however_many_are():
    down = [Serving(number, Condition.DISTURBED, "no memory") for number in ("6", "7")]
    release = after(release_in(Phase.CANARY), *down)
    assert release.faults == {"deployments": "version 6: no memory; version 7: no memory"}
    assert decide(release, down, NOW_S + 100) == ()


@pytest.mark.parametrize(
    ("release", "stays"),
    [
        (release_in(Phase.PENDING), Phase.PENDING),
        (release_in(Phase.SHADOW), Phase.SHADOW),
        (release_in(Phase.CANARY, step_requests=500), Phase.CANARY),
        (canary(), Phase.CANARY),
    ],
)
def test_a_freeze_lets_nobody_be_exposed_to_more(release, stays):
    frozen = after(release, FrozenBy(FREEZE), at_s=NOW_S + 100)
    assert (frozen.phase, frozen.step) == (stays, release.step)


def test_a_freeze_never_stops_a_rollback():
    failing = passes() | {"errors.live": verdict("errors.live", Outcome.FAIL, Stage.LIVE)}
    for release in (release_in(Phase.SHADOW, verdicts=failing), canary(verdicts=failing)):
        assert after(release, FrozenBy(FREEZE)).phase is Phase.ROLLING_BACK
    gone_back = after(release_in(Phase.ROLLING_BACK, ending=Phase.ROLLED_BACK), FrozenBy(FREEZE), ROUTED)
    assert gone_back.phase is Phase.ROLLED_BACK
    restoring = release_in(Phase.PENDING, purpose=Purpose.RESTORE)
    assert after(restoring, FrozenBy(FREEZE)).phase is Phase.PREFLIGHT


# --- deadlines --------------------------------------------------------------------------------------------------------
OPEN = passes() | {"errors.live": verdict("errors.live", Outcome.INCONCLUSIVE, Stage.LIVE)}


@pytest.mark.parametrize(
    ("on_deadline", "ending"), [(OnDeadline.HOLD, Phase.HELD), (OnDeadline.ROLL_BACK, Phase.ROLLED_BACK)]
)
@pytest.mark.parametrize(
    "release",
    [
        release_in(Phase.SHADOW, verdicts={}),
        release_in(Phase.CANARY, verdicts=OPEN, step_requests=500),
        canary(verdicts=OPEN),
        canary(step_requests=0),
    ],
)
def test_what_is_not_proven_by_the_deadline_goes_back_and_ends_as_the_policy_says(release, on_deadline, ending):
    """An inconclusive analysis was promoted at the end of a timed pause (argo 3873): only a pass advances."""
    release = replace(release, policy=replace(release.policy, on_deadline=on_deadline))
    release = after(release, at_s=NOW_S + 3_600)
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, ending)
    assert release.reason.startswith("Not proven by the deadline:")


def test_the_reason_at_the_deadline_names_the_open_gates_and_what_they_say():
    release = after(canary(verdicts=OPEN), at_s=NOW_S + 3_600)
    assert "errors.live is inconclusive (errors.live says inconclusive)" in release.reason
    assert "accuracy.shadow" not in release.reason


def test_what_passes_in_shadow_only_at_its_deadline_exposes_nobody_any_more():
    """There is no time left in which the canary could be judged."""
    assert after(release_in(Phase.SHADOW), at_s=NOW_S + 3_600).phase is Phase.ROLLING_BACK


def test_a_canary_past_its_deadline_takes_no_further_step():
    release = after(release_in(Phase.CANARY, verdicts=OPEN, step_requests=500), at_s=NOW_S + 4_000)
    assert release.phase is Phase.ROLLING_BACK


@pytest.mark.parametrize("phase", [Phase.PREFLIGHT, Phase.SUITE, Phase.PROMOTING])
def test_no_phase_waits_for_ever(phase):
    """Every release settles by its deadline, whichever part of the world never answers; the reason says which."""
    release = after(release_in(phase), Unreachable("registry", "MLflow is away"), at_s=NOW_S + 3_600)
    assert (release.phase, release.ending) == (Phase.ROLLING_BACK, Phase.HELD)
    assert "MLflow is away" in release.reason


# --- a person's word --------------------------------------------------------------------------------------------------
RESUME = Asked(command(Ask.RESUME))


def test_a_held_release_resumes_in_shadow_with_a_new_deadline():
    release = after(release_in(Phase.HELD), RESUME, at_s=NOW_S + 9_000)
    assert (release.phase, release.deadline_at_s) == (Phase.SHADOW, NOW_S + 9_000 + POLICY.deadline_s)
    assert release.reason == "Resumed by ana: I say so"


@pytest.mark.parametrize("stage", [Stage.PREFLIGHT, Stage.SUITE])
def test_a_held_release_that_was_not_through_before_resumes_from_preflight(stage):
    """Suites that could not be judged are run again; a pass is never assumed."""
    verdicts = passes() | {"open": verdict("open", Outcome.ERROR, stage)}
    assert after(release_in(Phase.HELD, verdicts=verdicts), RESUME).phase is Phase.PREFLIGHT


def test_a_held_first_version_resumes_from_preflight():
    assert after(release_in(Phase.HELD, stable=None), RESUME).phase is Phase.PREFLIGHT


def test_resume_changes_nothing_in_a_release_that_is_not_held():
    release = release_in(Phase.SHADOW, verdicts={})
    events = decide(release, [RESUME], NOW_S)
    assert events == (CommandTaken(RESUME.command.id, Ask.RESUME, "I say so", "ana"),)


def test_a_held_release_waits_for_a_person_however_long():
    release = release_in(Phase.HELD)
    events = decide(release, [*READY, ROUTED], NOW_S + 10_000_000)
    assert not of_kind(events, PhaseEntered)
    assert not of_kind(events, Leaving)


# --- faults -----------------------------------------------------------------------------------------------------------
def test_a_fault_is_noted_once_while_it_lasts_and_cleared_when_its_source_answers():
    away = Unreachable("registry", "MLflow is away")
    release = release_in(Phase.PREFLIGHT, verdicts={})
    assert of_kind(decide(release, [away], NOW_S), FaultNoted) == [FaultNoted("registry", "MLflow is away")]
    release = after(release, away)
    assert decide(release, [away], NOW_S) == ()
    assert decide(release, [*READY, away], NOW_S) == ()
    assert of_kind(decide(release, READY, NOW_S), FaultCleared) == [FaultCleared("registry")]
    assert after(release, *READY).faults == {}


def test_a_fault_of_a_source_that_nothing_speaks_for_does_not_stay_for_ever():
    release = after(release_in(Phase.SHADOW, verdicts={}), Unreachable("freezes", "locked"))
    assert release.faults == {"freezes": "locked"}
    assert after(release, Unreachable("freezes", "locked")).faults == {"freezes": "locked"}
    assert after(release, ROUTED).faults == {}


def test_a_source_that_fails_a_look_is_a_fault_until_a_look_without_it():
    release = release_in(Phase.CANARY, routed=True)
    faulty = replace(look(1), stable=None, candidate=None, faults=(Fault(METRICS, "connection refused"),))
    release = after(release, taken(release, faulty))
    assert release.faults == {METRICS: "connection refused"}
    again = replace(faulty, sequence=2, window=replace(faulty.window, start_s=NOW_S, end_s=NOW_S + 10))
    assert not of_kind(decide(release, [taken(release, again)], NOW_S), FaultNoted)
    release = after(release, taken(release, look(3, at_s=NOW_S + 20)))
    assert release.faults == {}


def test_a_fault_whose_numbers_run_on_is_noted_once():
    """A lasting fault is one line of the journal, not one a look; another kind of it is told."""
    release = release_in(Phase.CANARY, routed=True)

    def noted(at: int, *reasons: str) -> list[FaultNoted]:
        nonlocal release
        fact = taken(release, replace(look(at), faults=tuple(Fault(METRICS, reason) for reason in reasons)))
        found = of_kind(decide(release, [fact], NOW_S), FaultNoted)
        release = after(release, fact)
        return found

    assert noted(1, "6,000 answers and 10 requests") == [FaultNoted(METRICS, "6,000 answers and 10 requests")]
    assert noted(2, "12,500 answers and 1,020.5 requests") == []
    assert noted(3, "refused") == [FaultNoted(METRICS, "refused")]
    assert noted(4, "too many: 10", "too few: 3") == [FaultNoted(METRICS, "too many: 10; too few: 3")]
    assert noted(5, "too many: 12", "too few: 1") == []


def test_a_look_counts_the_steps_requests_and_moves_the_cursors():
    cursors = Cursors({"series": 4.0}, NOW_S, pair=2, labelled_pair=1, labelled_answer=5)
    release = release_in(Phase.CANARY, step_requests=50, routed=True)
    release = after(release, taken(release, look(1, requests=30), cursors), at_s=NOW_S)
    assert (release.step_requests, release.looks, release.looked_at_s, release.cursors) == (80, 1, NOW_S, cursors)


def test_labels_that_are_away_do_not_clear_what_else_is_away():
    release = release_in(Phase.SHADOW, faults={LABELS: "x", METRICS: "y"}, routed=True)
    faulty = replace(look(1), faults=(Fault(LABELS, "x"),))
    assert after(release, taken(release, faulty)).faults == {LABELS: "x"}
