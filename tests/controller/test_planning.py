"""`serin plan`: what a release will need, said before it starts."""

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from controller.cli.app import app
from controller.core.policy import ReleasePolicy, ReplayPolicy, Step
from controller.errors import UsageError
from controller.offline.backtest import by_release, service_of
from controller.offline.evidence_file import RecordedLook
from controller.offline.forecast.release import ReleasePlan, as_document, forecast
from controller.offline.forecast.remedies import LIKELY, STEPS
from controller.offline.forecast.rollout import Ends, exposure
from controller.offline.forecast.traffic import Known, ReleaseTraffic, traffic_known
from gates.evidence import Answer, ArmCounts, LabelCounts, LabelledPair, Look
from gates.gate_set import GateSet
from gates.outcome import Outcome
from gates.policy import (
    CalibrationPolicy,
    GatePolicy,
    LiveAccuracyPolicy,
    LiveErrorsPolicy,
    PairedAccuracyPolicy,
    SlicePolicy,
)
from gates.verdict import Window
from tests.controller import report_support as support
from tests.controller.evidence_support import recorded, write_evidence, write_policy

POLICY = ReleasePolicy("intent")
TRAFFIC = ReleaseTraffic(requests_per_s=20.0, steps=())
DIRECTED = replace(TRAFFIC, directed_ratio=0.7)
QUIET = replace(TRAFFIC, requests_per_s=0.1)


@pytest.fixture(scope="module")
def busy() -> ReleasePlan:
    return forecast(POLICY, DIRECTED)


def of(plan: ReleasePlan, gate: str) -> Ends:
    """How a release of a candidate as bad as this gate's margin ends."""
    (found,) = [ends for ends in plan.ends if f"{gate}'s margin" in ends.candidate or f"[{gate}]" in ends.candidate]
    return found


def remedies(plan: ReleasePlan, gate: str) -> dict[str, float]:
    return {r.change: r.pass_chance for trouble in plan.troubles if trouble.gate == gate for r in trouble.remedies}


# --- steps and ends ---------------------------------------------------------------------------------------------------
def test_steps_follow_each_other_as_a_release_goes(busy: ReleasePlan) -> None:
    """Shadow until its gates passed, each step its least time and requests, the last until all gates passed."""
    shadow, *canary = busy.steps
    assert shadow.seconds == max(gate.pass_s or 0 for gate in busy.gates if gate.stage == "shadow")
    assert [step.share for step in canary] == [0.01, 0.05, 0.2, 0.5]
    assert canary[0].seconds == pytest.approx(100 / (20 * 0.01))
    assert canary[2].seconds == 240.0
    assert canary[2].until == "4 min have passed, 3 min of them to warm up"
    assert canary[3].until in ("latency.p95 passes last", "latency.p99 passes last")
    assert busy.promoted_s == pytest.approx(sum(step.seconds or 0 for step in busy.steps))


def test_chances_of_the_ends_add_up(busy: ReleasePlan) -> None:
    """Under "no change", and as bad as the margin of each gate."""
    assert len(busy.ends) == 1 + len(busy.gates)
    for ends in busy.ends:
        assert ends.promoted + ends.rolled_back + ends.not_proven == pytest.approx(1)
        assert min(ends.promoted, ends.rolled_back, ends.not_proven) >= -1e-12
    assert busy.ends[0].promoted > LIKELY
    assert busy.ends[0].rolled_back <= POLICY.gates.rollback_alpha


def test_a_candidate_at_the_margin_is_hardly_ever_promoted(busy: ReleasePlan) -> None:
    """That is a promise of the gates that promotion waits for, whatever the traffic."""
    for plan in (busy, forecast(POLICY, QUIET)):
        for gate, ends in zip(plan.gates, plan.ends[1:], strict=True):
            assert gate.gate in ends.candidate
            assert ends.promoted <= 1.5 * POLICY.gates.promotion_alpha or not gate.required


def test_what_one_gate_lets_through_another_may_stop(busy: ReleasePlan) -> None:
    """Four times the budget is four times stable's errors: the error gates find it, and without them it is promoted
    before the burn is shown."""
    (burn,) = [gate for gate in busy.gates if gate.gate == "budget.burn"]
    assert burn.fail_s is not None
    assert busy.promoted_s is not None
    assert burn.fail_s > busy.promoted_s
    assert of(busy, "budget.burn").rolled_back > LIKELY
    alone = replace(POLICY.gates, errors_shadow=None, errors_live=None)
    assert of(forecast(replace(POLICY, gates=alone), DIRECTED), "budget.burn").promoted > 0.5


