"""The remedies for gates that are not likely to settle in time: the smallest sufficient change of each kind."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from controller.core.policy import LabelsBefore, ReleasePolicy, ReplayPolicy
from controller.offline.forecast.rollout import all_steps_seconds, exposure, gate_plans
from controller.offline.forecast.traffic import ReleaseTraffic
from controller.report.words import duration
from gates.kind import Lever, value_of, with_value
from gates.offline.plan import GatePlan
from gates.table import Configured, configured, with_section
from gates.verdict import Stage

STEPS: Final = "steps"
LIKELY: Final = 0.9
"""The chance to pass an equal candidate below which a gate is reported, with remedies."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change after which a gate would settle. ``pass_s``: seconds until it passes. ``pass_chance``: the chance, 0 to
    1, that it passes by the deadline."""

    change: str
    pass_s: float
    pass_chance: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """A gate that is not likely to pass an equal candidate by the deadline. Without remedies, no change that was tried
    is enough.

    ``gate`` is ``STEPS`` if the gates on shadow would pass, but too late for the steps after shadow.
    """

    gate: str
    chance: float  # to pass by the deadline, or to leave shadow in time, 0 to 1
    remedies: tuple[Remedy, ...]


Changed = tuple[str, ReleasePolicy, ReleaseTraffic]
_WIDER: Final = (1.5, 2.0, 3.0, 5.0, 10.0)
_LONGER: Final = (1.5, 2.0, 3.0, 4.0, 6.0, 12.0, 24.0)


def troubles(policy: ReleasePolicy, traffic: ReleaseTraffic, gates: tuple[GatePlan, ...]) -> Iterator[Trouble]:
    """Yield the troubles of the gates that promotion waits for, and of the steps."""
    waited_for = [gate for gate in gates if gate.required]
    for gate in waited_for:
        if gate.pass_chance < LIKELY:
            kinds = _changes(gate, policy, traffic)
            found = (_smallest(gate.gate, kind) for kind in kinds)
            yield Trouble(gate.gate, gate.pass_chance, tuple(remedy for remedy in found if remedy is not None))
    shadow = [gate for gate in waited_for if gate.stage is Stage.SHADOW]
    in_time = exposure(policy, traffic).in_time
    if shadow and in_time < LIKELY and all(gate.pass_chance >= LIKELY for gate in shadow):
        remedy = _longer(policy, traffic)
        yield Trouble(STEPS, in_time, () if remedy is None else (remedy,))


def _longer(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Remedy | None:
    """Return the earliest of the tried deadlines that leaves enough time for the steps; None if none does."""
    for text, later, _ in _deadline(policy, traffic):
        found = exposure(later, traffic)
        if found.in_time >= LIKELY:
            return Remedy(text, found.shadow_s + all_steps_seconds(later, traffic), found.in_time)
    return None


def _smallest(name: str, changes: Iterable[Changed]) -> Remedy | None:
    """Return the smallest of the changes after which the gate is likely to pass in time; None if none is enough."""
    for text, policy, traffic in changes:
        gate, *_ = gate_plans(policy, traffic, {name})
        if gate.pass_s is not None and gate.pass_chance >= LIKELY:
            return Remedy(text, gate.pass_s, gate.pass_chance)
    return None


def _changes(gate: GatePlan, policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Iterator[Changed]]:
    """Yield the kinds of changes that can help this gate, each from small to large."""
    asked = next(one for one in configured(policy.gates) if gate.gate in {made.name for made in one.gates()})
    for lever, kinds in _LEVERS.items():
        if lever in asked.kind.levers:
            yield from (changes(policy, traffic) for changes in kinds)
    for key in asked.kind.margins:
        yield _margin(asked, key, policy, traffic)
    yield _deadline(policy, traffic)


def _directed(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Changed]:
    for share in (0.25, 0.5, 1.0):
        if share > max(traffic.directed_ratio, traffic.label_ratio):
            yield f"label {100 * share:g} % of the disagreements", policy, replace(traffic, directed_ratio=share)


_LABELLED: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def _labels(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Changed]:
    for share in _LABELLED:
        if share > traffic.label_ratio:
            yield f"label {100 * share:g} % of the requests by chance", policy, replace(traffic, label_ratio=share)


def _live_labels(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Changed]:
    for share in _LABELLED:
        if share > traffic.live_label_ratio:
            yield f"label {100 * share:g} % of the live answers", policy, replace(traffic, live_label_ratio=share)


def _mirror(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Changed]:
    for share in (0.25, 0.5, 1.0):
        if share > traffic.mirror_ratio:
            yield f"mirror_pct: {100 * share:g}", policy, replace(traffic, mirror_ratio=share)


_REPLAYED: Final = (2_000, 20_000)


def _replay(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Changed]:
    """Yield larger replays: alone, then with labels of all their disagreements, which can be asked for at once, then
    with the labels that the recorded requests had before."""
    replay, all_directed = policy.shadow_replay, replace(traffic, directed_ratio=1.0)
    held_out = replace(replay, labels_before=LabelsBefore.HELD_OUT)
    more: list[tuple[str, ReplayPolicy, ReleaseTraffic]] = [("", replay, traffic)]
    if traffic.directed_ratio < 1:
        more.append((", and label all that is asked for (GET /v1/label-requests)", replay, all_directed))
    if replay != held_out:
        more.append((", and labels_before: held_out, with labels that no version was trained on", held_out, traffic))
    for also, asked, labelled in more:
        for size in _REPLAYED:
            if size > replay.requests_max:
                text = f"shadow_replay.requests_max: {size}, of as many recorded texts{also}"
                yield text, replace(policy, shadow_replay=replace(asked, requests_max=size)), labelled


_SUITE_TEXTS: Final = (500, 1_000, 2_000, 5_000, 10_000, 20_000)


def _suite_texts(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Changed]:
    """Yield replays with more labelled texts, which nobody has to label."""
    for size in _SUITE_TEXTS:
        if size > traffic.suite_texts:
            text = f"shadow_replay.suites: {size} labelled texts that no release has asked"
            yield text, policy, replace(traffic, suite_texts=size)


def _share(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Changed]:
    *before, last = policy.steps
    for weight_pct in (10.0, 20.0, 50.0):
        if weight_pct > last.weight_pct:
            steps = (*before, last, replace(last, weight_pct=weight_pct))
            yield f"steps: one more, at {weight_pct:g} %", replace(policy, steps=steps), traffic


_LEVERS: Final[dict[Lever, Sequence[Callable[[ReleasePolicy, ReleaseTraffic], Iterator[Changed]]]]] = {
    Lever.DIRECTED_LABELS: [_directed],
    Lever.LABELS: [_labels],
    Lever.LIVE_LABELS: [_live_labels],
    Lever.MIRROR: [_mirror],
    Lever.REPLAY: [_replay, _suite_texts],
    Lever.SHARE: [_share],
}


def _margin(asked: Configured, key: str, policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Changed]:
    """Yield wider margins for the key."""
    part = asked.part
    path = f"gates.{part.field}.{key}" if part.place is None else f"{key.rpartition('.')[2]} of the slice"
    for before, value, wider in _wider(part.value, key):
        gates = with_section(policy.gates, part, wider)
        yield f"{path}: {value:g} (now {before:g})", replace(policy, gates=gates), traffic


def _wider(part: Any, key: str) -> Iterator[tuple[float, float, Any]]:
    """Yield the margin before, the wider margin, and the part of the policy with it, as far as the policy allows. For a
    ratio, the excess over 1 is widened."""
    before = value_of(part, key)
    above = 1.0 if key.endswith("margin_ratio") else 0.0
    for factor in _WIDER:
        value = float(f"{above + (before - above) * factor:.3g}")
        try:
            yield before, value, with_value(part, key, value)
        except ValueError:  # beyond what the policy allows
            return


def _deadline(policy: ReleasePolicy, traffic: ReleaseTraffic) -> Iterator[Changed]:
    for factor in _LONGER:
        seconds = policy.deadline_s * factor
        yield f"deadline_s: {seconds:g} ({duration(seconds)})", replace(policy, deadline_s=seconds), traffic
