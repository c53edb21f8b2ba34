"""The decision: from a release and the facts found, the events that follow. Pure, total, and the same at any replay.

Order of precedence: a person's word, a route that a person moved, something broken, failed or lost, a newer candidate,
and then what the phase itself makes of the facts. A failed gate takes a release back from any phase; only passes take
it forward.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from controller.core.actions import look_is_written
from controller.core.commands import Ask, Command
from controller.core.condition import Condition
from controller.core.events import (
    ChampionMoved,
    CommandTaken,
    Event,
    FaultCleared,
    FaultNoted,
    GatesRestarted,
    Identified,
    Judged,
    Leaving,
    Looked,
    PhaseEntered,
    Reading,
    TrafficConfirmed,
    Verified,
    carry,
    fold,
)
from controller.core.facts import (
    AliasAt,
    AliasSurprise,
    Asked,
    Awaited,
    Broken,
    BudgetSpent,
    Fact,
    FrozenBy,
    LookTaken,
    NewerCandidate,
    Overridden,
    Probed,
    Routed,
    Serving,
    Sighted,
    SuitesRun,
    Unreachable,
)
from controller.core.judging import GATES
from controller.core.policy import OnDeadline
from controller.core.release import EXPOSED, OBSERVED, Phase, Purpose, Release, Version
from gates.checks import GATEWAY, LABELS, METRICS, PREDICTIONS
from gates.outcome import Outcome
from gates.verdict import Stage, Verdict

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
FactT = TypeVar("FactT")
_SPOKEN_FOR = {METRICS, GATEWAY, LABELS, PREDICTIONS, GATES, "traffic", "registry", "deployments", "packages"}
BEFORE_EXPOSURE = (Stage.PREFLIGHT, Stage.SUITE, Stage.SHADOW)
BEFORE_PROMOTION = (*BEFORE_EXPOSURE, Stage.LIVE)


def decide(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    """The events that follow from the facts, in order; none where nothing changes."""
    if not release.active:
        return ()
    noted = _note(release, facts, now_s)
    after = after_events(release, noted, facts, now_s)
    moved = _leave(after, facts) or _advance(after, facts, now_s)
    return (*(_in_full(event, facts) if moved else event for event in noted), *moved)


def after_events(release: Release, events: Sequence[Event], facts: Sequence[Fact], now_s: float) -> Release:
    """The release after the events that were decided on the facts, with what only its snapshot holds."""
    after = fold(release, events, now_s) if events else release
    taken = next(iter(_only(facts, LookTaken)), None)
    return carry(after, taken) if taken is not None and any(isinstance(event, Looked) for event in events) else after


def _in_full(event: Event, facts: Sequence[Fact]) -> Event:
    """A look at which the release moves keeps every verdict."""
    taken = next(iter(_only(facts, LookTaken)), None)
    return replace(event, verdicts=taken.judgement.verdicts) if isinstance(event, Looked) and taken else event


# --- what is recorded whatever follows --------------------------------------------------------------------------------
def _note(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    recorded = tuple(event for fact in facts for event in _record(release, fact, now_s))
    away = _away(release, facts)
    return (*_faults(release, facts, away), *recorded, *_recoveries(release, facts, away))


def _faults(release: Release, facts: Sequence[Fact], away: Mapping[str, str]) -> Iterator[FaultNoted]:
    """One a source, when it begins and when its kind changes: a reason may hold numbers that run on at each look."""
    taken = _only(facts, LookTaken)
    told = [(fault.source, fault.reason) for one in taken for fault in one.look.faults]
    told += [(GATES, one.judgement.fault) for one in taken if one.judgement.fault]
    reasons: dict[str, list[str]] = {}
    for source, reason in (*told, *away.items()):
        if reason not in reasons.setdefault(source, []):
            reasons[source].append(reason)
    for source, found in reasons.items():
        reason = "; ".join(found)
        if source not in release.faults or _kind(release.faults[source]) != _kind(reason):
            yield FaultNoted(source, reason)


def _kind(reason: str) -> str:
    return _NUMBER.sub("#", reason)


def _record(release: Release, fact: Fact, now_s: float) -> Iterator[Event]:
    match fact:
        case Asked(command):
            yield CommandTaken(command.id, command.ask, command.reason, command.by)
        case Sighted(version, tagged):
            yield from _first_sight(release, version, tagged=tagged)
        case Probed(candidate, verdicts):
            yield Verified(candidate)
            yield Judged(verdicts)
        case SuitesRun(verdicts, evidence):
            yield Judged(verdicts, evidence)
        case LookTaken():
            yield from _looked(release, fact, now_s)
        case Routed(weights_pct, generation):
            if not release.routed:
                yield TrafficConfirmed(weights_pct, generation)
        case AliasAt(version):
            yield ChampionMoved(version)
        case Broken(_, verdict):
            if verdict is not None and release.verdicts.get(verdict.gate) != verdict:
                yield Judged((verdict,))
        case _:
            return


def _away(release: Release, facts: Sequence[Fact]) -> dict[str, str]:
    """The sources that do not answer, and why: something of ours, which says nothing about the candidate."""
    reasons: dict[str, list[str]] = {}
    for fact in facts:
        if (found := _fault(release, fact)) is not None:
            reasons.setdefault(found[0], []).append(found[1])
    return {source: "; ".join(dict.fromkeys(found)) for source, found in reasons.items()}


def _fault(release: Release, fact: Fact) -> tuple[str, str] | None:
    """What cannot be relied on for now. Also a version that ran and does not: nothing goes forward without it."""
    match fact:
        case Unreachable(source=source, reason=reason) | BudgetSpent(source=source, reason=reason):
            return source, reason
        case Serving(version, condition, detail) if condition is not Condition.READY:
            ran_before = release.phase not in (Phase.PENDING, Phase.PREFLIGHT, Phase.HELD)  # where it may not run yet
            away = f"version {version}: {detail or 'it is not ready'}"
            return ("deployments", away) if condition is Condition.DISTURBED or ran_before else None
        case _:
            return None


def _looked(release: Release, taken: LookTaken, now_s: float) -> Iterator[Event]:
    look, judged = taken.look, taken.judgement
    if judged.state is None:
        return
    changed = tuple(verdict for verdict in judged.verdicts if _says_something_new(release, verdict))
    if not changed and not look_is_written(release, now_s):
        return
    if judged.restarted:
        yield GatesRestarted(dict(judged.restarted))
    readings = {verdict.gate: reading(verdict) for verdict in judged.verdicts if verdict.value is not None}
    yield Looked(look, changed, readings, judged.deadline_s)


def _says_something_new(release: Release, verdict: Verdict) -> bool:
    """Whether the gate's answer is another one than before; its numbers run on at each look."""
    before = release.verdicts.get(verdict.gate)
    return before is None or _answer(before) != _answer(verdict)


