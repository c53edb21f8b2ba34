"""Before a release starts: what each step and gate will need on this traffic, and what would make it quicker.

The forecasts are those of `gates.offline.planner`. Here they are put on the way that a release goes: shadow lasts until
its gates have passed, each canary step its least time and requests, and the last one until all gates have passed.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from controller.core.policy import ReleasePolicy, Step
from controller.planning.traffic import Known
from controller.report.words import duration
from gates.codec import encode
from gates.offline.planner.plan import GatePlan, plan
from gates.offline.planner.traffic import PlannedStep, Traffic
from gates.policy import GatePolicy
from gates.verdict import Stage

SCHEMA: Final = "serin.plan/v1"
LIKELY: Final = 0.9
"""A gate that passes an equal candidate with less than this chance is told, with what would help."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step: how long it is expected to last (None: it does not end by the deadline), and what ends it."""

    name: str
    share: float
    seconds: float | None
    until: str


@dataclass(frozen=True, slots=True)
class Ends:
    """The chances of how a release ends, for one kind of candidate. Bounds where the gates promise one."""

    candidate: str
    promoted: float
    rolled_back: float
    not_proven: float


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change after which a gate would settle: how soon, and with which chance by the deadline."""

    change: str
    pass_s: float
    pass_chance: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """A gate that is not likely to pass an equal candidate by the deadline. No remedy: nothing tried is enough."""

    gate: str
    remedies: tuple[Remedy, ...]


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """The whole forecast. Seconds of gates count from the start of shadow traffic."""

    model: str
    deadline_s: float
    traffic: tuple[Known, ...]
    steps: tuple[StepPlan, ...]
    promoted_s: float | None
    gates: tuple[GatePlan, ...]
    ends: tuple[Ends, ...]
    troubles: tuple[Trouble, ...]


def forecast(policy: ReleasePolicy, traffic: Traffic, known: tuple[Known, ...] = ()) -> ReleasePlan:
    """The plan of one release under this policy and traffic (whose steps are filled in here)."""
    gates, shadow_s = _gates(policy, traffic)
    required = [gate for gate in gates if gate.required]
    settled = [gate.pass_s for gate in required]
    promoted_s = None
    if all(seconds is not None for seconds in settled):
        least = shadow_s + sum(_least_seconds(step, traffic) for step in policy.steps)
        promoted_s = max([least, *(seconds for seconds in settled if seconds is not None)])
    never = not any(gate.stage is Stage.SHADOW for gate in required)
    late = never or (promoted_s is not None and promoted_s > policy.deadline_s)
    return ReleasePlan(
        model=policy.model,
        deadline_s=policy.deadline_s,
        traffic=known,
        steps=tuple(_steps(policy, traffic, gates, shadow_s)),
        promoted_s=None if late else promoted_s,
        gates=gates,
        ends=tuple(_ends(policy.gates, traffic, gates, late=late)),
        troubles=tuple(_troubles(policy, traffic, gates)),
    )


def _gates(policy: ReleasePolicy, traffic: Traffic) -> tuple[tuple[GatePlan, ...], float]:
    """Every gate's forecast, and how long shadow lasts: the gates of that stage must pass before any other begins."""
    alone = plan(policy.gates, replace(traffic, steps=(PlannedStep(0.0, policy.deadline_s),)))
    shadow = [gate for gate in alone if gate.stage is Stage.SHADOW]
    waited_for = [gate for gate in shadow if gate.required]
    lasts = [gate.pass_s if gate.pass_s is not None else policy.deadline_s for gate in waited_for]
    shadow_s = max(lasts, default=policy.deadline_s)  # with nothing to pass, a release does not leave it
    steps = [PlannedStep(0.0, shadow_s)]
    left = policy.deadline_s - shadow_s
    for step in policy.steps:
        last = step is policy.steps[-1]
        seconds = left if last else min(_least_seconds(step, traffic), left)
        steps.append(PlannedStep(step.weight_pct / 100, seconds))
        left -= seconds
    exposed = plan(policy.gates, replace(traffic, steps=tuple(steps)))
    return (*shadow, *(gate for gate in exposed if gate.stage is Stage.LIVE)), shadow_s


def _least_seconds(step: Step, traffic: Traffic) -> float:
    rate = traffic.requests_per_s * step.weight_pct / 100
    return max(step.min_s, step.min_requests / rate) if rate else math.inf