def test_live_accuracy_beyond_its_margin_is_beyond_that_of_shadow(busy: ReleasePlan) -> None:
    """Promotion does not wait for accuracy.live, but for accuracy.shadow, whose margin is smaller."""
    assert of(busy, "accuracy.live").promoted < 0.01
    alone = replace(POLICY.gates, accuracy_shadow=None)
    assert of(forecast(replace(POLICY, gates=alone), DIRECTED), "accuracy.live").promoted > 0.5


def test_a_loss_within_the_margin_of_shadow_is_still_a_loss_there() -> None:
    """At a wide margin of two and a half points, two points are neither excluded nor as good as none."""
    gates = replace(POLICY.gates, accuracy_shadow=PairedAccuracyPolicy(guard_points=2.0, margin_points=2.5))
    plan = forecast(replace(POLICY, gates=gates), DIRECTED)
    assert of(plan, "accuracy.live").promoted < plan.ends[0].promoted / 2


def test_a_gate_counts_until_promotion() -> None:
    """A slice that promotion does not wait for finds its loss by the deadline; the release is promoted long before."""
    gates = replace(POLICY.gates, slices=(SlicePolicy("lang:de"),))
    plan = forecast(replace(POLICY, gates=gates), replace(TRAFFIC, requests_per_s=50.0))
    (slice_,) = [gate for gate in plan.gates if "lang:de" in gate.gate]
    assert slice_.fail_chance > LIKELY
    assert of(plan, "lang:de").promoted > 0.1


@pytest.mark.integration
def test_the_ends_of_whole_releases_are_those_of_the_gates_themselves() -> None:
    """A hundred releases that lose three points in one slice, played look by look until promotion or the deadline."""
    gates = GatePolicy(
        slices=(SlicePolicy("lang:de"),),
        calibration_shadow=None, errors_shadow=None, latency=None, errors_live=None, accuracy_live=None,
        accuracy_slices=None, budget=None,
    )  # fmt: skip
    policy = replace(POLICY, steps=(Step(5.0, min_s=420.0),), gates=gates, deadline_s=5400.0)
    traffic = replace(TRAFFIC, requests_per_s=25.0, label_ratio=0.2, label_delay_s=0.0)
    played = [how_it_ends(policy, traffic, seed) for seed in range(100)]
    ends = of(forecast(policy, traffic), "lang:de")
    for chance, name in ((ends.promoted, "promoted"), (ends.rolled_back, "rolled back")):
        assert abs(chance - played.count(name) / len(played)) < 0.15, name


def how_it_ends(policy: ReleasePolicy, traffic: ReleaseTraffic, seed: int) -> str:
    """One release on mirrored traffic, a tenth of it in the slice; the step begins when accuracy.shadow has passed."""
    rng, gate_set, passed_s = np.random.default_rng([5, seed]), GateSet(replace(policy.gates, experiment=None)), None
    state = gate_set.start(deadline_s=policy.deadline_s)
    for number in range(1, int(policy.deadline_s / 60) + 1):
        state, verdicts = gate_set.look(state, mirrored(rng, number, traffic))
        if any(verdict.outcome is Outcome.FAIL for verdict in verdicts):
            return "rolled back"
        if any(verdict.gate == "accuracy.shadow" and verdict.outcome is Outcome.PASS for verdict in verdicts):
            passed_s = passed_s or 60.0 * number
        if passed_s is not None and 60.0 * number >= passed_s + policy.steps[0].min_s:
            return "promoted"
    return "not proven"


@cache
def pair_of(in_slice: bool, lost: bool, won: bool) -> LabelledPair:
    """One for all alike."""
    right, wrong = Answer("yes", 0.9, 0.02), Answer("no", 0.9, 1.62)
    versions = (wrong if won else right), (wrong if lost else right)
    return LabelledPair("yes", *versions, slices=("lang:de",) if in_slice else ())


