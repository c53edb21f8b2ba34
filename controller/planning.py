"""Before a release starts: what each step and gate will need on this traffic, and what would make it quicker.

The forecasts are those of `gates.planner`. Here they are put on the way that a release goes: shadow lasts until its
gates have passed, each canary step its least time and requests, and the last one until all gates have passed.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from controller.core.policy import ReleasePolicy, Step
from controller.errors import UsageError
from controller.report.words import duration
from gates.codec import encode
from gates.offline.backtest_service import Service
from gates.offline.planner import GatePlan, PlannedSlice, PlannedStep, Traffic, plan
from gates.policy import GatePolicy, PairedAccuracyPolicy
from gates.verdict import Stage

SCHEMA: Final = "serin.plan/v1"
SLICE: Final = "slice"
"""Begins the name of a number that is a slice's share of the requests."""
LIKELY: Final = 0.9
"""A gate that passes an equal candidate with less than this chance is told, with what would help."""


@dataclass(frozen=True, slots=True)
class Known:
    """One number about the traffic, and where it comes from: given, observed, the policy, or assumed."""

    name: str
    value: float
    source: str


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


# --- traffic ----------------------------------------------------------------------------------------------------------
_NUMBERS: Final = tuple(field.name for field in fields(Traffic) if field.name not in ("steps", "slices"))


def traffic_known(
    policy: ReleasePolicy, given: dict[str, float | None], service: Service | None
) -> tuple[Traffic, tuple[Known, ...]]:
    """What is known of the traffic: what was given wins over what was observed, and that over what is assumed.

    Raises:
        UsageError: neither given nor observed how many requests there are.
    """
    observed = _observed(service) if service is not None else {}
    assumed = {field.name: field.default for field in fields(Traffic)}
    found: dict[str, Known] = {}
    for name in _NUMBERS:
        asked = given.get(name)
        if asked is not None:
            found[name] = Known(name, asked, "given")
        elif name == "mirror_ratio":
            found[name] = Known(name, policy.mirror_pct / 100, "policy")
        elif name in observed:
            found[name] = Known(name, observed[name], "observed")
        elif name == "requests_per_s":
            raise UsageError("how many requests a second are there? Say --requests-per-s, or name recorded evidence")
        else:
            found[name] = Known(name, float(str(assumed[name])), "assumed")
    slices, told = _slices(policy.gates, service, found["disagreement_ratio"].value)
    numbers: dict[str, Any] = {name: known.value for name, known in found.items()}
    return Traffic(steps=(), slices=slices, **numbers), (*found.values(), *told)


def _slices(
    policy: GatePolicy, service: Service | None, disagreement: float
) -> tuple[tuple[PlannedSlice, ...], list[Known]]:
    """Those that the policy judges. Of one that no evidence shows only a usual share is assumed."""
    observed = {part.name: part for part in service.pairing.slices} if service is not None else {}
    slices, told = [], []
    for part in policy.slices:
        seen = observed.get(part.name)
        planned = PlannedSlice(part.name, disagreement_ratio=disagreement)
        if seen is not None:
            planned = PlannedSlice(part.name, seen.share, seen.disagreement)
        slices.append(planned)
        told.append(Known(f"{SLICE} {part.name}", planned.share_ratio, "assumed" if seen is None else "observed"))
    return tuple(slices), told


def _observed(service: Service) -> dict[str, float]:
    """Only what the evidence has something to say about. Rates of pairs are per mirrored request, as planned."""
    pairing = service.pairing
    found = {"requests_per_s": service.requests / service.seconds}
    if service.stable_requests:
        found["error_ratio"] = service.errors / service.stable_requests
    if sum(service.latency_counts) and len(service.edges_ms) > 1:
        median_ms, found["latency_spread"] = _latency(service)
        found["latency_median_ms"] = median_ms
    if pairing.per_request and service.mirrored:
        captured = min(pairing.per_request / service.mirrored, 1.0)
        found["disagreement_ratio"] = pairing.disagreement
        found["label_ratio"] = captured * pairing.labelled
        found["directed_ratio"] = captured * pairing.directed
    if pairing.labelled or pairing.directed or service.live_labelled:
        found["label_delay_s"] = service.label_delay_s
    if len(pairing.chance_pairs) > 1:
        changes = [
            (pair.candidate.confidence - (pair.candidate.label == pair.truth))
            - (pair.stable.confidence - (pair.stable.label == pair.truth))
            for pair in pairing.chance_pairs
        ]
        found["gap_spread"] = float(np.std(changes))
        found["brier_spread"] = float(np.std([p.candidate.brier - p.stable.brier for p in pairing.chance_pairs]))
    return found


def _latency(service: Service) -> tuple[float, float]:
    """The median, and the standard deviation of the log, each answer in the middle of its bucket."""
    edges = np.log(np.array(service.edges_ms))
    middles = np.concatenate((edges, edges[-1:])) - (edges[1] - edges[0]) / 2
    counts = np.array(service.latency_counts)
    mean = np.average(middles, weights=counts)
    spread = max(float(math.sqrt(np.average((middles - mean) ** 2, weights=counts))), 0.01)
    reached = np.cumsum(counts)
    return math.exp(middles[int(np.searchsorted(reached, reached[-1] / 2))]), spread


