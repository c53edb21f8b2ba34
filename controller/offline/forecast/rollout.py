"""The rollout of a release: shadow until its gates have passed, then the steps, each for its minimum time.

The end of shadow is random. Gates on live traffic are forecast for the median of the releases that leave shadow in
time.
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
    """The chances, 0 to 1, of the ends of a release of one candidate. For ``NO_CHANGE``, ``rolled_back`` is an upper
    bound."""

    candidate: str
    promoted: float
    rolled_back: float
    not_proven: float


@dataclass(frozen=True, slots=True)
class Exposure:
    """The traffic of the candidate over time. ``shadow_s``: the median seconds until shadow ends. ``in_time``: the
    chance, 0 to 1, that shadow ends early enough for the steps."""

    shadow_s: float
    in_time: float
    traffic: ReleaseTraffic


def least_seconds(policy: ReleasePolicy, step: Step, traffic: ReleaseTraffic) -> float:
    """Return the seconds that a step lasts at least, with its warm-up; infinity without traffic."""
    rate = traffic.requests_per_s * step.weight_pct / 100
    return max(policy.warm_up_s + step.min_s, step.min_requests / rate) if rate else math.inf


def all_steps_seconds(policy: ReleasePolicy, traffic: ReleaseTraffic) -> float:
    """Return the seconds that the steps after shadow last at least."""
    return sum(least_seconds(policy, step, traffic) for step in policy.steps)


def exposure(policy: ReleasePolicy, traffic: ReleaseTraffic, candidate: Candidate = UNCHANGED) -> Exposure:
    """Return the exposure of this candidate. Shadow ends in time if it leaves the steps their minimum time."""
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
    """Return the forecasts of the gates: those on shadow over shadow alone, the others over the whole rollout.
    ``only``: the names of the gates to forecast; None: all."""
    shadow = plan(policy.gates, _in_shadow(policy, traffic), stage=Stage.SHADOW, only=only)
    if only is not None and len(shadow) == len(only):
        return shadow
    return (*shadow, *plan(policy.gates, exposure(policy, traffic).traffic, stage=Stage.LIVE, only=only))


def ends(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Ends]:
    """Yield the chances for a candidate without a change, and for one as bad as the margin of each gate in turn.

    All gates judge each candidate: a candidate at the margin of one gate may be beyond the margin of another. A gate
    can fail a release until the promotion, or else until the deadline.
    """
    promoted, _ = _ends(policy, traffic, UNCHANGED)
    back = min(policy.gates.rollback_alpha, 1 - promoted)  # a promise at any traffic, not a forecast
    yield Ends(NO_CHANGE, promoted, back, 1 - promoted - back)
    for gate in curves(policy.gates, _in_shadow(policy, traffic)):
        promoted, back = _ends(policy, traffic, gate.margin)
        yield Ends(f"as bad as {gate.gate}'s margin", promoted, back, 1 - promoted - back)


def _ends(policy: ReleasePolicy, traffic: ReleaseTraffic, candidate: Candidate) -> tuple[float, float]:
    """Return the chances that a release of this candidate is promoted, and that it is rolled back."""
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
    """Return the traffic of a release that stays in shadow until its deadline."""
    return replace(traffic, steps=tuple(_shadow(policy, traffic, policy.deadline_s)))


def _shadow(policy: ReleasePolicy, traffic: ReleaseTraffic, seconds: float) -> Iterator[PlannedStep]:
    """Yield shadow of that many seconds in parts: the replay of recorded requests, the replay of the texts of suites,
    and the rest."""
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
    """Return the seconds after which half of the releases that pass by ``until_s`` have passed."""
    seconds = reached_s(passed, passed(until_s) / 2, until_s)
    return until_s if seconds is None or not passed(until_s) else seconds
