"""The plan of a release before it starts: what each step and gate needs on this traffic, and what would make it
quicker.

The forecasts are those of `gates.offline.plan`, applied to the course of a release (`forecast.rollout`).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from controller.core.policy import ReleasePolicy, Step
from controller.offline.forecast.remedies import Trouble, troubles
from controller.offline.forecast.rollout import Ends, ends, gate_plans, least_seconds
from controller.offline.forecast.sampling import Sampling, planned
from controller.offline.forecast.traffic import Known, ReleaseTraffic
from controller.report.words import duration
from gates.codec import encode
from gates.offline.plan import GatePlan
from gates.verdict import Stage

SCHEMA: Final = "serin.plan/v1"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The forecast of one step. ``share``: the candidate's, 0 to 1. ``seconds``: how long it lasts; None: not over by
    the deadline. ``until``: what ends it, in words."""

    name: str
    share: float
    seconds: float | None
    until: str


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """The whole forecast. Seconds of gates count from the start of shadow. ``promoted_s``: the seconds until the
    promotion; None: not by the deadline."""

    model: str
    deadline_s: float
    traffic: tuple[Known, ...]
    steps: tuple[StepPlan, ...]
    promoted_s: float | None
    gates: tuple[GatePlan, ...]
    ends: tuple[Ends, ...]
    troubles: tuple[Trouble, ...]
    sampling: Sampling


def forecast(policy: ReleasePolicy, traffic: ReleaseTraffic, known: tuple[Known, ...] = ()) -> ReleasePlan:
    """Return the plan of a release under this policy and traffic. The steps of the traffic are filled in here."""
    gates = gate_plans(policy, traffic)
    steps = tuple(_steps(policy, traffic, gates))
    lasts = [step.seconds for step in steps if step.seconds is not None]
    return ReleasePlan(
        model=policy.model,
        deadline_s=policy.deadline_s,
        traffic=known,
        steps=steps,
        promoted_s=sum(lasts) if len(lasts) == len(steps) else None,
        gates=gates,
        ends=tuple(ends(policy, traffic)),
        troubles=tuple(troubles(policy, traffic, gates)),
        sampling=planned(policy, traffic),
    )


def _steps(policy: ReleasePolicy, traffic: ReleaseTraffic, gates: tuple[GatePlan, ...]) -> Iterator[StepPlan]:
    open_gates = [gate for gate in gates if gate.stage is Stage.SHADOW and gate.required]
    passed = [gate.pass_s for gate in open_gates if gate.pass_s is not None]
    shadow_s = max(passed) if passed and len(passed) == len(open_gates) else None
    yield StepPlan("shadow", 0.0, shadow_s, _until(open_gates) or "never: no required gate judges shadow traffic")
    at_s = math.inf if shadow_s is None else shadow_s
    for place, step in enumerate(policy.steps, start=1):
        seconds, until = least_seconds(policy, step, traffic), _why_so_long(policy, step, traffic)
        if place == len(policy.steps):
            live = [gate for gate in gates if gate.stage is Stage.LIVE and gate.required]
            ends = max((gate.pass_s if gate.pass_s is not None else math.inf for gate in live), default=0.0)
            if ends > at_s + seconds:
                seconds, until = ends - at_s, _until(live)
        begins, at_s = at_s, at_s + seconds
        known = seconds if at_s <= policy.deadline_s else None
        yield StepPlan(
            f"canary {place}", step.weight_pct / 100, known, until if begins < policy.deadline_s else "not reached"
        )


def _until(gates: Iterable[GatePlan]) -> str:
    """Return the gate that passes last, or the gates that do not pass by the deadline, in words."""
    waiting = list(gates)
    never = [gate.gate for gate in waiting if gate.pass_s is None]
    if never:
        return f"not by the deadline: {', '.join(never)}"
    slowest = max(waiting, key=lambda gate: gate.pass_s or 0.0, default=None)
    return f"{slowest.gate} passes last" if slowest else ""


def _why_so_long(policy: ReleasePolicy, step: Step, traffic: ReleaseTraffic) -> str:
    least_s = policy.warm_up_s + step.min_s
    if least_seconds(policy, step, traffic) > least_s:
        return f"{step.min_requests:,} requests are served"
    warm_up = f", {duration(policy.warm_up_s)} of them to warm up" if policy.warm_up_s else ""
    return f"{duration(least_s)} have passed{warm_up}"


def as_document(found: ReleasePlan) -> dict[str, Any]:
    """Return the plan as JSON values."""
    return {"schema": SCHEMA, **encode(found)}
