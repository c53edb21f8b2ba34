"""All gates of a release together: one pure step per look, one small state."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from gates.checks import LABELS, LOOK, METRICS, PREDICTIONS, Problem, problems
from gates.codec import decode, encode
from gates.evidence import Look, before_it_was_set
from gates.forgetting import forgotten
from gates.gate import Gate, Timing
from gates.online.label_sources import doubts, with_known_truths
from gates.online.labelling import Labelling
from gates.outcome import Outcome
from gates.policy import GatePolicy
from gates.table import configured, kinds
from gates.verdict import Stage, Verdict

RULES: Final = 2
"""The number of the rules that gates judge by. It grows with each release of Serin in which the same evidence and the
same policy, with every key written, may give other verdicts than before (1: the rules before decision 450)."""

_SUSPICIONS: Final = "suspicions"  # the field of a gate's state that counts suspicions, where it has one
_SAID_MAX: Final = 200  # characters of a gate's exception in its verdict


@dataclass(frozen=True, slots=True)
class Failure:
    """A gate's failure, kept: evidence that comes later does not undo it."""

    gate: str
    sequence: int
    reason: str
    freezes: bool


@dataclass(frozen=True, slots=True)
class GateSetState:
    """The memory of the gate set between looks; its size does not depend on the traffic that passed.

    All times are by the clock as it was before somebody set it; ``clock_set_s``: by how many seconds it was set in all.
    ``deadline_owed``: gates that could conclude nothing at the deadline; their exact test is made once they can. What
    held them up says nothing about the versions, so the later test is as good.
    """

    deadline_s: float | None
    gates: tuple[tuple[str, object], ...]  # (gate name, its state), in the order of the verdicts
    sequence: int = 0
    end_s: float | None = None
    deadline_spent: bool = False
    deadline_owed: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    labelling: Labelling = field(default_factory=Labelling)
    clock_set_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Read:
    """A look as the gates may use it (by the clock before it was set), the problems found in it, and the state of
    labelling after it. ``owed``: gates whose exact test is still to be made."""

    look: Look
    found: Sequence[Problem]
    doubt: Problem | None
    labelling: Labelling
    timing: Timing
    accepted: bool
    owed: frozenset[str]

    @property
    def tests(self) -> bool:
        """Return whether any gate's exact test is to be made at this look."""
        return self.timing.due or bool(self.owed)

    def timing_of(self, gate: Gate[Any]) -> Timing:
        return replace(self.timing, due=True) if gate.name in self.owed and not self.timing.due else self.timing