def mirrored(rng: np.random.Generator, number: int, traffic: ReleaseTraffic) -> Look:
    """A minute of pairs of a candidate that is wrong on three points more of the slice."""
    pairs = int(rng.poisson(60 * traffic.requests_per_s))
    in_slice, drawn, labelled = rng.random(pairs) < 0.1, rng.random(pairs), rng.random(pairs) < traffic.label_ratio
    worse = (traffic.disagreement_ratio + 0.03 * in_slice) / 2
    lost, won = drawn < worse, (worse <= drawn) & (drawn < traffic.disagreement_ratio)
    found = [pair_of(*each) for each in zip(in_slice[labelled], lost[labelled], won[labelled], strict=True)]
    differ = int((drawn < traffic.disagreement_ratio).sum())
    window = Window(60.0 * (number - 1), 60.0 * number)
    nothing = {"stable": None, "candidate": None, "shadow": None}
    counts = {"pairs_agreed": pairs - differ, "pairs_disagreed": differ}
    return Look(number, window, 0.0, pairs=tuple(found), **counts, **nothing)


def test_steps_leave_shadow_the_rest_of_the_time() -> None:
    """The longer the steps, the fewer releases end in time; there is no step at which all of them stop."""
    lengths_s = (600, 5_000, 5_300, 5_600, 7_000)
    plans = [forecast(replace(POLICY, steps=(Step(5.0, min_s=length_s),)), DIRECTED) for length_s in lengths_s]
    promoted = [plan.ends[0].promoted for plan in plans]
    assert promoted == sorted(promoted, reverse=True)
    assert promoted[0] > LIKELY
    assert 0.05 < promoted[2] < 0.95
    assert promoted[-1] < 0.01


def test_a_policy_may_wait_for_live_accuracy() -> None:
    """Then the plan waits, too, names it where it cannot settle, and says which share of labels would do."""
    gates = replace(POLICY.gates, accuracy_live=LiveAccuracyPolicy(required=True))
    plan = forecast(replace(POLICY, gates=gates), replace(DIRECTED, live_label_ratio=0.02))
    assert plan.promoted_s is None
    assert any(change.startswith("label ") for change in remedies(plan, "accuracy.live"))
    soon = forecast(replace(POLICY, gates=gates), replace(DIRECTED, live_label_ratio=0.5))
    assert soon.steps[-1].until == "accuracy.live passes last"


@pytest.mark.parametrize("error_ratio", [0.0, 1e-5])
def test_errors_at_the_margin_may_meet_the_absolute_objective(error_ratio: float) -> None:
    """Three times next to nothing is next to nothing: the objective certifies it, on shadow as on live traffic."""
    plan = forecast(POLICY, replace(DIRECTED, error_ratio=error_ratio))
    for stage in ("shadow", "live"):
        assert of(plan, f"errors.{stage}").promoted > LIKELY


def test_a_release_that_cannot_be_proven_in_time_is_not_called_promoted() -> None:
    plan = forecast(POLICY, QUIET)
    assert plan.promoted_s is None
    assert plan.ends[0].promoted < 0.01
    assert plan.steps[0].seconds is None
    assert "not by the deadline: accuracy.shadow" in plan.steps[0].until
    assert {step.until for step in plan.steps[1:]} == {"not reached"}


def test_steps_alone_may_take_longer_than_the_deadline() -> None:
    slow = replace(POLICY, steps=(Step(5.0, min_s=6_000), Step(50.0, min_s=6_000)))
    plan = forecast(slow, DIRECTED)
    assert plan.promoted_s is None
    assert plan.ends[0].promoted == 0.0
    assert [change.split(" ")[0] for change in remedies(plan, STEPS)] == ["deadline_s:"]


def test_an_accuracy_gate_that_is_not_required_holds_nothing_up() -> None:
    lenient = replace(POLICY.gates, accuracy_shadow=PairedAccuracyPolicy(required=False))
    few = replace(TRAFFIC, label_ratio=0.02, gap_spread=0.05)
    assert forecast(POLICY, few).promoted_s is None
    plan = forecast(replace(POLICY, gates=lenient), few)
    assert plan.promoted_s is not None
    assert "accuracy.shadow" not in {trouble.gate for trouble in plan.troubles}


def test_a_policy_that_asks_nothing_of_shadow_never_leaves_it() -> None:
    """No evidence is no pass: the plan says so before a release waits for its deadline in vain."""
    gates = replace(POLICY.gates, accuracy_shadow=None, calibration_shadow=None, errors_shadow=None)
    plan = forecast(replace(POLICY, gates=gates), DIRECTED)
    assert plan.steps[0].until == "never: no required gate judges shadow traffic"
    assert plan.promoted_s is None
    assert plan.ends[0].promoted == 0.0