def _steps(policy: ReleasePolicy, traffic: Traffic, gates: tuple[GatePlan, ...], shadow_s: float) -> Iterator[StepPlan]:
    open_gates = [gate for gate in gates if gate.stage is Stage.SHADOW and gate.required]
    never = not open_gates or any(gate.pass_s is None for gate in open_gates)
    nothing = "never: no required gate judges shadow traffic"
    yield StepPlan("shadow", 0.0, None if never else shadow_s, _until(open_gates) or nothing)
    at_s = math.inf if never else shadow_s
    for place, step in enumerate(policy.steps, start=1):
        seconds, until = _least_seconds(step, traffic), _why_so_long(step, traffic)
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
    """The gate that is waited for."""
    waiting = list(gates)
    never = [gate.gate for gate in waiting if gate.pass_s is None]
    if never:
        return f"not by the deadline: {', '.join(never)}"
    slowest = max(waiting, key=lambda gate: gate.pass_s or 0.0, default=None)
    return f"{slowest.gate} passes last" if slowest else ""


def _why_so_long(step: Step, traffic: Traffic) -> str:
    by_requests = _least_seconds(step, traffic) > step.min_s
    return f"{step.min_requests:,} requests are served" if by_requests else f"{duration(step.min_s)} have passed"


def _ends(policy: GatePolicy, traffic: Traffic, gates: tuple[GatePlan, ...], *, late: bool) -> Iterator[Ends]:
    """Chances under "no change", and for a candidate as bad as one gate's margin and otherwise without a change.

    An equal candidate is rolled back with at most ``rollback_alpha``, one at a margin is promoted with at most
    ``promotion_alpha``: those are promises at any traffic. The rest follows from the forecasts.
    """
    promoted = 0.0 if late else math.prod(gate.pass_chance for gate in gates if gate.required)
    back = min(policy.rollback_alpha, 1 - promoted)
    yield Ends("no change", promoted, back, 1 - promoted - back)
    for gate in gates:
        back, name = gate.fail_chance, f"as bad as {gate.gate}'s margin"
        if gate.required and gate.gate.startswith("errors") and _within_objective(policy, traffic):
            name = f"at {gate.gate}'s margin (within its objective)"
        slipped = promoted * (1 - back)
        if _is_excluded(gate, policy, traffic):
            slipped = min(policy.promotion_alpha, promoted, 1 - back)
        yield Ends(name, slipped, back, 1 - slipped - back)


def _is_excluded(gate: GatePlan, policy: GatePolicy, traffic: Traffic) -> bool:
    """Whether a gate that promotion waits for has to exclude a candidate as bad as this one's margin."""
    if gate.gate == "budget.burn":
        return _burn_is_excluded(policy, traffic)
    if gate.gate.startswith("errors"):
        return not _within_objective(policy, traffic)
    if gate.gate == "accuracy.live" and not gate.required:
        live, shadow = policy.accuracy_live, policy.accuracy_shadow
        return bool(live and shadow and shadow.required and shadow.margin_points <= live.margin_points)
    return gate.required


def _within_objective(policy: GatePolicy, traffic: Traffic) -> bool:
    """Whether errors grown to the margin still meet the absolute objective, which certifies as well as a comparison."""
    live = policy.errors_live
    return live is not None and traffic.error_ratio * live.margin_ratio < live.error_ratio_max


def _burn_is_excluded(policy: GatePolicy, traffic: Traffic) -> bool:
    """``errors.live`` has to exclude what is beyond both its margin and its objective."""
    live, burn = policy.errors_live, policy.budget
    if live is None or burn is None:
        return False
    burning = (1 - burn.objective_ratio) * burn.rollback_burn
    return burning >= max(traffic.error_ratio * live.margin_ratio, live.error_ratio_max)


# --- what would help --------------------------------------------------------------------------------------------------
Changed = tuple[str, ReleasePolicy, Traffic]
_WIDER: Final = (1.5, 2.0, 3.0, 5.0, 10.0)
_LONGER: Final = (1.5, 2.0, 3.0, 4.0, 6.0, 12.0, 24.0)


def _troubles(policy: ReleasePolicy, traffic: Traffic, gates: tuple[GatePlan, ...]) -> Iterator[Trouble]:
    for gate in gates:
        if gate.required and (gate.pass_s is None or gate.pass_chance < LIKELY):
            kinds = _changes(gate, policy, traffic)
            found = (_smallest(gate.gate, kind) for kind in kinds)
            yield Trouble(gate.gate, tuple(remedy for remedy in found if remedy is not None))


