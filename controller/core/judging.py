"""Judging, separate from deciding: a look and the gates' memory give the verdicts and the next memory.

A look that cannot be judged counts as a source that does not answer: deadlines and aborts are decided all the same.
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
_TOLD_MIN: Final = 1.05  # a smaller effect counts as none
_DIGITS: Final = 3
_HANDED_ON_MAX: Final = 10.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdicts of one look, one for each gate, and the gates' memory after it. ``restarted``: the gates whose
    memory could not be read, and why: they begin anew, and may spend their level (probability of a false alarm) twice.
    ``fault``: why nothing could be judged; empty if the look was judged."""

    verdicts: tuple[Verdict, ...] = ()
    state: GateState | None = None
    restarted: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    deadline_s: float | None = None  # of the gates, in unix time


def judge(release: Release, look: Look) -> Judgement:
    """Return the judgement of the release's next look. Never raises: an error becomes ``fault``."""
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
    """Return the policy's gates. They are cached: a gate set is costly to make and holds no state."""
    return GateSet(policy)


def _remembered(gate_set: GateSet, release: Release) -> tuple[GateSetState, Mapping[str, str]]:
    """Return the gates' memory, and the gates whose memory could not be read, with the reason. Each gate is read by
    itself, because another version of Serin may have written the memory."""
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
    """Return the design effects (how strongly events cluster) that the gates learnt, for the next release."""
    state, _ = _remembered(gate_set_of(release.policy.gates), release)
    found = ((name, _handed_on(getattr(gate, "learnt", 1.0))) for name, gate in state.gates)
    return tuple(Earlier(name, round(effect, _DIGITS)) for name, effect in found if effect >= _TOLD_MIN)


def _handed_on(effect: float) -> float:
    """Return the effect that the next release begins with: half of the excess over 1, at most ten, so that an effect
    that no longer shows is forgotten, and an incident does not slow every later release."""
    return min(1 + (effect - 1) / 2, _HANDED_ON_MAX)


def shifted(state: GateState, by_s: float) -> GateState:
    """Return the gates' memory after the wall clock was set by ``by_s`` seconds: the gates go on in the old time."""
    document = state.document
    if isinstance(document, GateSetState):
        return replace(state, document=replace(document, clock_set_s=document.clock_set_s + by_s))
    return replace(state, document=document | {"clock_set_s": document.get("clock_set_s", 0.0) + by_s})
