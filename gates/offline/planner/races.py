"""Every gate that can pass and fail by a test of its own, as a race."""

from collections.abc import Iterator
from dataclasses import replace

from gates.offline.planner.candidate import Candidate
from gates.offline.planner.counts import Tail, budget, errors, latency, live_accuracy
from gates.offline.planner.pairs import accuracy, calibration
from gates.offline.planner.race import Levels, Race
from gates.offline.planner.traffic import PlannedSlice, Traffic
from gates.policy import GatePolicy
from gates.verdict import Stage


def races(policy: GatePolicy, traffic: Traffic, candidate: Candidate) -> Iterator[Race]:
    """Of this candidate; each names one that is as bad as its margin."""
    level, loss = Levels(policy), _whole_loss(traffic, candidate)
    if policy.accuracy_shadow is not None:
        margin = Candidate(loss_ratio=policy.accuracy_shadow.margin_points / 100)
        yield accuracy("accuracy.shadow", policy.accuracy_shadow, traffic, level, loss, margin)
    for part in policy.slices:
        seen = _seen(part.name, traffic)
        narrowed = replace(
            traffic,
            mirror_ratio=traffic.mirror_ratio * seen.share_ratio,
            disagreement_ratio=seen.disagreement_ratio,
        )
        own = candidate.loss_ratio if candidate.slice in ("", part.name) else 0.0
        margin = Candidate(loss_ratio=part.accuracy.margin_points / 100, slice=part.name)
        yield accuracy(f"accuracy.shadow[{part.name}]", part.accuracy, narrowed, level, own, margin)
    if policy.calibration_shadow is not None:
        yield calibration(policy.calibration_shadow, traffic, level, candidate)
    if policy.errors_shadow is not None:
        yield errors(policy.errors_shadow, Stage.SHADOW, traffic, level, candidate)
    if policy.latency is not None:
        for tail in (Tail.p95(policy.latency), Tail.p99(policy.latency)):
            yield latency(policy.latency, tail, traffic, level, candidate)
    if policy.errors_live is not None:
        yield errors(policy.errors_live, Stage.LIVE, traffic, level, candidate)
    if policy.accuracy_live is not None:
        yield live_accuracy(policy.accuracy_live, traffic, level, loss)
    if policy.budget is not None:
        yield budget(policy.budget, traffic, level, candidate)


def _seen(name: str, traffic: Traffic) -> PlannedSlice:
    found = (part for part in traffic.slices if part.name == name)
    return next(found, PlannedSlice(name, disagreement_ratio=traffic.disagreement_ratio))


def _whole_loss(traffic: Traffic, candidate: Candidate) -> float:
    """What a loss in one slice is of all requests."""
    return candidate.loss_ratio * (_seen(candidate.slice, traffic).share_ratio if candidate.slice else 1.0)