# --- forecast ---------------------------------------------------------------------------------------------------------
def forecast(policy: ReleasePolicy, traffic: Traffic, known: tuple[Known, ...] = ()) -> ReleasePlan:
    """The plan of one release under this policy and traffic (whose steps are filled in here)."""
    gates, shadow_s = _gates(policy, traffic)
    required = [gate for gate in gates if _is_required(policy.gates, gate)]
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
    shadow = [gate for gate in alone.gates if gate.stage is Stage.SHADOW]
    waited_for = [gate for gate in shadow if _is_required(policy.gates, gate)]
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
    return (*shadow, *(gate for gate in exposed.gates if gate.stage is Stage.LIVE)), shadow_s


def _is_required(policy: GatePolicy, gate: GatePlan) -> bool:
    """Whether promotion waits for the gate."""
    return next((part.required for name, part in _paired(policy) if name == gate.gate), True)


def _paired(policy: GatePolicy) -> Iterator[tuple[str, PairedAccuracyPolicy]]:
    """The accuracy gates of pairs, by name: the ones that a policy may leave out of what promotion waits for."""
    if policy.accuracy_shadow is not None:
        yield "accuracy.shadow", policy.accuracy_shadow
    for part in policy.slices:
        yield f"accuracy.shadow[{part.name}]", part.accuracy


def _least_seconds(step: Step, traffic: Traffic) -> float:
    rate = traffic.requests_per_s * step.weight_pct / 100
    return max(step.min_s, step.min_requests / rate) if rate else math.inf


def _steps(policy: ReleasePolicy, traffic: Traffic, gates: tuple[GatePlan, ...], shadow_s: float) -> Iterator[StepPlan]:
    open_gates = [gate for gate in gates if gate.stage is Stage.SHADOW and _is_required(policy.gates, gate)]
    never = not open_gates or any(gate.pass_s is None for gate in open_gates)
    nothing = "never: no required gate judges shadow traffic"
    yield StepPlan("shadow", 0.0, None if never else shadow_s, _until(open_gates) or nothing)
    at_s = math.inf if never else shadow_s
    for place, step in enumerate(policy.steps, start=1):
        seconds, until = _least_seconds(step, traffic), _why_so_long(step, traffic)
        if place == len(policy.steps):
            live = [gate for gate in gates if gate.stage is Stage.LIVE]
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
    promoted = 0.0 if late else math.prod(gate.pass_chance for gate in gates if _is_required(policy, gate))
    back = min(policy.rollback_alpha, 1 - promoted)
    yield Ends("no change", promoted, back, 1 - promoted - back)
    for gate in gates:
        back = gate.fail_chance
        if gate.gate.startswith("errors") and _within_objective(policy, traffic):
            slipped, name = promoted * (1 - back), f"at {gate.gate}'s margin (within its objective)"
        else:
            slipped, name = min(policy.promotion_alpha, promoted, 1 - back), f"as bad as {gate.gate}'s margin"
        yield Ends(name, slipped, back, 1 - slipped - back)


def _within_objective(policy: GatePolicy, traffic: Traffic) -> bool:
    """Whether errors grown to the margin still meet the absolute objective, which certifies as well as a comparison."""
    live = policy.errors_live
    return live is not None and traffic.error_ratio * live.margin_ratio < live.error_ratio_max


# --- what would help --------------------------------------------------------------------------------------------------
Changed = tuple[str, ReleasePolicy, Traffic]
_WIDER: Final = (1.5, 2.0, 3.0, 5.0, 10.0)
_LONGER: Final = (1.5, 2.0, 3.0, 4.0, 6.0, 12.0, 24.0)


def _troubles(policy: ReleasePolicy, traffic: Traffic, gates: tuple[GatePlan, ...]) -> Iterator[Trouble]:
    for gate in gates:
        if _is_required(policy.gates, gate) and (gate.pass_s is None or gate.pass_chance < LIKELY):
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
    if gate.gate == "accuracy.shadow":
        yield _directed(policy, traffic)
    if gate.gate in ("accuracy.shadow", "calibration.shadow"):
        yield _labels(policy, traffic)
    if gate.stage is Stage.SHADOW or gate.gate.startswith("errors"):
        yield _mirror(policy, traffic)
    if gate.stage is Stage.LIVE:
        yield _share(policy, traffic)
    for section, key in _MARGINS.get(gate.gate, ()):
        yield _margin(section, key, policy, traffic)
    yield _deadline(policy, traffic)


_MARGINS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "accuracy.shadow": (("accuracy_shadow", "margin_points"),),
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


def _labels(policy: ReleasePolicy, traffic: Traffic) -> Iterator[Changed]:
    for share in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0):
        if share > traffic.label_ratio:
            yield f"label {100 * share:g} % of the requests by chance", policy, replace(traffic, label_ratio=share)


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
