"""What each phase wants done: derived from the state alone, capacity before traffic, traffic before names."""

from dataclasses import replace

import pytest

from controller.core.actions import (
    FreezeModel,
    MoveChampion,
    Probe,
    Route,
    RunSuites,
    Serve,
    TakeLook,
    look_is_due,
    plan,
    route_of,
)
from controller.core.policy import Step
from controller.core.release import TERMINAL, Phase, Purpose, Version
from controller.core.traffic import Mirror
from gates.outcome import Outcome
from gates.verdict import Stage
from tests.controller.releases import CANDIDATE, NOW_S, POLICY, STABLE, release_in, verdict
from tests.fakes.traffic import ABLE

FORMER = Version("5", "m-5")


def kinds(release, now_s=NOW_S):
    return [type(action) for action in plan(release, now_s)]


@pytest.mark.parametrize("phase", sorted(TERMINAL))
def test_a_release_at_rest_wants_nothing(phase):
    assert plan(release_in(phase), NOW_S) == ()


def test_stable_is_kept_running_in_every_phase():
    """A release that waits, frozen, for hours must not leave a dead stable version dead."""
    for phase in set(Phase) - TERMINAL:
        assert Serve(STABLE) in plan(release_in(phase), NOW_S)


def test_the_candidate_is_started_after_the_release_began_and_not_kept_for_the_way_back():
    for phase in set(Phase) - TERMINAL:
        wanted = phase not in (Phase.PENDING, Phase.ROLLING_BACK)
        assert (Serve(CANDIDATE) in plan(release_in(phase), NOW_S)) is wanted


def test_capacity_comes_before_traffic_and_traffic_before_names():
    """Thundering herd at promotion (flagger 1600, 381)."""
    assert kinds(release_in(Phase.PROMOTING, routed=True)) == [Serve, Serve, Route, MoveChampion]


def test_the_alias_is_moved_only_after_the_route_is_confirmed():
    assert MoveChampion not in kinds(release_in(Phase.PROMOTING))
    assert MoveChampion(CANDIDATE, STABLE) in plan(release_in(Phase.PROMOTING, routed=True), NOW_S)


def test_preflight_probes_and_suite_runs_suites_on_both_versions():
    assert Probe(CANDIDATE) in plan(release_in(Phase.PREFLIGHT), NOW_S)
    assert RunSuites(CANDIDATE, STABLE, POLICY.suites) in plan(release_in(Phase.SUITE), NOW_S)
    assert RunSuites(CANDIDATE, None, POLICY.suites) in plan(release_in(Phase.SUITE, stable=None), NOW_S)


def test_shadow_copies_requests_and_exposes_nobody():
    route = route_of(release_in(Phase.SHADOW))
    assert route == Route({"6": 100.0}, Mirror("7", 100.0), "6", takes_up_override=False)


@pytest.mark.parametrize(("step", "weights"), [(0, {"6": 95.0, "7": 5.0}), (1, {"6": 50.0, "7": 50.0})])
def test_each_step_routes_its_weight_and_mirrors_on(step, weights):
    route = route_of(release_in(Phase.CANARY, step=step))
    assert (route.weights_pct, route.mirror) == (weights, Mirror("7", 100.0))


def test_a_step_of_everything_names_no_version_with_no_traffic():
    """Weights 100:0 served 50:50 (seldon 4067)."""
    policy = replace(POLICY, steps=(replace(POLICY.steps[0], weight_pct=100.0),))
    assert route_of(release_in(Phase.CANARY, policy=policy)).weights_pct == {"7": 100.0}


def test_promotion_routes_everything_and_keeps_the_former_version_for_a_rollback():
    """'Known good' changes once promotion starts (flagger 1931)."""
    for phase in (Phase.PROMOTING, Phase.PROBATION):
        assert route_of(release_in(phase)) == Route({"7": 100.0}, Mirror("6", 10.0), "6", takes_up_override=False)


