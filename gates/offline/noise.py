"""The clustering of a service's errors, slow requests, wrong answers and lost pairs, as its gates find it in recorded
looks."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from gates.checks import LOOK, problems
from gates.evidence import Earlier, Look
from gates.gate import Gate, Timing
from gates.policy import GatePolicy
from gates.stats.noise import Found
from gates.table import configured


def found_in(policy: GatePolicy, releases: Sequence[Sequence[Look]]) -> dict[str, Found]:
    """Return, by kind of event (`GateKind.finds`), the clustering that the policy's gates find in the looks of the
    releases, oldest first; kinds of events of which none was seen are left out."""
    found: dict[str, Found] = {}
    for one in configured(policy):
        for gate in one.gates() if one.kind.finds else ():
            state = _last_state(gate, releases)
            seen = None if state is None else state.found
            if seen is not None:
                found[one.kind.finds] = seen
    return found


def _last_state(gate: Gate[Any], releases: Sequence[Sequence[Look]]) -> Any:
    """Return the state of the gate after the last release; each release begins with what the one before found."""
    state = None
    for looks in releases:
        learnt = () if state is None else (Earlier(gate.name, state.learnt),)
        state = gate.start()
        for place, look in enumerate(_usable(gate, looks)):
            told = replace(look, earlier=learnt or look.earlier) if place == 0 else look
            state, _ = gate.look(state, told, Timing(0.0, due=False))
    return state


def _usable(gate: Gate[Any], looks: Sequence[Look]) -> Iterator[Look]:
    for look in looks:
        found = problems(look, last_sequence=look.sequence - 1, last_end_s=None)
        if not any(problem.source == LOOK or problem.source in gate.sources for problem in found):
            yield look