def _smallest(name: str, changes: Iterable[Changed]) -> Remedy | None:
    """The first of ever larger changes after which the gate is likely to pass in time."""
    for text, policy, traffic in changes:
        gates, _ = _gates(policy, traffic)
        gate = next(gate for gate in gates if gate.gate == name)
        if gate.pass_s is not None and gate.pass_chance >= LIKELY:
            return Remedy(text, gate.pass_s, gate.pass_chance)
    return None


def _changes(gate: GatePlan, policy: ReleasePolicy, traffic: Traffic) -> Iterator[Iterator[Changed]]:
    """Kinds of changes that this gate would profit from, each from small to large."""
    if gate.gate.startswith("accuracy.shadow"):
        yield _directed(policy, traffic)
    if gate.gate.startswith("accuracy.shadow") or gate.gate == "calibration.shadow":
        yield _labels(policy, traffic)
    if gate.gate == "accuracy.live":
        yield _live_labels(policy, traffic)
    if gate.stage is Stage.SHADOW or gate.gate.startswith("errors"):
        yield _mirror(policy, traffic)
    if gate.stage is Stage.LIVE:
        yield _share(policy, traffic)
    for section, key in _MARGINS.get(gate.gate, ()):
        yield _margin(section, key, policy, traffic)
    yield _deadline(policy, traffic)


_MARGINS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "accuracy.shadow": (("accuracy_shadow", "margin_points"),),
    "accuracy.live": (("accuracy_live", "margin_points"),),
    "calibration.shadow": (("calibration_shadow", "margin_gap"),),
    "errors.shadow": (("errors_shadow", "error_ratio_max"), ("errors_shadow", "margin_ratio")),
    "errors.live": (("errors_live", "error_ratio_max"), ("errors_live", "margin_ratio")),
    "latency.p95": (("latency", "p95_margin_ratio"),),
    "latency.p99": (("latency", "p99_margin_ratio"),),
}


def _directed(policy: ReleasePolicy, traffic: Traffic) -> Iterator[Changed]:
    for share in (0.25, 0.5, 1.0):
        if share > max(traffic.directed_ratio, traffic.label_ratio):
            yield f"label {100 * share:g} % of the disagreements", policy, replace(traffic, directed_ratio=share)


_LABELLED: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def _labels(policy: ReleasePolicy, traffic: Traffic) -> Iterator[Changed]:
    for share in _LABELLED:
        if share > traffic.label_ratio:
            yield f"label {100 * share:g} % of the requests by chance", policy, replace(traffic, label_ratio=share)


def _live_labels(policy: ReleasePolicy, traffic: Traffic) -> Iterator[Changed]:
    for share in _LABELLED:
        if share > traffic.live_label_ratio:
            yield f"label {100 * share:g} % of the live answers", policy, replace(traffic, live_label_ratio=share)


def _mirror(policy: ReleasePolicy, traffic: Traffic) -> Iterator[Changed]:
    for share in (0.25, 0.5, 1.0):
        if share > traffic.mirror_ratio:
            yield f"mirror_pct: {100 * share:g}", policy, replace(traffic, mirror_ratio=share)


def _share(policy: ReleasePolicy, traffic: Traffic) -> Iterator[Changed]:
    *before, last = policy.steps
    for weight_pct in (10.0, 20.0, 50.0):
        if weight_pct > last.weight_pct:
            steps = (*before, last, replace(last, weight_pct=weight_pct))
            yield f"steps: one more, at {weight_pct:g} %", replace(policy, steps=steps), traffic


def _margin(section: str, key: str, policy: ReleasePolicy, traffic: Traffic) -> Iterator[Changed]:
    """A wider margin; of a ratio, what it has above 1 is widened."""
    part = getattr(policy.gates, section)
    before = getattr(part, key)
    above = 1.0 if key.endswith("margin_ratio") else 0.0
    for factor in _WIDER:
        value = float(f"{above + (before - above) * factor:.3g}")
        gates = replace(policy.gates, **{section: replace(part, **{key: value})})
        yield f"gates.{section}.{key}: {value:g} (now {before:g})", replace(policy, gates=gates), traffic


def _deadline(policy: ReleasePolicy, traffic: Traffic) -> Iterator[Changed]:
    for factor in _LONGER:
        seconds = policy.deadline_s * factor
        yield f"deadline_s: {seconds:g} ({duration(seconds)})", replace(policy, deadline_s=seconds), traffic


def as_document(found: ReleasePlan) -> dict[str, Any]:
    """The plan as JSON values."""
    return {"schema": SCHEMA, **encode(found)}