# --- what would help --------------------------------------------------------------------------------------------------
def test_labels_of_the_disagreements_are_what_accuracy_needs() -> None:
    """Half the labels by chance cannot settle accuracy in two hours; a quarter of the disagreements can."""
    plan = forecast(POLICY, replace(TRAFFIC, label_ratio=0.05))
    assert remedies(plan, "accuracy.shadow")["label 25 % of the disagreements"] >= LIKELY


def test_every_gate_that_cannot_settle_is_told() -> None:
    plan = forecast(POLICY, QUIET)
    open_gates = {gate.gate for gate in plan.gates if gate.pass_s is None and gate.required}
    assert {"accuracy.shadow", "latency.p95", "errors.live"} <= open_gates
    assert open_gates <= {trouble.gate for trouble in plan.troubles}


def test_a_service_with_few_requests_is_told_that_recorded_ones_would_settle_it() -> None:
    """And by when; taken, the plan is what it said."""
    day = replace(POLICY, deadline_s=86_400.0)
    few = replace(TRAFFIC, requests_per_s=2.0, label_ratio=0.02)
    before = forecast(day, few)
    wanted = "shadow_replay.requests_max: 2000, of as many recorded texts, and label all that is asked for"
    (remedy,) = (
        one
        for trouble in before.troubles
        if trouble.gate == "accuracy.shadow"
        for one in trouble.remedies
        if one.change.startswith("shadow_replay.requests_max")
    )
    assert remedy.change.startswith(wanted)
    assert remedy.pass_s < 2 * 3_600
    calibrated = remedies(before, "calibration.shadow")
    assert any(change.startswith("shadow_replay.requests_max: ") for change in calibrated)
    replay = replace(day, shadow_replay=ReplayPolicy(requests_max=2_000))
    (gate,) = (one for one in forecast(replay, replace(few, directed_ratio=1.0)).gates if one.gate == "accuracy.shadow")
    assert (gate.pass_s, gate.pass_chance) == (remedy.pass_s, remedy.pass_chance)


def test_labelled_texts_of_production_would_settle_it_without_anybody_who_labels() -> None:
    """Accuracy and calibration, and by when; a release that has so many to ask is planned as that was said."""
    day = replace(POLICY, deadline_s=86_400.0)
    few = replace(TRAFFIC, requests_per_s=2.0, label_ratio=0.02)
    for trouble in forecast(day, few).troubles[:2]:
        gate = trouble.gate
        (remedy,) = (
            one for one in trouble.remedies if one.change.endswith(" labelled texts that no release has asked")
        )
        place, texts, *_ = remedy.change.split()
        assert place == "shadow_replay.suites:"
        planned = forecast(day, replace(few, suite_texts=int(texts)))
        (found,) = (one for one in planned.gates if one.gate == gate)
        assert (found.pass_s, found.pass_chance) == (remedy.pass_s, remedy.pass_chance)
        assert found.pass_chance >= LIKELY
        assert gate not in {trouble.gate for trouble in planned.troubles}


def test_replayed_requests_settle_accuracy_once_enough_of_todays_can_be_held_against_them() -> None:
    """A hundred at a request in a hundred seconds: the gate waits for them, whatever was replayed."""
    replay = replace(POLICY, deadline_s=86_400.0, shadow_replay=ReplayPolicy(requests_max=20_000))
    for requests_per_s, wait_s in ((0.01, 10_000.0), (0.02, 5_000.0)):
        quiet = replace(TRAFFIC, requests_per_s=requests_per_s, directed_ratio=1.0)
        (gate,) = (one for one in forecast(replay, quiet).gates if one.gate == "accuracy.shadow")
        assert gate.pass_s is not None
        assert gate.pass_s >= wait_s


def test_texts_of_suites_are_asked_after_recorded_requests_each_with_its_label() -> None:
    """At the pace of the replay, as long as shadow lasts."""
    policy = replace(POLICY, shadow_replay=ReplayPolicy(requests_max=100, requests_per_s_max=2.0))
    traffic = replace(TRAFFIC, suite_texts=300, label_ratio=0.0)
    recorded_s, suites_s, *_ = exposure(policy, traffic).traffic.steps
    assert [recorded_s.duration_s, suites_s.duration_s] == [50.0, 150.0]
    assert [recorded_s.replayed_label_ratio, suites_s.replayed_label_ratio] == [0.0, 1.0]
    short = exposure(replace(policy, deadline_s=120.0), traffic).traffic.steps
    assert sum(step.duration_s for step in short) == 120.0