class GateSet:
    """The gates that a policy configures.

    ``look`` is pure: the same state and look give the same state and verdicts. Where evidence is unusable, or its
    source has a fault, each gate that needs it gives an ``ERROR`` verdict and keeps its state. So does a gate that
    raises; the other gates are judged all the same. Where only a source of labels is in doubt, its usable labels still
    enter the states, and are judged once the source is mended.
    """

    def __init__(self, policy: GatePolicy) -> None:
        self.policy = policy
        asked = [(one.kind, gate) for one in configured(policy) for gate in one.gates()]
        self._gates: tuple[Gate[Any], ...] = tuple(gate for _, gate in asked)
        # Gates that count labels as they come.
        self._hurried = {
            gate.name for _, gate in asked if LABELS in gate.sources and not getattr(gate, "waits_itself", False)
        }
        # Gates that begin anew where a state lacks them.
        self._watching = tuple((gate.name, gate) for kind, gate in asked if not kind.alpha_share)
        self.names = tuple(gate.name for gate in self._gates)

    def start(self, *, deadline_s: float | None = None) -> GateSetState:
        """Return the state before the first look. ``deadline_s`` (unix seconds) cannot be moved later."""
        return GateSetState(deadline_s=deadline_s, gates=tuple((gate.name, gate.start()) for gate in self._gates))

    def look(self, state: GateSetState, look: Look) -> tuple[GateSetState, tuple[Verdict, ...]]:
        """Return the next state and one verdict per gate; neither bad evidence nor a failing gate raises.

        Raises:
            ValueError: another policy started the state.
        """
        read = self._read(state, look)
        before = dict(state.gates)
        before |= {name: gate.start() for name, gate in self._watching if name not in before}
        if before.keys() != set(self.names):  # the order is the set's own: what stores a state may sort its keys
            raise ValueError(f"the state is of the gates {', '.join(before)}, the policy of {', '.join(self.names)}")
        failures = {failure.gate: failure for failure in state.failures}
        after: dict[str, object] = {}
        verdicts: list[Verdict] = []
        owed: list[str] = []
        for name, gate in zip(self.names, self._gates, strict=True):
            after[name], verdict = self._judge(gate, before[name], read)
            if read.tests and self._owes(gate, verdict, read):
                owed.append(name)
            if verdict.outcome is Outcome.FAIL and not verdict.advisory:
                failures.setdefault(name, Failure(name, read.look.sequence, verdict.reason, verdict.freezes))
            verdicts.append(_latched(verdict, failures.get(name)))
        following = replace(
            state,
            gates=tuple(after.items()),
            sequence=look.sequence if read.accepted else state.sequence,
            end_s=read.look.window.end_s if read.accepted and not _uncounted(look) else state.end_s,
            deadline_spent=state.deadline_spent or read.timing.due,
            deadline_owed=tuple(owed),
            failures=tuple(failures.values()),
            labelling=read.labelling,
        )
        same_clock = read.look.window == look.window
        return following, tuple(verdicts if same_clock else (replace(one, window=look.window) for one in verdicts))

    def _read(self, state: GateSetState, look: Look) -> "_Read":
        look = before_it_was_set(look, state.clock_set_s)  # so that time neither runs back nor leaps for a gate
        found = problems(look, last_sequence=state.sequence, last_end_s=state.end_s)
        accepted = not any(problem.source == LOOK for problem in found)
        doubt = self._doubt(look, found)
        look = with_known_truths(look)
        labelling = state.labelling
        if not any(problem.source in (LOOK, LABELS, PREDICTIONS) for problem in found):
            labelling = labelling.add(look, self.policy.labels)
            doubt = doubt or self._chosen(labelling)
        due = accepted and _due(state, look)
        fraction = self.policy.deadline_fraction if state.deadline_s is not None else 0.0
        timing = Timing(fraction, due=due, labels=labelling.times(look.classes, self.policy.labels))
        return _Read(
            _usable(look, found),
            found,
            doubt,
            labelling,
            timing,
            accepted=accepted,
            owed=frozenset(state.deadline_owed),
        )

    def _judge(self, gate: Gate[Any], state: object, read: "_Read") -> tuple[object, Verdict]:
        """Return the gate's next state and its verdict; the state is unchanged where the gate cannot use the look."""
        if _has_no_copies(gate, read.look):
            return state, _without_mirror(gate, read.look)
        for problem in read.found:
            if problem.source == LOOK or problem.source in gate.sources:
                return state, _error(gate, read.look, problem)
        after, verdict = _judged(gate, state, read.look, read.timing_of(gate))
        verdict = _suspecting(verdict, state, after)
        if (wait := read.timing.labels.wait) and gate.name in self._hurried:
            after, verdict = forgotten(after), _waiting(verdict, wait)
        if read.doubt is not None and LABELS in gate.sources:
            verdict = _error(gate, read.look, read.doubt)
        return after, verdict

    def _owes(self, gate: Gate[Any], verdict: Verdict, read: "_Read") -> bool:
        """Return whether the gate could conclude nothing at a look at which its exact test was to be made."""
        if _has_no_copies(gate, read.look) or not read.timing_of(gate).due:
            return False
        times = read.timing.labels
        held = times.wait if gate.name in self._hurried else times.hold
        return verdict.outcome is Outcome.ERROR or bool(held and LABELS in gate.sources)

    def _doubt(self, look: Look, found: Sequence[Problem]) -> Problem | None:
        """Return the problem of a source of labels for which no gate that reads labels can be judged now, although its
        evidence is there; None without one."""
        unusable = any(problem.source in (LOOK, LABELS) for problem in found)
        reasons = () if unusable else doubts(look, self.policy.labels)
        return Problem(LABELS, f"labels: {'; '.join(reasons)}") if reasons else None

    def _chosen(self, labelling: Labelling) -> Problem | None:
        reason = labelling.chosen(self.policy.labels.chosen_ratio_max)
        return Problem(LABELS, f"labels: {reason}") if reason else None