def _answer(verdict: Verdict) -> tuple[object, ...]:
    return verdict.stage, verdict.outcome, verdict.advisory, verdict.freezes


def reading(verdict: Verdict) -> Reading:
    """The verdict's value and the bounds of its interval."""
    interval = verdict.interval
    return (verdict.value, interval.low, interval.high) if interval else (verdict.value, None, None)


def _first_sight(release: Release, version: Version, *, tagged: bool) -> Iterator[Event]:
    mine = (release.candidate, release.stable, release.fallback)
    if any(one is not None and one.number == version.number and not one.fingerprint for one in mine):
        yield Identified(version, tagged)


def _recoveries(release: Release, facts: Sequence[Fact], away: Container[str]) -> tuple[Event, ...]:
    """A source that answered is back; so is one that no fact can speak for, once it is not said to be away again."""
    answered = {source for fact in facts for source in _sources_answering(fact)}
    back = [source for source in release.faults if source in answered or source not in _SPOKEN_FOR]
    return tuple(FaultCleared(source) for source in back if source not in away)


def _sources_answering(fact: Fact) -> tuple[str, ...]:
    match fact:
        case LookTaken(look=look, judgement=judged):
            away = {fault.source for fault in look.faults} | ({GATES} if judged.fault else set())
            return tuple({METRICS, GATEWAY, LABELS, PREDICTIONS, GATES} - away)
        case Routed():
            return ("traffic",)
        case AliasAt():
            return ("registry",)
        case Serving(condition=Condition.READY):
            return ("deployments", "packages", "registry")
        case _:
            return ()


