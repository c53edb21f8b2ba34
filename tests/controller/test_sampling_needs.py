"""The share of requests that gates need: the least with which evidence takes no longer than what is waited for."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.policy import ReleasePolicy, Step
from controller.core.sampling import ALL, Labelled, Need, Seen
from controller.offline.forecast.rollout import all_steps_seconds, gate_plans
from controller.offline.forecast.sampling import (
    BETWEEN_MIN,
    CHANCE_LOST,
    MARGIN,
    RATIO_MIN,
    least_ratio,
    planned,
    ratio_between,
    ratio_in_release,
    sampled,
)
from controller.offline.forecast.traffic import ReleaseTraffic
from gates.policy import GatePolicy

POLICY = ReleasePolicy(model="intent")
BUSY = ReleaseTraffic(requests_per_s=5_000.0, steps=(), label_ratio=0.5, live_label_ratio=0.5, label_delay_s=600.0)
SHADOW = ("accuracy.shadow", "calibration.shadow")


def settle_s(share: float) -> float:
    """When the last gate that promotion waits for has settled, one way or the other."""
    plans = [gate for gate in gate_plans(POLICY, sampled(BUSY, share)) if gate.gate in SHADOW]
    assert len(plans) == len(SHADOW)
    return max(at_s or float("inf") for gate in plans for at_s in (gate.pass_s, gate.fail_s))


def test_evidence_takes_no_longer_than_labels_and_steps() -> None:
    """Even at half the traffic. The next smaller share would not do."""
    found = least_ratio(POLICY, BUSY)
    assert RATIO_MIN < found < ALL
    until_s = 2 * BUSY.label_delay_s + all_steps_seconds(POLICY, BUSY)
    assert settle_s(found / MARGIN) <= until_s

    def chances(share: float) -> list[float]:
        return [gate.fail_chance for gate in gate_plans(POLICY, sampled(BUSY, share)) if gate.gate == "accuracy.live"]

    [whole], [kept], [next_one] = chances(ALL), chances(found / MARGIN), chances(found / 2 / MARGIN)
    assert kept >= whole - CHANCE_LOST
    assert settle_s(found / 2 / MARGIN) > until_s or next_one < whole - CHANCE_LOST


@pytest.mark.parametrize("requests_per_s", [0.01, 1.0, 20.0])
def test_a_service_with_little_traffic_needs_all(requests_per_s: float) -> None:
    assert least_ratio(POLICY, replace(BUSY, requests_per_s=requests_per_s)) == ALL


def test_the_more_traffic_and_labels_the_less_is_needed() -> None:
    by_traffic = [least_ratio(POLICY, replace(BUSY, requests_per_s=rate)) for rate in (30.0, 300.0, 3_000.0, 30_000.0)]
    assert by_traffic == sorted(by_traffic, reverse=True)
    assert by_traffic[0] == ALL
    assert by_traffic[-1] < by_traffic[1]
    by_labels = [
        least_ratio(POLICY, replace(BUSY, label_ratio=labels, live_label_ratio=labels)) for labels in (0.01, 0.1, 1.0)
    ]
    assert by_labels == sorted(by_labels, reverse=True)
    assert by_labels[0] == ALL > by_labels[-1]


def test_it_is_found_by_the_lesser_rate_and_by_round_numbers() -> None:
    """Of the hour and of the day, and never for more traffic than there is."""
    labels = Labelled(0.5, 600.0)
    busy = ratio_in_release(POLICY, Seen(5_000.0, 5_000.0, labels))
    assert busy.ratio < ALL
    assert ratio_in_release(POLICY, Seen(20.0, 5_000.0, labels)).ratio == ALL
    calm = ratio_in_release(POLICY, Seen(5_000.0, 20.0, replace(labels, ratio=1.0)))
    assert calm == Need(
        ALL, "its gates need all of them, at the last day's 20 requests a second, 100 % of them labelled"
    )
    assert ratio_in_release(POLICY, Seen(4_200.0, 8_191.0, Labelled(0.7, 1_000.0))).ratio == busy.ratio


@pytest.mark.parametrize(
    ("seen", "why"),
    [(Seen(0.0, 0.0, Labelled(0.5, 60.0)), "requests"), (Seen(0.0, 50.0, Labelled(0.5, 60.0)), "requests"),
     (Seen(5_000.0, 5_000.0, None), "labels")],
)  # fmt: skip
def test_what_is_not_known_is_no_reason_to_sample_less(seen: Seen, why: str) -> None:
    need = ratio_in_release(POLICY, seen)
    assert need.ratio == ALL
    assert why in need.reason


def test_a_policy_whose_gates_read_no_samples_needs_few() -> None:
    nothing = GatePolicy(
        accuracy_shadow=None,
        accuracy_slices=None,
        accuracy_live=None,
        calibration_shadow=None,
        drift=None,
        errors_shadow=None,
    )
    assert least_ratio(replace(POLICY, gates=nothing), BUSY) == RATIO_MIN


def test_the_warnings_of_drift_get_their_answers_of_each_version() -> None:
    """200 of the candidate: a canary of 1 % for a minute at 1,000 requests a second has 600 of them."""
    gates = GatePolicy(accuracy_shadow=None, accuracy_slices=None, accuracy_live=None, calibration_shadow=None)
    traffic = replace(BUSY, requests_per_s=1_000.0)
    short = replace(POLICY, gates=gates, warm_up_s=0.0, steps=(Step(1.0, min_s=60.0, min_requests=0),))
    assert least_ratio(short, traffic) == ALL  # 600 / MARGIN / 2 are too few
    assert least_ratio(replace(short, steps=(Step(10.0, min_s=60.0, min_requests=0),)), traffic) == 0.125


@settings(deadline=None, max_examples=30)
@given(rate=st.floats(1e-6, 1e6), more=st.floats(1.0, 100.0))
def test_between_releases_the_reference_is_filled(rate: float, more: float) -> None:
    found = ratio_between(POLICY, Seen(0.0, rate)).ratio
    drift = POLICY.gates.drift
    assert drift is not None
    assert found == ALL or found * rate * drift.reference_s >= MARGIN * 8_000
    assert BETWEEN_MIN <= ratio_between(POLICY, Seen(0.0, rate * more)).ratio <= found <= ALL


def test_between_releases_without_traffic_all_are_sampled() -> None:
    assert ratio_between(POLICY, Seen(0.0, 0.0)).ratio == ALL
    no_drift = replace(POLICY, gates=replace(POLICY.gates, drift=None))
    assert ratio_between(no_drift, Seen(0.0, 0.0)).ratio == BETWEEN_MIN


def test_a_plan_tells_both() -> None:
    found = planned(POLICY, BUSY)
    assert (found.in_release, found.between) == (least_ratio(POLICY, BUSY), BETWEEN_MIN)
