"""The planner: forecasts that hold in simulation, and advice where a gate cannot settle."""

from dataclasses import replace

import numpy as np
import pytest

from gates.forecast.traffic import PlannedSlice, PlannedStep, Traffic
from gates.gate_set import GateSet
from gates.offline.plan import plan
from gates.outcome import Outcome
from gates.policy import GatePolicy, LiveAccuracyPolicy, PairedAccuracyPolicy, ShadowErrorsPolicy, SlicePolicy
from gates.stats.burn import BURN_TABLE, PERIOD_S, Urgency, burn_alerts
from gates.stats.growth import Growth, Stretch, chance_to_cross, deciding, walk
from tests.gates.support import JUDGING, LOOK_S, World, look

STEPS = tuple(PlannedStep(share, 1800.0) for share in (0.0, 0.05, 0.2, 0.5))
TRAFFIC = Traffic(requests_per_s=20.0, steps=STEPS)


def by_gate(traffic):
    return {gate.gate: gate for gate in plan(GatePolicy(), traffic)}


def test_the_chance_to_cross_is_that_of_a_simulated_walk():
    """Jumps of +0.2 and -0.15 against a threshold of 5, over two stretches."""
    rng = np.random.default_rng(0)
    rates = ((0.2, 0.2, 0.15), (0.3, 0.2, 0.1))
    stretches = [Stretch(200.0, walk(((up, size), (down, -0.15)))) for up, size, down in rates]
    total, peak = np.zeros(4000), np.zeros(4000)
    for up, size, down in rates:
        for _ in range(200):
            total += size * rng.poisson(up, 4000) - 0.15 * rng.poisson(down, 4000)
            peak = np.maximum(peak, total)
    assert chance_to_cross(stretches, 7.0) == pytest.approx(np.mean(peak >= 7.0), abs=0.06)


def test_the_chance_grows_through_the_steps():
    """Without noise it comes where the drift gets to: nothing is gained in the second stretch."""
    parts = ((10.0, 0.1), (10.0, 0.0), (10.0, 0.5))
    stretches = [Stretch(seconds, Growth(drift, 1e-9)) for seconds, drift in parts]

    def chance(seconds, threshold):
        return chance_to_cross(stretches, threshold, within_s=seconds)

    assert (chance(4.9, 0.5), chance(5.1, 0.5)) == (pytest.approx(0), pytest.approx(1))
    assert (chance(21.9, 2.0), chance(22.1, 2.0)) == (pytest.approx(0), pytest.approx(1))
    assert chance(99.0, 7.0) == pytest.approx(0)


def test_a_mixture_of_bets_costs_at_most_the_log_of_their_number():
    """Nothing where they are alike, nearly all of it where one gains and the others lose."""
    alike = [[Stretch(100.0, Growth(0.1, 0.1))]] * 5
    assert deciding(alike, 4.6)[1] == pytest.approx(4.6, rel=0.01)
    alone = [[Stretch(100.0, Growth(drift, 0.1))] for drift in (0.1, -1, -1, -1, -1)]
    assert deciding(alone, 4.6)[1] == pytest.approx(4.6 + np.log(5), rel=0.01)


def settled(world, looks, runs, outcome):
    """When each gate first came to ``outcome``, in so many simulated releases (infinite where it did not)."""
    gate_set, found = GateSet(JUDGING), {}
    for seed in range(runs):
        rng, first = np.random.default_rng([9, seed]), {}
        state = gate_set.start(deadline_s=looks * LOOK_S)
        for number in range(1, looks + 1):
            state, verdicts = gate_set.look(state, look(rng, number, world))
            for verdict in verdicts:
                if verdict.outcome is outcome:
                    first.setdefault(verdict.gate, number * LOOK_S)
        for name in gate_set.names:
            found.setdefault(name, []).append(first.get(name, np.inf))
    return found