def test_texts_of_suites_do_not_change_how_much_is_sampled() -> None:
    """Every answer to them is kept, whatever the share of users' requests is."""
    assert forecast(POLICY, replace(DIRECTED, suite_texts=20_000)).sampling == forecast(POLICY, DIRECTED).sampling


def test_what_is_said_to_help_helps() -> None:
    """Each remedy is the smallest of its kind that was tried; taking it makes the gate settle."""
    few = replace(TRAFFIC, label_ratio=0.05)
    before = forecast(POLICY, few)
    found = remedies(before, "accuracy.shadow")
    (margin,) = [change for change in found if "margin_points" in change]
    value = float(margin.split(": ")[1].split(" ")[0])
    wider = replace(POLICY.gates, accuracy_shadow=PairedAccuracyPolicy(margin_points=value))
    after = forecast(replace(POLICY, gates=wider), few)
    (gate,) = [gate for gate in after.gates if gate.gate == "accuracy.shadow"]
    assert gate.pass_chance == found[margin] >= LIKELY


@pytest.mark.parametrize(
    "gates",
    [
        {"accuracy_shadow": PairedAccuracyPolicy(margin_points=60.0, guard_points=60.0)},
        {"calibration_shadow": CalibrationPolicy(margin_gap=0.6)},
        {"errors_live": LiveErrorsPolicy(error_ratio_max=0.9)},
        {"accuracy_live": LiveAccuracyPolicy(margin_points=60.0, required=True)},
        {"slices": (SlicePolicy("de", PairedAccuracyPolicy(margin_points=60.0)),)},
    ],
)
def test_no_margin_is_advised_that_a_policy_cannot_have(gates: dict[str, Any]) -> None:
    """On traffic so quiet that nothing settles, every margin is tried up to its limit."""
    plan = forecast(replace(POLICY, gates=replace(POLICY.gates, **gates)), replace(TRAFFIC, requests_per_s=0.001))
    assert plan.troubles


def test_a_slice_that_is_waited_for_may_have_a_wider_margin() -> None:
    waited_for = SlicePolicy("de", PairedAccuracyPolicy(margin_points=1.0))
    policy = replace(POLICY, gates=replace(POLICY.gates, slices=(waited_for,)))
    found = remedies(forecast(policy, DIRECTED), "accuracy.shadow[de]")
    assert any(change.startswith("margin_points of the slice: ") for change in found)


def test_a_small_mirror_is_enlarged() -> None:
    plan = forecast(replace(POLICY, mirror_pct=5.0), replace(DIRECTED, mirror_ratio=0.05))
    assert any(change.startswith("mirror_pct: ") for change in remedies(plan, "accuracy.shadow"))


def test_a_small_last_step_is_enlarged() -> None:
    plan = forecast(replace(POLICY, steps=(Step(1.0),)), DIRECTED)
    assert any(change.startswith("steps: one more, at ") for change in remedies(plan, "latency.p95"))


def test_where_everything_settles_nothing_is_advised(busy: ReleasePlan) -> None:
    assert busy.troubles == ()


# --- what is known of the traffic -------------------------------------------------------------------------------------
def test_given_wins_over_observed_over_assumed() -> None:
    """And the plan says which number comes from where."""
    service = service_of(support.POLICY, recorded(support.play(replace(support.PROMOTED, stop_after_s=150.0))))
    traffic, known = traffic_known(POLICY, {"label_ratio": 0.5, "requests_per_s": None}, service)
    sources = {number.name: number.source for number in known}
    assert (sources["label_ratio"], traffic.label_ratio) == ("given", 0.5)
    assert (sources["mirror_ratio"], traffic.mirror_ratio) == ("policy", 1.0)
    assert sources["requests_per_s"] == sources["disagreement_ratio"] == sources["latency_spread"] == "observed"
    assert {number.source for number in traffic_known(POLICY, {"requests_per_s": 1.0}, None)[1]} == {
        "given", "policy", "assumed",
    }  # fmt: skip


def test_what_is_observed_is_what_was_played() -> None:
    """Sixty requests a second, a quarter labelled at once, one in twenty answered differently, a spread of 0.42."""
    service = service_of(support.POLICY, recorded(support.play(replace(support.PROMOTED, stop_after_s=300.0))))
    traffic, _ = traffic_known(POLICY, {}, service)
    assert traffic.requests_per_s == pytest.approx(60, rel=0.03)
    assert traffic.label_ratio == pytest.approx(0.25, abs=0.01)
    assert traffic.disagreement_ratio == pytest.approx(0.05, abs=0.005)
    assert traffic.latency_spread == pytest.approx(0.42, abs=0.01)
    assert traffic.label_delay_s == 0


