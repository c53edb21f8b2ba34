"""Every gate that can pass and fail by a test of its own, as a race."""

from collections.abc import Iterator
from dataclasses import replace

from gates.offline.planner.counts import Tail, budget, errors, latency, live_accuracy
from gates.offline.planner.pairs import accuracy, calibration
from gates.offline.planner.race import Levels, Race
from gates.offline.planner.traffic import PlannedSlice, Traffic
from gates.policy import GatePolicy
from gates.verdict import Stage


def races(policy: GatePolicy, traffic: Traffic) -> Iterator[Race]:
    """Of an equal candidate without a change, and of one at the gate's margin."""
    level = Levels(policy)
    if policy.accuracy_shadow is not None:
        yield accuracy("accuracy.shadow", policy.accuracy_shadow, traffic, level)
    yield from _slices(policy, traffic, level)
    if policy.calibration_shadow is not None:
        yield calibration(policy.calibration_shadow, traffic, level)
    if policy.errors_shadow is not None:
        yield errors(policy.errors_shadow, Stage.SHADOW, traffic, level)
    if policy.latency is not None:
        for tail in (Tail.p95(policy.latency), Tail.p99(policy.latency)):
            yield latency(policy.latency, tail, traffic, level)
    if policy.errors_live is not None:
        yield errors(policy.errors_live, Stage.LIVE, traffic, level)
    if policy.accuracy_live is not None:
        yield live_accuracy(policy.accuracy_live, traffic, level)
    if policy.budget is not None:
        yield budget(policy.budget, traffic, level)


def _slices(policy: GatePolicy, traffic: Traffic, level: Levels) -> Iterator[Race]:
    known = {part.name: part for part in traffic.slices}
    for part in policy.slices:
        seen = known.get(part.name, PlannedSlice(part.name, disagreement_ratio=traffic.disagreement_ratio))
        narrowed = replace(
            traffic,
            mirror_ratio=traffic.mirror_ratio * seen.share_ratio,
            disagreement_ratio=seen.disagreement_ratio,
        )
        yield accuracy(f"accuracy.shadow[{part.name}]", part.accuracy, narrowed, level)