def _uncounted(look: Look) -> bool:
    """Return whether the window's counts are missing: they come with a later window, which starts where this one
    does."""
    return any(fault.source == METRICS for fault in look.faults)


def _usable(look: Look, found: Sequence[Problem]) -> Look:
    """Return the look without the replicas' counts where those cannot be used, for gates that can do without them."""
    if any(problem.source == METRICS for problem in found):
        return replace(look, stable=None, candidate=None, shadow=None, former=None, stable_parts=(), stable_users=())
    return look


def _due(state: GateSetState, look: Look) -> bool:
    return state.deadline_s is not None and not state.deadline_spent and look.window.end_s >= state.deadline_s


def _judged(gate: Gate[Any], state: object, look: Look, timing: Timing) -> tuple[object, Verdict]:
    """Return the gate's next state and verdict; where it raises, its old state and an error, for that is our fault."""
    try:
        return gate.look(state, look, timing)
    except Exception as error:  # noqa: BLE001 - whatever is wrong in one gate, the others are to be judged
        said = " ".join(f"{type(error).__name__}: {error}".split())[:_SAID_MAX]
        return state, _error(gate, look, Problem(gate.name, f"the gate itself failed, {said}"))


def _suspecting(verdict: Verdict, before: object, after: object) -> Verdict:
    """Return the verdict, marked where the look raised a suspicion in the gate's state."""
    raised = getattr(after, _SUSPICIONS, 0) > getattr(before, _SUSPICIONS, 0)
    return replace(verdict, suspects=True) if raised else verdict


def _error(gate: Gate[Any], look: Look, problem: Problem) -> Verdict:
    reason = f"Could not judge this look: {problem.reason}."
    return Verdict(gate.name, gate.stage, Outcome.ERROR, reason, window=look.window, advisory=not gate.required)


def _waiting(verdict: Verdict, reason: str) -> Verdict:
    """Return the verdict of a gate that has to wait for labels: inconclusive with this reason; an error stays."""
    if verdict.outcome is Outcome.ERROR:
        return verdict
    return replace(verdict, outcome=Outcome.INCONCLUSIVE, reason=reason, samples_needed=None)


def _has_no_copies(gate: Gate[Any], look: Look) -> bool:
    return gate.stage is Stage.SHADOW and not look.mirrors


def _without_mirror(gate: Gate[Any], look: Look) -> Verdict:
    reason = "No mirror here: nothing is judged on copies of users' requests."
    return Verdict(gate.name, gate.stage, Outcome.INCONCLUSIVE, reason, window=look.window, advisory=True)


def _latched(verdict: Verdict, failure: Failure | None) -> Verdict:
    if failure is None or verdict.outcome is Outcome.FAIL:
        return verdict
    reason = f"Failed at look {failure.sequence}: {failure.reason}"
    return replace(verdict, outcome=Outcome.FAIL, reason=reason, freezes=failure.freezes, advisory=False)


def document_of(state: GateSetState) -> dict[str, Any]:
    """``state`` as a JSON object, with each gate's own state as it is: a frozen dataclass of numbers and texts."""
    gates = {name: {"kind": type(inner).__name__, "state": inner} for name, inner in state.gates}
    return {one.name: getattr(state, one.name) for one in fields(state)} | {"gates": gates}


def state_to_json(state: GateSetState) -> dict[str, Any]:
    """``state`` as JSON values; ``state_from_json`` gives back the same state, float for float."""
    document: dict[str, Any] = encode(document_of(state))
    return document


def state_from_json(document: dict[str, Any], policy: type[GatePolicy] = GatePolicy) -> GateSetState:
    """Return the state that ``state_to_json`` wrote, of gates that are in the table of ``policy``.

    Raises:
        ValueError: a field or a kind of state does not fit.
    """
    types = {state.__name__: state for _, kind in kinds(policy) for state in kind.state}
    outer: GateSetState = decode(GateSetState, document | {"gates": []})
    gates = []
    for name, entry in document["gates"].items():
        if entry["kind"] not in types:
            raise ValueError(f"gate {name}: unknown kind of state {entry['kind']!r}")
        gates.append((name, decode(types[entry["kind"]], entry["state"])))
    return replace(outer, gates=tuple(gates))
