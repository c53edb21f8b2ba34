"""A policy that no gate could work with is refused where it is made, by the name of the field."""

import math
from dataclasses import replace

import pytest

from controller.config.policy_file import parse_policy
from controller.errors import UsageError
from gates.policy import (
    BudgetPolicy,
    CalibrationPolicy,
    DriftPolicy,
    ExperimentPolicy,
    GatePolicy,
    LatencyPolicy,
    LiveErrorsPolicy,
    PairedAccuracyPolicy,
    ShadowErrorsPolicy,
    SuitePolicy,
)


@pytest.mark.parametrize(
    ("policy", "field", "value"),
    [
        (LatencyPolicy(), "p99_alpha_share", 0.0),
        (LatencyPolicy(), "p95_alpha_share", -1.0),
        (LatencyPolicy(), "p95_ms_max", 0.0),
        (LatencyPolicy(), "stable_requests_min", 0),
        (LatencyPolicy(), "p95_margin_ratio", math.nan),
        (PairedAccuracyPolicy(), "margin_points", 0.0),
        (PairedAccuracyPolicy(), "bets", ()),
        (PairedAccuracyPolicy(), "bets", (0.5, 1.0)),
        (CalibrationPolicy(), "alpha_share", 0.0),
        (CalibrationPolicy(), "inclusion_probability_min", 0.0),
        (ShadowErrorsPolicy(), "error_ratio_max", 0.0),
        (LiveErrorsPolicy(), "margin_ratio", 0.0),
        (BudgetPolicy(), "objective_ratio", 1.0),
        (ExperimentPolicy(), "alpha", 0.0),
        (DriftPolicy(), "disagreement_max", 0.0),
        (SuitePolicy(), "alpha", 0.5),
        (GatePolicy(), "deadline_fraction", 1.0),
    ],
)
def test_a_value_that_no_gate_could_work_with_is_refused_by_name(policy, field, value):
    with pytest.raises(ValueError, match=f"{field} must be "):
        replace(policy, **{field: value})


@pytest.mark.parametrize(
    ("section", "keys", "said"),
    [
        ("budget", {"guard_ratio": 0.5}, "guard_ratio must be at least 1"),
        ("errors_live", {"guard_ratio": 0.9}, "guard_ratio must be at least 1"),
        ("errors_live", {"guard_ratio": 3.0}, "guard_ratio must be below margin_ratio"),
        ("latency", {"guard_slower_ratio": 1.1}, "guard_slower_ratio must be below p95_margin_ratio"),
        ("accuracy_live", {"guard_points": 2.0}, "guard_points must be below margin_points"),
    ],
)
def test_a_guard_that_is_not_below_its_margin_is_refused_where_it_is_written(section, keys, said):
    """And nowhere else: what a release was judged by is read as it was recorded."""
    policy = replace(GatePolicy(), **{section: replace(getattr(GatePolicy(), section), **keys)})
    with pytest.raises(ValueError, match=f"{section}: {said}"):
        policy.require_guards_below_margins()
    (key, value), *_ = keys.items()
    text = f"apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: m\ngates:\n  {section}: {{{key}: {value}}}\n"
    with pytest.raises(UsageError, match=rf"gates\.{section}: {said}"):
        parse_policy(text)


def test_none_switches_an_objective_off_and_is_no_wrong_number():
    assert LatencyPolicy(p95_ms_max=None, p99_ms_max=None).p95_ms_max is None
    assert CalibrationPolicy(inclusion_probability_min=None).inclusion_probability_min is None


def test_in_a_policy_file_it_is_a_usage_error_with_its_line():
    text = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: m\ngates:\n  latency:\n    p99_alpha_share: 0\n"
    with pytest.raises(UsageError, match=r"line 6: gates\.latency: .*p99_alpha_share must be above 0, got 0"):
        parse_policy(text)
