"""The rollout of a release: shadow until its gates have passed, then the steps, each of which has its least time.

When shadow ends is a matter of chance; live gates are forecast for the middle of the releases that leave it in time.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from controller.core.policy import LabelsBefore, ReleasePolicy, Step
from controller.offline.forecast.traffic import ReleaseTraffic
from controller.ports.samples import BY_CHANCE_RATIO
from gates.forecast.candidate import UNCHANGED, Candidate
from gates.forecast.traffic import PlannedStep
from gates.offline.plan import Chance, Curves, GatePlan, curves, plan, reached_s
from gates.verdict import Stage

NO_CHANGE: Final = "no change"
ALL_LABELLED: Final = 1.0  # every text of a suite


@dataclass(frozen=True, slots=True)
class Ends:
    """The chances of how a release of one candidate ends. Of ``NO_CHANGE`` a rollback is at most so likely."""

    candidate: str
    promoted: float
    rolled_back: float
    not_proven: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """The times at which the candidate gets which traffic, if shadow ends after ``shadow_s``, and the chance that it
    does in time."""

    shadow_s: float
    in_time: float
    traffic: ReleaseTraffic


def least_seconds(policy: ReleasePolicy, step: Step, traffic: ReleaseTraffic) -> float:
    """Return how long a step lasts at least, with its warm-up."""
    rate = traffic.requests_per_s * step.weight_pct / 100
    return max(policy.warm_up_s + step.min_s, step.min_requests / rate) if rate else math.inf


def all_steps_seconds(policy: ReleasePolicy, traffic: ReleaseTraffic) -> float:
    """Return how long the steps after shadow last at least."""
    return sum(least_seconds(policy, step, traffic) for step in policy.steps)


def exposure(policy: ReleasePolicy, traffic: ReleaseTraffic, candidate: Candidate = UNCHANGED) -> Exposure:
    """The steps for this candidate. In time is what leaves as much time as the steps take at the least."""
    alone = _in_shadow(policy, traffic)
    gates = curves(policy.gates, alone, candidate, required_in=Stage.SHADOW)
    cutoff_s = max(policy.deadline_s - all_steps_seconds(policy, traffic), 0.0)
    in_time = math.prod(gate.passed(cutoff_s) for gate in gates) if gates else 0.0  # with nothing to pass, none leaves
    shadow_s = max((_middle_s(gate.passed, cutoff_s) for gate in gates), default=policy.deadline_s)
    steps, left = list(_shadow(policy, traffic, shadow_s)), policy.deadline_s - shadow_s
    for step in policy.steps:
        seconds = left if step is policy.steps[-1] else min(least_seconds(policy, step, traffic), left)
        cold_s = min(policy.warm_up_s, seconds)
        share = step.weight_pct / 100
        parts = PlannedStep(share, cold_s, warming=True), PlannedStep(share, seconds - cold_s)
        steps += [part for part in parts if part.duration_s]
        left -= seconds
    return Exposure(shadow_s, in_time, replace(traffic, steps=tuple(steps)))


def gate_plans(
    policy: ReleasePolicy, traffic: ReleaseTraffic, only: Collection[str] | None = None
) -> tuple[GatePlan, ...]:
    """Every gate's forecast: those of shadow on mirrored traffic alone, the others on the steps. ``only``: of the gates
    of these names."""
    shadow = plan(policy.gates, _in_shadow(policy, traffic), stage=Stage.SHADOW, only=only)
    if only is not None and len(shadow) == len(only):
        return shadow
    return (*shadow, *plan(policy.gates, exposure(policy, traffic).traffic, stage=Stage.LIVE, only=only))


def ends(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Ends]:
    """Chances under "no change", and for a candidate as bad as each gate's margin and otherwise without a change.

    Every gate is asked about every candidate: what is as bad as the margin of a gate that promotion does not wait for
    may be beyond that of another. A gate counts until promotion, in releases that are promoted, else to the deadline.
    """
    promoted, _ = _ends(policy, traffic, UNCHANGED)
    back = min(policy.gates.rollback_alpha, 1 - promoted)  # a promise at any traffic, not a forecast
    yield Ends(NO_CHANGE, promoted, back, 1 - promoted - back)
    for gate in curves(policy.gates, _in_shadow(policy, traffic)):
        promoted, back = _ends(policy, traffic, gate.margin)
        yield Ends(f"as bad as {gate.gate}'s margin", promoted, back, 1 - promoted - back)


def _ends(policy: ReleasePolicy, traffic: ReleaseTraffic, candidate: Candidate) -> tuple[float, float]:
    """The chances that a release of this candidate is promoted, and rolled back."""
    found, deadline_s = exposure(policy, traffic, candidate), policy.deadline_s
    gates = curves(policy.gates, found.traffic, candidate)
    live = [gate for gate in gates if gate.stage is Stage.LIVE and gate.required]
    passes = found.in_time * math.prod(gate.passed(deadline_s) for gate in live)
    least_s = found.shadow_s + all_steps_seconds(policy, traffic)
    end_s = min(max([least_s, *(_middle_s(gate.passed, deadline_s) for gate in live)]), deadline_s)
    before, late = _any_failed(gates, end_s), _any_failed(gates, deadline_s)
    return passes * (1 - before), passes * before + (1 - passes) * late


def _any_failed(gates: Iterable[Curves], seconds: float) -> float:
    return 1 - math.prod(1 - gate.failed(seconds) for gate in gates)


def _in_shadow(policy: ReleasePolicy, traffic: ReleaseTraffic) -> ReleaseTraffic:
    """The traffic of a release that never leaves shadow."""
    return replace(traffic, steps=tuple(_shadow(policy, traffic, policy.deadline_s)))


def _shadow(policy: ReleasePolicy, traffic: ReleaseTraffic, seconds: float) -> Iterator[PlannedStep]:
    """Yield shadow of that length: first the time while recorded requests are asked again, then that of the texts of
    suites, if there are any."""
    replay = policy.shadow_replay
    before = traffic.label_ratio if replay.labels_before is LabelsBefore.HELD_OUT else 0.0
    asked = BY_CHANCE_RATIO * traffic.directed_ratio  # in turn with the disagreements
    left_s = seconds
    for texts, label_ratio in ((replay.requests_max, max(before, asked)), (traffic.suite_texts, ALL_LABELLED)):
        lasts_s = min(texts / replay.requests_per_s_max, left_s)
        if lasts_s:
            yield PlannedStep(0.0, lasts_s, replayed_per_s=replay.requests_per_s_max, replayed_label_ratio=label_ratio)
        left_s -= lasts_s
    if left_s:
        yield PlannedStep(0.0, left_s)


def _middle_s(passed: Chance, until_s: float) -> float:
    """Return when half of those that pass by then have passed."""
    seconds = reached_s(passed, passed(until_s) / 2, until_s)
    return until_s if seconds is None or not passed(until_s) else seconds