def test_without_requests_there_is_no_plan() -> None:
    with pytest.raises(UsageError, match="Say --requests-per-s, or name recorded evidence"):
        traffic_known(POLICY, {}, None)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_is_refused_by_name(value: float) -> None:
    with pytest.raises(UsageError, match="label_delay_s must be a finite number"):
        traffic_known(POLICY, {"requests_per_s": 1.0, "label_delay_s": value}, None)


@pytest.mark.parametrize(
    "name", ["wrong_ratio", "disagreement_ratio", "error_ratio", "live_label_ratio", "label_ratio"]
)
@pytest.mark.parametrize("value", [0.0, 1e-12, 0.5, 1.0])
def test_every_share_from_none_to_all_can_be_planned(name: str, value: float) -> None:
    """At the ends of their ranges evidence may not grow at all; a plan says so."""
    traffic, known = traffic_known(POLICY, {"requests_per_s": 20.0, name: value}, None)
    plan = forecast(POLICY, traffic, known)
    chances = [chance for gate in plan.gates for chance in (gate.pass_chance, gate.fail_chance)]
    assert all(0 <= chance <= 1 for chance in chances)


# --- how events come, and the service's own noise ---------------------------------------------------------------------
def noisy(release: str, *, together: int = 1, apart: float = 1.0, looks: int = 60) -> tuple[RecordedLook, ...]:
    """Looks at a service whose errors come ``together``, and half of whose replicas make ``apart`` times as many."""
    rng, found = np.random.default_rng(len(release)), []
    for number in range(1, looks + 1):
        half, rest, own = (together * int(rng.poisson(mean / together)) for mean in (15 * apart, 15, 30))
        look = Look(number, Window(60.0 * (number - 1), 60.0 * number), 0.5, (100.0, 200.0))
        stable, other = ArmCounts(1_000, half + rest, (900, 80, 0)), ArmCounts(1_000, own, (900, 80, 0))
        parts = ArmCounts(500, half, (450, 40, 0)), ArmCounts(500, rest, (450, 40, 0))
        found.append(RecordedLook(replace(look, stable=stable, candidate=other, stable_parts=parts), release))
    return tuple(found)


def known_of(*looks: RecordedLook, policy: ReleasePolicy = POLICY) -> tuple[ReleaseTraffic, dict[str, Known]]:
    traffic, known = traffic_known(policy, {}, service_of(policy, looks), by_release(looks))
    return traffic, {one.name: one for one in known}


def test_how_errors_come_together_is_taken_from_evidence() -> None:
    """And the plan of a service whose errors come in sixes takes the longer for it."""
    alone, known = known_of(*noisy("a"))
    assert known["error_effect"].source == "observed"
    assert alone.error_effect == pytest.approx(1.0, abs=0.2)
    sixes, _ = known_of(*noisy("a", together=6), *noisy("bb", together=6))
    assert sixes.error_effect == pytest.approx(6.0, rel=0.35)
    assert traffic_known(POLICY, {"requests_per_s": 20.0}, None)[0].error_effect == 1.0
    service = replace(DIRECTED, error_ratio=0.01)
    plans = (forecast(POLICY, replace(service, error_effect=effect)) for effect in (1.0, sixes.error_effect))
    sooner, later = (next(gate for gate in plan.gates if gate.gate == "errors.live") for plan in plans)
    assert sooner.fail_s is not None
    assert later.fail_s is not None
    assert later.fail_s > 1.3 * sooner.fail_s


def alike(release: str, *, together: int = 1, looks: int = 60) -> tuple[RecordedLook, ...]:
    """Looks at labelled pairs on which the versions disagree, lost or won ``together``; and at wrong live answers that
    come so too."""
    rng, found = np.random.default_rng(3), []
    for number in range(1, looks + 1):
        lost = [bool(rng.integers(2)) for _ in range(int(rng.poisson(30 / together)))]
        pairs = tuple(
            LabelledPair("yes", Answer("no" if one else "yes", 0.9, 0.1), Answer("yes" if one else "no", 0.9, 0.1))
            for one in lost
            for _ in range(together)
        )
        wrong = [LabelCounts(1_000, together * int(rng.poisson(60 / together))) for _ in range(2)]
        look = Look(number, Window(60.0 * (number - 1), 60.0 * number), 0.5, (100.0, 200.0), pairs=pairs)
        arm = ArmCounts(1_000, 0, (900, 100, 0))
        told = replace(look, stable=arm, candidate=arm, stable_labels=wrong[0], candidate_labels=wrong[1])
        found.append(RecordedLook(replace(told, pairs_agreed=1_000, pairs_disagreed=len(pairs)), release))
    return tuple(found)


