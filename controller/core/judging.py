"""Judging, separate from deciding: a look and what the gates remember give the verdicts, and what they remember next.

What cannot be judged counts as a source that is away: deadlines and aborts are decided all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from controller.core.release import GateState, Release
from gates.evidence import Earlier, Look
from gates.gate_set import GateSet, GateSetState, state_from_json
from gates.policy import GatePolicy
from gates.verdict import Verdict

STATE_SCHEMA: Final = 1
_TOLD_MIN: Final = 1.05  # of an effect: less is none
_DIGITS: Final = 3
_HANDED_ON_MAX: Final = 10.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """One verdict a gate, and what the gates remember after the look. ``restarted``: gates whose memory could not be
    read, and why: they begin anew, with the level that they had spent. ``fault``: why nothing could be judged."""

    verdicts: tuple[Verdict, ...] = ()
    state: GateState | None = None
    restarted: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    deadline_s: float | None = None  # of the gates, in unix time


def judge(release: Release, look: Look) -> Judgement:
    """The judgement of the release's next look. Never raises."""
    try:
        gate_set = gate_set_of(release.policy.gates)
        before, restarted = _remembered(gate_set, release)
        after, verdicts = gate_set.look(before, look)
        deadline_s = after.deadline_s + after.clock_set_s if after.deadline_s is not None else None
        return Judgement(verdicts, GateState(STATE_SCHEMA, after), restarted, deadline_s=deadline_s)
    except Exception as error:  # noqa: BLE001 - a defect of a gate is ours, and nothing else waits for it
        return Judgement(fault=f"the look cannot be judged: {type(error).__name__}: {error}")


@lru_cache(maxsize=1_000)
def gate_set_of(policy: GatePolicy) -> GateSet:
    """To make one costs as much as some of its gates' looks, and it remembers nothing."""
    return GateSet(policy)


def _remembered(gate_set: GateSet, release: Release) -> tuple[GateSetState, Mapping[str, str]]:
    """Return what the gates remember, each on its own: what another release of the software wrote is read if
    possible."""
    found = release.gate_state.document if release.gate_state is not None else None
    if isinstance(found, GateSetState):
        return found, {}
    fresh = gate_set.start(deadline_s=release.deadline_at_s)
    if found is None:
        return fresh, {}
    gates: dict[str, Any] = found.get("gates", {})
    try:
        outer = state_from_json({**found, "gates": {}})
    except (ValueError, KeyError, TypeError) as error:
        return fresh, dict.fromkeys(gate_set.names, str(error))
    states, restarted = dict(fresh.gates), {}
    for name in gate_set.names:
        try:
            states[name] = state_from_json({**found, "gates": {name: gates[name]}}).gates[0][1]
        except KeyError:
            restarted[name] = "it has none"
        except (ValueError, TypeError) as error:
            restarted[name] = str(error)
    return replace(outer, gates=tuple(states.items())), restarted


def learnt(release: Release) -> tuple[Earlier, ...]:
    """Return how events cluster in this service, as the release's gates found it, for the next release."""
    state, _ = _remembered(gate_set_of(release.policy.gates), release)
    found = ((name, _handed_on(getattr(gate, "learnt", 1.0))) for name, gate in state.gates)
    return tuple(Earlier(name, round(effect, _DIGITS)) for name, effect in found if effect >= _TOLD_MIN)


def _handed_on(effect: float) -> float:
    """Return what the next release begins with: half of what is above 1, so that what a service was once is forgotten
    where it shows no more, and no incident holds what follows for good."""
    return min(1 + (effect - 1) / 2, _HANDED_ON_MAX)


def shifted(state: GateState, by_s: float) -> GateState:
    """The gates' memory after the wall clock was set: they go on in the time as it was."""
    document = state.document
    if isinstance(document, GateSetState):
        return replace(state, document=replace(document, clock_set_s=document.clock_set_s + by_s))
    return replace(state, document=document | {"clock_set_s": document.get("clock_set_s", 0.0) + by_s})
