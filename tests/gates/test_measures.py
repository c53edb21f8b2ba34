"""Each measure that a service is watched by has a gate or an advisory, with its starting target as the default."""

import re
from functools import reduce
from pathlib import Path

import pytest

from gates.gate_set import GateSet
from gates.policy import GatePolicy

PAGE = (Path(__file__).parents[2] / "docs/gates.md").read_text(encoding="utf-8")
ROWS = {row[0]: row for row in re.findall(r"^\| (M\d+) \| (.*?) \| (.*?) \| (.*?) \|", PAGE, re.MULTILINE)}
BEFORE_TRAFFIC = {"accuracy.suite", "calibration.suite", "preflight.tokens"}
TARGETS = {
    "M1": {"latency.p95_ms_max": 200.0},
    "M2": {"latency.p99_ms_max": 500.0},
    "M3": {"limits.throughput_ratio_min": 0.8},
    "M4": {"limits.memory_ratio_max": 0.9},
    "M5": {"limits.cpu_ratio_max": 0.7},
    "M6": {"limits.gpu_ratio_max": 0.9, "limits.gpu_ratio_min": 0.6},
    "M7": {"accuracy_shadow.margin_points": 1.0, "suite.accuracy_min": 0.8},
    "M8": {"calibration_shadow.margin_gap": 0.03},
    "M9": {"errors_live.error_ratio_max": 0.001},
    "M10": {"limits.cold_start_ratio_max": 0.01},
    "M11": {"drift.reference_guard": 0.1},
    "M12": {"limits.cost_per_1000_max": None},
    "M13": {"promotion_alpha": 0.01},
    "M14": {"drift.reference_s": 604_800.0},
    "M15": {"budget.objective_ratio": 0.999},
    "M16": {"limits.queue_depth_max": 5.0},
    "M17": {"limits.tokens_p95_max": 0.0, "limits.truncated_ratio_max": 0.01},
}


def test_every_measure_has_its_row() -> None:
    assert list(ROWS) == [f"M{number}" for number in range(1, 18)] == list(TARGETS)


@pytest.mark.parametrize("measure", TARGETS)
def test_a_measure_has_a_gate_of_the_default_policy(measure: str) -> None:
    """M13 is no single gate: it is what a release asks of all of them."""
    named = set(re.findall(r"`([a-z0-9_.]+)`", ROWS[measure][2]))
    assert named or measure == "M13"
    assert named <= set(GateSet(GatePolicy()).names) | BEFORE_TRAFFIC


@pytest.mark.parametrize("measure", TARGETS)
def test_its_default_is_the_starting_target_as_documented(measure: str) -> None:
    written = dict(re.findall(r"`([a-z0-9_.]+)` ([0-9.]+|null)", ROWS[measure][3]))
    assert written.keys() == TARGETS[measure].keys()
    for path, target in TARGETS[measure].items():
        default = reduce(getattr, path.split("."), GatePolicy())
        assert default == target
        assert written[path] == ("null" if target is None else f"{target:.10g}")