def test_a_version_that_serves_everybody_is_copied_to_the_former_one():
    """As much as the policy says and the data plane can; not once probation is over, and to nobody who was left."""
    all_of_it = replace(POLICY, steps=(Step(100.0),), probation_mirror_pct=12.5)
    for phase in (Phase.CANARY, Phase.PROMOTING, Phase.PROBATION):
        assert route_of(release_in(phase, policy=all_of_it)).mirror == Mirror("6", 12.5)
        coarse = replace(ABLE, mirror_step_pct=10.0)
        assert route_of(release_in(phase, policy=all_of_it, able=coarse)).mirror is None
        assert route_of(release_in(phase, policy=replace(all_of_it, probation_mirror_pct=0.0))).mirror is None
    assert route_of(release_in(Phase.PROBATION, step=1)).mirror is None
    assert route_of(release_in(Phase.PROMOTING, purpose=Purpose.RESTORE)).mirror is None
    assert route_of(release_in(Phase.PROMOTING, stable=None)).mirror is None


@pytest.mark.parametrize("phase", [Phase.ROLLING_BACK, Phase.HELD])
def test_the_way_back_routes_everything_to_stable_and_points_at_what_was_known_good_before(phase):
    route = route_of(release_in(phase, fallback=FORMER))
    assert (route.weights_pct, route.mirror, route.known_good) == ({"6": 100.0}, None, "5")


def test_only_the_way_back_writes_over_what_a_person_wrote():
    for phase in (Phase.SHADOW, Phase.CANARY, Phase.PROMOTING, Phase.PROBATION, Phase.HELD):
        assert not route_of(release_in(phase)).takes_up_override
    assert route_of(release_in(Phase.ROLLING_BACK)).takes_up_override
    assert route_of(release_in(Phase.PROMOTING, purpose=Purpose.RESTORE)).takes_up_override


def test_a_restored_version_has_no_known_good_the_version_left_was_bad():
    assert route_of(release_in(Phase.PROMOTING, purpose=Purpose.RESTORE)).known_good is None


def test_a_held_way_back_leaves_the_traffic_as_a_person_left_it():
    assert route_of(release_in(Phase.HELD, purpose=Purpose.RESTORE)) is None


def test_a_first_version_gets_traffic_only_by_promotion():
    for phase in set(Phase) - TERMINAL - {Phase.PROMOTING, Phase.PROBATION}:
        assert route_of(release_in(phase, stable=None)) is None
    assert route_of(release_in(Phase.PROMOTING, stable=None)) == Route({"7": 100.0}, None, None, False)


def test_the_way_back_moves_a_moved_alias_back_once_the_traffic_is_back():
    moved = release_in(Phase.ROLLING_BACK, champion_moved=True)
    assert MoveChampion not in kinds(moved)
    assert plan(replace(moved, routed=True), NOW_S)[-1] == MoveChampion(STABLE, CANDIDATE)
    assert MoveChampion not in kinds(release_in(Phase.ROLLING_BACK, routed=True))


def test_a_blamed_gate_that_freezes_freezes_the_model_on_the_way_back():
    failed = verdict("budget.burn", Outcome.FAIL, Stage.LIVE, freezes=True)
    blamed = release_in(Phase.ROLLING_BACK, verdicts={"budget.burn": failed}, blamed=("budget.burn",))
    assert FreezeModel(failed.reason) in plan(blamed, NOW_S)
    assert FreezeModel not in kinds(replace(blamed, blamed=()))


# --- looks ------------------------------------------------------------------------------------------------------------
def test_looks_are_taken_only_where_traffic_flows_as_asked():
    for phase in set(Phase) - TERMINAL:
        observed = phase in (Phase.SHADOW, Phase.CANARY, Phase.PROBATION)
        assert (TakeLook in kinds(release_in(phase, routed=True))) is observed
        assert TakeLook not in kinds(release_in(phase, routed=False))


@pytest.mark.parametrize(("seconds", "due"), [(9.9, False), (10.0, True)])
def test_a_look_is_due_at_each_interval(seconds, due):
    release = release_in(Phase.SHADOW, looked_at_s=NOW_S, deadline_at_s=NOW_S + 3_600)
    assert look_is_due(release, NOW_S + seconds) is due


def test_one_more_look_is_due_at_the_deadline_for_the_test_that_was_kept_for_it():
    release = release_in(Phase.CANARY, looked_at_s=NOW_S + 3_595, deadline_at_s=NOW_S + 3_600)
    assert not look_is_due(release, NOW_S + 3_599)
    assert look_is_due(release, NOW_S + 3_600)
    assert not look_is_due(replace(release, looked_at_s=NOW_S + 3_600), NOW_S + 3_601)