BURNING = World(requests_per_s=100.0, shadow_looks=5, share=0.3, label_share=0.01, error=0.0005, error_factor=8.0)
SEEN = {"label_delay_s": 0.0, "gap_spread": 0.265, "brier_spread": 0.44, "latency_median_ms": 40.0}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("world", "outcome", "gates"),
    [
        (World(shadow_looks=30, share=0.2, label_share=0.3), Outcome.PASS, None),
        (World(shadow_looks=30, share=0.05, requests_per_s=5.0, label_share=0.5), Outcome.PASS, None),
        (World(shadow_looks=30, share=0.2, label_share=0.3, worse=0.04, better=0.03), Outcome.FAIL, "accuracy.shadow"),
        (World(shadow_looks=5, share=0.2, slow=1.1), Outcome.FAIL, "latency.p95"),
        (World(shadow_looks=5, share=0.3, label_share=0.2, worse=0.055), Outcome.FAIL, "accuracy.live"),
        (BURNING, Outcome.FAIL, "budget.burn"),
    ],
)
def test_forecasts_hold_in_simulation(world, outcome, gates):
    """Predicted medians are within 0.6 to 1.6 of the simulated ones, chances within 0.3, and never far too hopeful."""
    looks, runs = 60, 12
    shadow_s = world.shadow_looks * LOOK_S
    steps = PlannedStep(0.0, shadow_s), PlannedStep(world.share, looks * LOOK_S - shadow_s)
    traffic = Traffic(
        world.requests_per_s,
        steps,
        label_ratio=world.label_share,
        live_label_ratio=world.label_share,
        wrong_ratio=world.both_wrong + world.better,
        error_ratio=world.error,
        **SEEN,
    )
    simulated = settled(world, looks, runs, outcome)
    for gate in plan(JUDGING, traffic):
        if gates is not None and gate.gate != gates:
            continue
        passes = outcome is Outcome.PASS
        seconds, chance = (gate.pass_s, gate.pass_chance) if passes else (gate.fail_s, gate.fail_chance)
        times = np.array(simulated[gate.gate])
        share, median = np.mean(np.isfinite(times)), np.median(times)
        assert abs(chance - share) <= 0.3, gate.gate
        assert chance <= share + 0.15, gate.gate
        if seconds is not None and share >= 0.7:
            assert 0.6 * (median - LOOK_S) <= seconds <= 1.6 * median, gate.gate


def test_a_gate_waits_for_its_least_number_of_samples():
    """Clean traffic certifies the ceiling of shadow errors sooner than the policy lets it."""
    asked = GatePolicy(errors_shadow=ShadowErrorsPolicy(requests_min=20_000))
    soon, late = (
        next(gate.pass_s for gate in plan(policy, TRAFFIC) if gate.gate == "errors.shadow")
        for policy in (GatePolicy(), asked)
    )
    assert soon < 300
    assert late == pytest.approx(20_000 / 20, rel=0.02)
    never = replace(asked, errors_shadow=ShadowErrorsPolicy(requests_min=10**6))
    assert next(gate for gate in plan(never, TRAFFIC) if gate.gate == "errors.shadow").pass_chance == 0.0


def test_slices_are_planned_by_their_share_of_the_pairs():
    """A slice that nothing is known of is taken for a tenth of the traffic."""
    policy = GatePolicy(slices=(SlicePolicy("de"), SlicePolicy("fr")))
    traffic = replace(TRAFFIC, label_ratio=0.5, slices=(PlannedSlice("fr", 0.4, 0.07),))
    found = {gate.gate: gate for gate in plan(policy, traffic)}
    whole, large, small = (found[f"accuracy.shadow{name}"] for name in ("", "[fr]", "[de]"))
    assert large.pass_chance > small.pass_chance
    assert whole.pass_s is not None
    assert large.pass_s < whole.pass_s  # its margin is three times as wide, which counts nine times


def test_an_objective_near_the_percentile_holds_latency_up():
    """Certified are the margin and the objective: of a P95 of 190 ms, little is surely below 200 ms."""
    far, near = (by_gate(replace(TRAFFIC, latency_median_ms=median))["latency.p95"] for median in (50.0, 84.0))
    assert far.pass_chance > 0.99 > near.pass_chance + 0.3


def test_an_estimate_at_the_guard_is_below_it_half_of_the_time():
    """A guard as large as the margin makes harm at the margin rarer, and not only later."""
    same = replace(GatePolicy(), accuracy_shadow=PairedAccuracyPolicy(guard_points=1.0))
    traffic = replace(TRAFFIC, directed_ratio=1.0, steps=(PlannedStep(0.0, 7200.0),))
    usual, strict = (next(iter(plan(policy, traffic))) for policy in (GatePolicy(), same))
    assert usual.fail_chance > 0.99
    assert 0.5 < strict.fail_chance < 0.95
    assert strict.fail_s >= usual.fail_s


def test_levels_are_those_of_the_gates():
    """Only tests with an exact one at the deadline keep a part of their level for it."""
    without = by_gate(TRAFFIC), {
        gate.gate: gate for gate in plan(GatePolicy(deadline_fraction=0.0), TRAFFIC)
    }  # fmt: skip
    for name in ("latency.p95", "latency.p99", "calibration.shadow"):
        assert without[0][name] == without[1][name]
    assert without[0]["accuracy.shadow"].fail_s > without[1]["accuracy.shadow"].fail_s