# --- back -------------------------------------------------------------------------------------------------------------
def _leave(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    """Why the release has to go back, if it has to; a release that is going back already stays its course."""
    for reason_to_leave in (_asked_to_leave, _found_broken, _failed_gate, _lost_candidate, _superseded):
        events = reason_to_leave(release, facts)
        if events:
            return events
    return ()


def _asked_to_leave(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    asked = _only(facts, Asked)
    abort = next((f.command for f in asked if f.command.ask is Ask.ABORT), None)
    back = next((f.command for f in asked if f.command.ask is Ask.ROLLBACK), None)
    if abort is not None:
        return _going(release, _leaving_by(Phase.ABORTED, abort))
    if back is not None and release.purpose is not Purpose.RESTORE:  # a way back is what a restoring release is already
        return _going(release, _leaving_by(Phase.ROLLED_BACK, back))
    overridden = next(iter(_only(facts, Overridden)), None)
    if overridden is not None and not _restores(release):
        by, reason = overridden.override.by, overridden.override.reason
        return _going(release, Leaving(Phase.ROLLED_BACK, f"Rolled back by {by}: {reason}", by=by))
    return ()


def _leaving_by(ending: Phase, command: Command) -> Leaving:
    verb = "Aborted" if ending is Phase.ABORTED else "Rolled back"
    return Leaving(ending, f"{verb} by {command.by}: {command.reason}", by=command.by)


def _going(release: Release, leaving: Leaving) -> tuple[Event, ...]:
    """The event, unless the release is on its way out already. An abort wins over any other end, and a person's word
    over waiting for it."""
    if release.phase is not Phase.ROLLING_BACK:
        return (leaving,)
    overrules = leaving.ending is Phase.ABORTED or release.ending is Phase.HELD
    return (leaving,) if overrules and leaving.ending is not release.ending else ()


def _superseded(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    newer = next(iter(_only(facts, NewerCandidate)), None)
    if newer is None or release.phase in (Phase.ROLLING_BACK, Phase.PROMOTING) or release.purpose is Purpose.RESTORE:
        return ()  # the last two end by themselves, and to leave a way back would bring back what a person left
    if release.phase is Phase.PROBATION:
        if _is_down(release, facts):
            return ()  # it has not shown that it can stay
        reason = f"{release.reason} Probation ended early: version {newer.version} is the next candidate."
        return (PhaseEntered(Phase.PROMOTED, reason),)
    return (Leaving(Phase.SUPERSEDED, f"Version {newer.version} became the candidate before this one was decided."),)


def _found_broken(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    if release.phase is Phase.ROLLING_BACK:
        return ()
    broken = next(iter(_only(facts, Broken)), None)
    if release.purpose is Purpose.RESTORE:
        return _hold_in_place(release, broken.reason) if broken is not None else ()
    if broken is not None:
        blamed = (broken.verdict.gate,) if broken.verdict else ()
        return (Leaving(_ending_of_failure(release), broken.reason, blamed),)
    surprise = next(iter(_only(facts, AliasSurprise)), None)
    if surprise is not None:
        return (Leaving(Phase.HELD, f"The registry changed under this release: {surprise.message}"),)
    return ()


def _hold_in_place(release: Release, reason: str) -> tuple[Event, ...]:
    """A way back that cannot be gone is held with the traffic as a person left it."""
    return () if release.phase is Phase.HELD else (PhaseEntered(Phase.HELD, reason),)


def _failed_gate(release: Release, _: Sequence[Fact]) -> tuple[Event, ...]:
    if release.phase is Phase.ROLLING_BACK or release.purpose is Purpose.RESTORE:
        return ()
    failed = [v for v in release.verdicts.values() if v.outcome is Outcome.FAIL and not v.advisory]
    if not failed:
        return ()
    reason = " ".join(v.reason for v in failed)
    return (Leaving(_ending_of_failure(release), reason, tuple(v.gate for v in failed)),)


def _lost_candidate(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    if release.phase in (Phase.ROLLING_BACK, Phase.HELD):
        return ()
    number = release.candidate.number
    exposed = release.phase in EXPOSED and release.stable is not None and release.purpose is Purpose.PROMOTE
    serving = {fact.version: fact for fact in _only(facts, Serving)}
    lost = serving.get(number)
    if lost is None or not (lost.condition is Condition.FAILED or (exposed and lost.condition is Condition.FAILING)):
        return ()  # before users get its answers, one that fails is given its tries
    stable = serving.get(release.stable.number) if release.stable is not None else None
    if stable is None and lost.condition is Condition.FAILING:
        return ()  # not known yet: where both are away, it was neither's doing
    if stable is not None and not stable.ready:  # what neither version can do is for want of something that both need
        why = f"Neither version can be kept running: {number}: {lost.detail}; {stable.version}: {stable.detail}"
        return (Leaving(Phase.HELD, why),) if lost.condition is stable.condition is Condition.FAILED else ()
    reason = f"Version {number} cannot be kept running: {lost.detail or 'its replica failed'}"
    verdict = Verdict("deployment", Stage.PREFLIGHT, Outcome.FAIL, reason)
    return (Judged((verdict,)), Leaving(_ending_of_failure(release), reason, ("deployment",)))


def _ending_of_failure(release: Release) -> Phase:
    """Rejected, where it never got traffic, not even mirrored; otherwise rolled back."""
    had_traffic = release.phase in OBSERVED | EXPOSED or release.looks > 0
    return Phase.ROLLED_BACK if had_traffic else Phase.REJECTED


def _restores(release: Release) -> bool:
    """Whether a route that a person moved is just what this release carries out, or already undoes."""
    return release.phase is Phase.ROLLING_BACK or release.purpose is Purpose.RESTORE


# --- forward ----------------------------------------------------------------------------------------------------------
def _advance(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    return _PHASES[release.phase](release, facts, now_s)


def _pending(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    if release.purpose is Purpose.PROMOTE and _frozen(facts):
        return ()
    deadline_at_s = now_s + release.policy.start_timeout_s
    restores = release.purpose is Purpose.RESTORE  # a person's reason is kept to the end
    reason = release.reason if restores else "Fetch, verify and start the candidate."
    return (PhaseEntered(Phase.PREFLIGHT, reason, deadline_at_s),)


def _preflight(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    serving = {fact.version for fact in _only(facts, Serving) if fact.ready}
    needed = {release.candidate.number} | ({release.stable.number} if release.stable else set())
    if release.purpose is Purpose.RESTORE:
        if release.candidate.number in serving:
            return (PhaseEntered(Phase.PROMOTING, release.reason),)
    elif needed <= serving and release.outcome_of(Stage.PREFLIGHT) is Outcome.PASS:
        return (PhaseEntered(Phase.SUITE, "The package is what was registered, and it runs."),)
    if _past_deadline(release, now_s):
        waiting = "; ".join(release.faults.values()) or "not every replica became ready"
        reason = f"Not ready within {release.policy.start_timeout_s:g} s: {waiting}."
        return _hold_in_place(release, reason) if release.purpose is Purpose.RESTORE else (Leaving(Phase.HELD, reason),)
    return ()


def _suite(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    suites = release.policy.suites
    if not suites and release.stable is None:
        return (Leaving(Phase.HELD, "A first version is judged by suites, and the policy names none."),)
    if (suites and not _only(facts, SuitesRun)) or "deployments" in release.faults:
        if not _past_deadline(release, now_s):
            return ()
        why = "; ".join(release.faults.values()) or "a replica was not ready"
        return (Leaving(Phase.HELD, f"The suites were not run in time: {why}."),)
    if not suites:
        return _enter_shadow(release, now_s, "The policy names no suites: judged on traffic alone.")
    if not all(release.outcome_of(stage) is Outcome.PASS for stage in (Stage.PREFLIGHT, Stage.SUITE)):
        return (Leaving(Phase.HELD, f"The suites did not settle it: {_open_gates(release, (Stage.SUITE,))}"),)
    return _first_version(facts) if release.stable is None else _enter_shadow(release, now_s, "The suites passed.")


def _first_version(facts: Sequence[Fact]) -> tuple[Event, ...]:
    frozen = next(iter(_only(facts, FrozenBy)), None)
    if frozen is not None:
        return (Leaving(Phase.HELD, f"Frozen by {frozen.freeze.by}: {frozen.freeze.reason}."),)
    return (PhaseEntered(Phase.PROMOTING, "The first version meets its absolute floors."),)


def _enter_shadow(release: Release, now_s: float, reason: str) -> tuple[Event, ...]:
    return (PhaseEntered(Phase.SHADOW, reason, now_s + release.policy.deadline_s),)


def _shadow(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    passed = release.outcome_of(*BEFORE_EXPOSURE) is Outcome.PASS
    shadowed = release.outcome_of(Stage.SHADOW) is Outcome.PASS  # nothing asked of shadow traffic yet is no pass
    stopped = _frozen(facts) or not {"deployments", GATES}.isdisjoint(release.faults)
    if not (passed and shadowed) or stopped or _past_deadline(release, now_s):
        return _settle_by_deadline(release, now_s)
    return (PhaseEntered(Phase.CANARY, "Every gate on shadow traffic passed."),)


def _canary(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    step = release.canary_step
    served = now_s - release.phase_since_s >= step.min_s and release.step_requests >= step.min_requests
    outcome = release.outcome_of(*BEFORE_PROMOTION)
    if _frozen(facts) or release.faults or not served or outcome in (Outcome.ERROR, Outcome.FAIL):
        return _settle_by_deadline(release, now_s)
    if release.step + 1 == len(release.policy.steps):
        if outcome is Outcome.PASS:
            return (PhaseEntered(Phase.PROMOTING, "Every required gate passed."),)
        return _settle_by_deadline(release, now_s)
    if _past_deadline(release, now_s):  # no further exposure of what is not proven by now
        return _settle_by_deadline(release, now_s)
    following = release.policy.steps[release.step + 1]
    reason = f"{release.step_requests} requests at {step.weight_pct:g} % without a gate failing."
    return (PhaseEntered(Phase.CANARY, f"{reason} Next: {following.weight_pct:g} %.", step=release.step + 1),)


def _promoting(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    if not (release.routed and release.champion_moved):
        return _not_promoted_yet(release, facts, now_s)
    if release.purpose is not Purpose.RESTORE and _is_down(release, facts):
        return _wait_for_candidate(release, now_s)
    if release.stable is None or release.purpose is Purpose.RESTORE:
        return (PhaseEntered(Phase.PROMOTED, release.reason),)
    return (PhaseEntered(Phase.PROBATION, release.reason, now_s + release.policy.probation_s),)


def _not_promoted_yet(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    if release.purpose is Purpose.RESTORE:  # the traffic is what a person asked for; a name does not undo it
        surprise = next(iter(_only(facts, AliasSurprise)), None)
        if surprise is None or not release.routed:
            return ()
        return (PhaseEntered(Phase.PROMOTED, f"{release.reason} The registry is left as found: {surprise.message}"),)
    if not _past_deadline(release, now_s):
        return ()
    waiting = "; ".join(release.faults.values()) or "the traffic was not confirmed"
    return (Leaving(Phase.HELD, f"Proven, but not promoted by the deadline: {waiting}."),)


def _probation(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    if not _past_deadline(release, now_s):
        return ()
    if _is_down(release, facts):
        return _wait_for_candidate(release, now_s)
    return (PhaseEntered(Phase.PROMOTED, f"{release.reason} Probation is over and nothing spoke against it."),)


def _wait_for_candidate(release: Release, now_s: float) -> tuple[Event, ...]:
    """At the deadline a restart of ours takes nothing back; what lasts longer than a start does is for a person."""
    if release.deadline_at_s is None or now_s < release.deadline_at_s + release.policy.start_timeout_s:
        return ()
    why = "; ".join(release.faults.values())
    return (Leaving(Phase.HELD, f"The candidate did not run when it was to stay: {why}."),)


def _rolling_back(release: Release, facts: Sequence[Fact], _: float) -> tuple[Event, ...]:
    ending = release.ending or Phase.ROLLED_BACK
    if release.stable is None:
        return (PhaseEntered(ending, release.reason),)
    if not release.routed:
        return ()
    if not release.champion_moved:  # the registry is caught up before the release comes to rest
        return (PhaseEntered(ending, release.reason),)
    surprise = next(iter(_only(facts, AliasSurprise)), None)
    if surprise is None:
        return ()
    return (PhaseEntered(ending, f"{release.reason} The registry is left as found: {surprise.message}"),)


def _held(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    resume = next((f.command for f in _only(facts, Asked) if f.command.ask is Ask.RESUME), None)
    if resume is None:
        return ()
    reason = f"Resumed by {resume.by}: {resume.reason}"
    proven = release.outcome_of(Stage.PREFLIGHT, Stage.SUITE) is Outcome.PASS
    if proven and release.stable is not None and release.purpose is Purpose.PROMOTE:
        return _enter_shadow(release, now_s, reason)
    return (PhaseEntered(Phase.PREFLIGHT, reason, now_s + release.policy.start_timeout_s),)


def _settle_by_deadline(release: Release, now_s: float) -> tuple[Event, ...]:
    """Nothing, until the deadline has passed; then what the policy says. Never a promotion."""
    if not _past_deadline(release, now_s):
        return ()
    ending = Phase.HELD if release.policy.on_deadline is OnDeadline.HOLD else Phase.ROLLED_BACK
    open_gates = _open_gates(release, BEFORE_PROMOTION)
    return (Leaving(ending, f"Not proven by the deadline: {open_gates}"),)


def _open_gates(release: Release, stages: Iterable[Stage]) -> str:
    wanted = set(stages)
    missing = [v for v in release.verdicts.values() if v.stage in wanted and v.outcome is not Outcome.PASS]
    required = [f"{v.gate} is {v.outcome} ({v.reason})" for v in missing if not v.advisory]
    return "; ".join(required or release.faults.values() or ["no evidence came"])


_PHASES: dict[Phase, Callable[[Release, Sequence[Fact], float], tuple[Event, ...]]] = {
    Phase.PENDING: _pending,
    Phase.PREFLIGHT: _preflight,
    Phase.SUITE: _suite,
    Phase.SHADOW: _shadow,
    Phase.CANARY: _canary,
    Phase.PROMOTING: _promoting,
    Phase.PROBATION: _probation,
    Phase.ROLLING_BACK: _rolling_back,
    Phase.HELD: _held,
}


def _past_deadline(release: Release, now_s: float) -> bool:
    return release.deadline_at_s is not None and now_s >= release.deadline_at_s


def _is_down(release: Release, facts: Sequence[Fact]) -> bool:
    """Whether the candidate does not run, or nobody can tell."""
    found = [fact.ready for fact in _only(facts, Serving) if fact.version == release.candidate.number]
    unknown = "deployments" in release.faults or Awaited("deployments") in facts
    return not all(found) if found else unknown


def _frozen(facts: Sequence[Fact]) -> bool:
    return any(isinstance(fact, FrozenBy | BudgetSpent) for fact in facts)


def _only(facts: Sequence[Fact], kind: type[FactT]) -> list[FactT]:
    return [fact for fact in facts if isinstance(fact, kind)]