@pytest.mark.parametrize(
    ("name", "gate"),
    [("pair_effect", "accuracy.shadow"), ("pair_effect", "calibration.shadow"), ("wrong_effect", "accuracy.live")],
)
def test_how_texts_that_are_alike_come_together_is_taken_from_evidence(name: str, gate: str) -> None:
    """A plan takes so many times as long for a loss of which five labels say no more than one."""
    alone, known = known_of(*alike("a"))
    assert known[name].source == "observed"
    assert known[name].value == pytest.approx(1.0, abs=0.3)
    fives, found = known_of(*alike("a", together=5))
    assert found[name].value == pytest.approx(5.0, rel=0.4)
    service = replace(DIRECTED, requests_per_s=100.0)
    effects = [replace(service, **{name: getattr(one, name)}) for one in (alone, fives)]
    sooner, later = (
        next(one for one in forecast(POLICY, traffic).gates if one.gate == gate).fail_chance for traffic in effects
    )
    assert later < sooner


def test_evidence_of_pairs_that_are_alike_grows_so_many_times_slower() -> None:
    """Of labels alone: a loss of the margin by directed labels, which leave the rate of texts as it is."""
    service = replace(DIRECTED, requests_per_s=100.0)
    sooner, later = (
        next(
            one for one in forecast(POLICY, replace(service, pair_effect=effect)).gates if one.gate == "accuracy.slices"
        ).fail_s
        for effect in (1.0, 4.0)
    )
    assert sooner is not None
    assert later is not None
    assert later - service.label_delay_s == pytest.approx(4 * (sooner - service.label_delay_s), rel=0.1)


def test_what_a_policy_does_not_judge_is_not_read_from_evidence() -> None:
    without = replace(POLICY, gates=replace(POLICY.gates, errors_live=None, budget=None))
    _, known = known_of(*noisy("a", together=6), policy=without)
    assert known["error_effect"].source == "assumed"


def test_a_plan_tells_what_parts_of_stable_differ_by(tmp_path: Path) -> None:
    """One makes twice as many errors, or 100 % more; where chance explains it, nothing."""
    _, known = known_of(*noisy("a", apart=2.0))
    assert known["error_apart"].value == pytest.approx(1.0, abs=0.2)
    file = write_evidence(tmp_path / "evidence.jsonl", noisy("a", apart=2.0))
    told = " ".join(invoke(tmp_path, "--evidence", str(file)).stdout.split())
    assert "parts of stable differ in errors by up to " in told
    assert "server errors that count as one 1" in told
    assert known_of(*noisy("a"))[1]["error_apart"] == Known("error_apart", 0.0, "assumed")


def test_a_plan_says_what_the_services_own_noise_hides() -> None:
    """Three times as many errors are found later where stable's parts differ by a half, hardly where by four times."""
    service = replace(DIRECTED, error_ratio=0.01)
    found = [forecast(POLICY, replace(service, error_apart=apart)) for apart in (0.0, 0.1, 0.5, 3.0)]
    chances = [next(gate.fail_chance for gate in plan.gates if gate.gate == "errors.live") for plan in found]
    waits = [next(gate.fail_s for gate in plan.gates if gate.gate == "errors.live") for plan in found]
    assert (waits[0] or 0) <= (waits[1] or 0) < (waits[2] or math.inf)
    assert chances[3] < 0.05
    slow = [forecast(POLICY, replace(service, slow_apart=apart)) for apart in (0.0, 1.0)]
    passes = [next(gate.pass_chance for gate in plan.gates if gate.gate == "latency.p95") for plan in slow]
    assert passes[1] < passes[0]


# --- the command ------------------------------------------------------------------------------------------------------
def invoke(folder: Path, *options: str, policy: ReleasePolicy = POLICY) -> Result:
    file = write_policy(folder / "policy.yaml", policy)
    return CliRunner().invoke(app, ["plan", "--policy", str(file), *options], env={"COLUMNS": "100"})