def test_directed_labels_make_accuracy_settle_in_time():
    late, soon = by_gate(TRAFFIC)["accuracy.shadow"], by_gate(replace(TRAFFIC, directed_ratio=1.0))["accuracy.shadow"]
    assert "disagree" in late.advice
    assert soon.pass_s < late.pass_s / 3
    assert soon.pass_chance > 0.99
    assert soon.advice == ""


def test_a_gate_that_cannot_settle_by_the_deadline_is_named_with_what_would_help():
    quiet = by_gate(replace(TRAFFIC, requests_per_s=0.1))
    unsettled = {name for name, gate in quiet.items() if gate.pass_s is None}
    assert {"accuracy.shadow", "latency.p95", "errors.live"} <= unsettled
    assert all(quiet[name].advice for name in unsettled)


def test_without_shadow_or_live_traffic_its_gates_cannot_settle():
    shadow_only = by_gate(replace(TRAFFIC, steps=STEPS[:1]))
    assert shadow_only["latency.p95"].pass_s is None
    assert by_gate(replace(TRAFFIC, mirror_ratio=0.0))["accuracy.shadow"].pass_s is None


def test_a_candidate_as_bad_as_the_margin_is_found_more_often_than_not():
    """By every gate that promotion waits for, on usual traffic."""
    for gate in by_gate(replace(TRAFFIC, directed_ratio=1.0)).values():
        assert gate.fail_chance > 0.5 or not gate.required


def test_gates_that_are_not_configured_are_not_planned():
    few = GatePolicy(
        latency=None,
        accuracy_shadow=None,
        accuracy_slices=None,
        calibration_shadow=None,
        budget=None,
        accuracy_live=None,
    )
    assert [gate.gate for gate in plan(few, TRAFFIC)] == ["errors.shadow", "errors.live"]


def test_what_promotion_waits_for_is_said():
    """Of the default gates, all but three; a policy may ask for live accuracy, too."""
    others = {"accuracy.slices", "budget.burn"}
    assert {gate.gate for gate in plan(GatePolicy(), TRAFFIC) if not gate.required} == {"accuracy.live", *others}
    asked = GatePolicy(accuracy_live=LiveAccuracyPolicy(required=True))
    assert {gate.gate for gate in plan(asked, TRAFFIC) if not gate.required} == others


def test_every_gate_that_can_roll_back_is_planned():
    """The gates that spend a part of the rollback level, and only they."""
    policy = replace(JUDGING, slices=(SlicePolicy("de"),))
    assert {gate.gate for gate in plan(policy, TRAFFIC)} == set(GateSet(policy).names) - {"agreement.shadow"}


def test_a_service_that_burns_its_own_budget_cannot_show_the_candidate_to_do_so():
    """Stable fails four times as often as the objective allows: a candidate that does so too is no worse."""
    burning = by_gate(replace(TRAFFIC, error_ratio=0.004))["budget.burn"]
    assert (burning.fail_chance, burning.pass_s) == (0.0, None)
    clean = by_gate(replace(TRAFFIC, error_ratio=0.0001))["budget.burn"]
    assert clean.pass_chance > 0.9
    assert clean.fail_chance > 0.5


def test_live_accuracy_needs_labels_of_both_versions():
    """With all answers labelled it settles, with one in twenty it does not, with none it is not begun."""
    few, many, none = (by_gate(replace(TRAFFIC, live_label_ratio=r))["accuracy.live"] for r in (0.05, 1.0, 0.0))
    assert none.pass_chance == none.fail_chance == 0.0
    assert few.pass_chance < many.pass_chance > 0.9
    busy = replace(TRAFFIC, live_label_ratio=1.0, requests_per_s=4 * TRAFFIC.requests_per_s)
    assert few.fail_chance < many.fail_chance < 0.5 < by_gate(busy)["accuracy.live"].fail_chance
    assert "label more live answers" in few.advice


def test_burn_factors_follow_from_their_windows():
    """Two, five and ten percent of thirty days' budget: 14.4, 6 and 1 (Site Reliability Workbook, chapter 5)."""
    assert [round(row.factor(PERIOD_S), 6) for row in BURN_TABLE] == [14.4, 6.0, 1.0]


@pytest.mark.parametrize(
    ("long", "short", "urgency"),
    [
        ((20, 1000), (2, 100), Urgency.PAGE),
        ((20, 1000), (0, 100), None),
        ((0, 0), (0, 0), None),
        ((9, 1000), (9, 100), None),
    ],
)
def test_a_burn_alert_needs_both_of_its_windows(long, short, urgency):
    alerts = burn_alerts({3600.0: long, 300.0: short}, 0.999)
    assert [alert.window.urgency for alert in alerts] == ([urgency] if urgency else [])


def test_a_window_that_is_not_known_fires_nothing():
    assert burn_alerts({3600.0: (20, 1000)}, 0.999) == ()
