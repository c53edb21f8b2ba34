"""The planner: forecasts that hold in simulation, and advice where a gate cannot settle."""

from dataclasses import replace

import numpy as np
import pytest

from gates.burn import BURN_TABLE, PERIOD_S, Urgency, burn_alerts
from gates.growth import Growth, Stretch, chance_to_cross, expected_seconds, walk
from gates.planner import PlannedStep, Traffic, plan
from gates.policy import GatePolicy
from gates.verdict import Stage

STEPS = tuple(PlannedStep(share, 1800.0) for share in (0.0, 0.05, 0.2, 0.5))
TRAFFIC = Traffic(requests_per_s=20.0, steps=STEPS)


def by_gate(traffic):
    return {gate.gate: gate for gate in plan(GatePolicy(), traffic).gates}


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


def test_expected_time_runs_through_the_steps():
    stretches = [Stretch(10.0, Growth(0.1, 1.0)), Stretch(10.0, Growth(0.0, 0.0)), Stretch(10.0, Growth(0.5, 1.0))]
    assert expected_seconds(stretches, 0.5) == pytest.approx(5.0)
    assert expected_seconds(stretches, 2.0) == pytest.approx(22.0)
    assert expected_seconds(stretches, 7.0) is None


def test_directed_labels_make_accuracy_settle_in_time():
    late, soon = by_gate(TRAFFIC)["accuracy.shadow"], by_gate(replace(TRAFFIC, directed_ratio=1.0))["accuracy.shadow"]
    assert "disagree" in late.advice
    assert soon.pass_s < late.pass_s / 3
    assert soon.pass_chance > 0.99
    assert soon.advice == ""


def test_a_gate_that_cannot_settle_by_the_deadline_is_named_with_what_would_help():
    quiet = by_gate(replace(TRAFFIC, requests_per_s=0.1))
    unsettled = {name for name, gate in quiet.items() if not gate.settles}
    assert {"accuracy.shadow", "latency.p95", "errors.live"} <= unsettled
    assert all(quiet[name].advice for name in unsettled)


def test_without_shadow_or_live_traffic_its_gates_cannot_settle():
    shadow_only = by_gate(replace(TRAFFIC, steps=STEPS[:1]))
    assert shadow_only["latency.p95"].pass_s is None
    assert by_gate(replace(TRAFFIC, mirror_ratio=0.0))["accuracy.shadow"].pass_s is None


def test_a_candidate_as_bad_as_the_margin_is_found_more_often_than_not():
    for gate in by_gate(replace(TRAFFIC, directed_ratio=1.0)).values():
        assert gate.fail_chance > 0.5


def test_the_ends_of_a_release_add_up():
    forecast = plan(GatePolicy(), TRAFFIC)
    assert 0 <= forecast.promoted_chance <= 1
    assert forecast.promoted_chance + forecast.rolled_back_chance_max + forecast.held_chance == pytest.approx(
        1, abs=0.01
    )
    assert forecast.step_s[0] == max(gate.pass_s for gate in forecast.gates if gate.stage is Stage.SHADOW)


def test_gates_that_are_not_configured_are_not_planned():
    assert (
        plan(GatePolicy(latency=None, accuracy_shadow=None, calibration_shadow=None), TRAFFIC).gates[0].gate
        == "errors.shadow"
    )


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