def test_the_command_tells_a_person(tmp_path: Path) -> None:
    """Traffic with its sources, steps, gates, ends, and what would help, on a hundred columns."""
    result = invoke(tmp_path, "--requests-per-s", "20", "--label-rate", "0.02")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 100
    for words in ("20 a second  given", "as bad as latency.p95's margin", "not in time", "What would help",
                  "• label 25 % of the disagreements: after "):  # fmt: skip
        assert words in result.stdout


def test_the_command_counts_the_texts_that_a_release_asks(tmp_path: Path) -> None:
    """Each text once, none that is judged in suites. How many no release has asked can be said."""
    for name, texts in (("judged", "ab"), ("asked", "bccde")):
        cases = [{"id": f"{place}", "text": text, "label": "x"} for place, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    policy = replace(POLICY, suites=("judged.jsonl",), shadow_replay=ReplayPolicy(suites=("asked.jsonl",)))
    few = ["--requests-per-s", "20", "--json"]
    for options, told in (([], ("policy", 3)), (["--suite-texts", "2"], ("given", 2))):
        document = json.loads(invoke(tmp_path, *few, *options, policy=policy).stdout)
        known = {number["name"]: (number["source"], number["value"]) for number in document["traffic"]}
        assert known["suite_texts"] == told
    table = invoke(tmp_path, "--requests-per-s", "20", policy=policy).stdout
    assert "labelled texts of suites, asked in shadow" in table
    assert "suites, asked" not in invoke(tmp_path, "--requests-per-s", "20").stdout
    (tmp_path / "asked.jsonl").unlink()
    missing = invoke(tmp_path, *few, policy=policy).exception
    assert isinstance(missing, UsageError)
    assert "asked.jsonl" in str(missing)


def test_slices_are_told_by_name(tmp_path: Path) -> None:
    """Brackets are no markup; a slice that no evidence shows is assumed, and said to be."""
    sliced = replace(POLICY, gates=replace(POLICY.gates, slices=(SlicePolicy("lang:de"),)))
    result = invoke(tmp_path, "--requests-per-s", "20", policy=sliced)
    assert result.exit_code == 0
    assert "accuracy.shadow[lang:de]" in result.stdout
    assert "requests in slice lang:de" in result.stdout
    (whole,) = [gate for gate in forecast(sliced, TRAFFIC).gates if gate.gate == "accuracy.shadow[lang:de]"]
    assert whole.fail_chance < 1
    assert "accuracy.shadow[lang:de]" not in {trouble.gate for trouble in forecast(sliced, TRAFFIC).troubles}


def test_the_command_takes_what_is_not_given_from_evidence(tmp_path: Path) -> None:
    looks = recorded(support.play(replace(support.PROMOTED, stop_after_s=100.0)))
    file = write_evidence(tmp_path / "evidence.jsonl", looks)
    result = invoke(tmp_path, "--evidence", str(file), "--discordance", "0.5", "--json")
    document = json.loads(result.stdout)
    known = {number["name"]: (number["source"], number["value"]) for number in document["traffic"]}
    assert document["schema"] == "serin.plan/v1"
    assert known["disagreement_ratio"] == ("given", 0.5)
    assert known["requests_per_s"][0] == "observed"


def test_evidence_and_a_release_at_once_is_a_usage_error(tmp_path: Path) -> None:
    result = invoke(tmp_path, "--evidence", "a.jsonl", "--release", "intent-v7-1")
    assert isinstance(result.exception, UsageError)


def test_a_plan_says_how_much_is_sampled(tmp_path: Path) -> None:
    """By the traffic that it is for: all where there is little, and else as much as accuracy.live needs to find harm.

    Promotion does not wait for that gate, and passes need less; but no harm that is found with all requests is missed.
    """
    quiet = invoke(tmp_path, "--requests-per-s", "5", "--label-rate", "0.5")
    assert "100 % of the requests while it goes on, 3.1 % before and after" in " ".join(quiet.output.split())
    busy = invoke(tmp_path, "--requests-per-s", "5000", "--label-rate", "0.5", "--json")
    assert json.loads(busy.output)["sampling"] == {"in_release": 0.125, "between": 0.03125}


def test_json_holds_the_whole_plan(busy: ReleasePlan) -> None:
    document = json.loads(json.dumps(as_document(busy)))
    assert [gate["gate"] for gate in document["gates"]] == [gate.gate for gate in busy.gates]
    assert document["ends"][0]["candidate"] == "no change"
