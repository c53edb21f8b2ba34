"""The way forward: what each phase does with the facts. A release goes on only when its gates pass, or when a person
orders its next step, and never to more users after its deadline; only passes promote."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from controller.core.abilities import unmet
from controller.core.commands import Ask
from controller.core.counted import counted
from controller.core.events import (
    Event,
    Leaving,
    PhaseEntered,
)
from controller.core.facts import (
    AliasSurprise,
    Asked,
    BudgetSpent,
    Fact,
    FrozenBy,
    Serving,
    SuitesRun,
    only,
)
from controller.core.leaving import hold_in_place, is_down
from controller.core.policy import OnDeadline
from controller.core.rehearsal import impossible
from controller.core.release import Phase, Purpose, Release
from controller.core.replacing import may_go_on, waited_for
from controller.core.words_of_people import next_step, pausing
from controller.errors import Source
from gates.outcome import Outcome
from gates.verdict import Stage

BEFORE_EXPOSURE = (Stage.PREFLIGHT, Stage.SUITE, Stage.SHADOW)
_OF_ROUTES: Final = frozenset({Source.TRAFFIC, Source.ROUTING})
_STOPPING: Final = _OF_ROUTES | {Source.DEPLOYMENTS, Source.GATES}  # without these nothing goes on, even if gates pass
BEFORE_PROMOTION = (*BEFORE_EXPOSURE, Stage.LIVE)
_STEPPING: Final = frozenset({Phase.SHADOW, Phase.CANARY})


def advance(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    """Return the events by which the release goes on, or ends at its deadline; none while it waits."""
    return _by_a_word(release, facts, now_s) or _PHASES[release.phase](release, facts, now_s)


def _by_a_word(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    """Return the events by which a person pauses the release, resumes it, or takes its next step; none after the
    deadline. A freeze, a spent error budget or a fault that stops every release allows no step."""
    if release.phase not in _STEPPING or release.purpose is not Purpose.PROMOTE or _past_deadline(release, now_s):
        return ()
    if _frozen(facts) or not _STOPPING.isdisjoint(release.faults):
        return pausing(release, facts)
    return next_step(release, facts) or pausing(release, facts)


def _pending(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    if refusal := impossible(release) or _refusal(release):
        return (Leaving(Phase.HELD, refusal),)
    if release.purpose is Purpose.PROMOTE and _frozen(facts):
        return ()
    deadline_at_s = now_s + release.policy.start_timeout_s
    restores = release.purpose is Purpose.RESTORE  # a person's reason is kept to the end
    reason = release.reason if restores else "Fetch, verify and start the candidate."
    return (PhaseEntered(Phase.PREFLIGHT, reason, deadline_at_s),)


def _refusal(release: Release) -> str:
    """Return what the policy needs and the data plane cannot do, in words; empty if nothing is missing."""
    if release.able is None or release.stable is None or release.purpose is Purpose.RESTORE:
        return ""
    return "; ".join(unmet(release.policy, release.able))


def _preflight(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    serving = {fact.version for fact in only(facts, Serving) if fact.ready}
    needed = {release.candidate.number} | ({release.stable.number} if release.stable else set())
    if release.purpose is Purpose.RESTORE:
        if release.candidate.number in serving:
            return (PhaseEntered(Phase.PROMOTING, release.reason),)
    elif needed <= serving and release.outcome_of(Stage.PREFLIGHT) is Outcome.PASS and may_go_on(release, facts):
        reason = "The package is what was registered, and it runs."
        return (PhaseEntered(Phase.SUITE, reason, now_s + release.policy.deadline_s),)
    if _past_deadline(release, now_s):
        reason = f"Not ready within {release.policy.start_timeout_s:g} s: {waited_for(release, facts)}."
        return hold_in_place(release, reason) if release.purpose is Purpose.RESTORE else (Leaving(Phase.HELD, reason),)
    return ()


def _suite(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    suites = release.policy.suites
    if not suites and release.stable is None:
        whose = (
            "A first version" if release.replaced is None else "A version that takes the place of one that cannot run"
        )
        return (Leaving(Phase.HELD, f"{whose} is judged by suites, and the policy names none."),)
    if (suites and not only(facts, SuitesRun)) or Source.DEPLOYMENTS in release.faults:
        if not _past_deadline(release, now_s):
            return ()
        why = "; ".join(release.faults.values()) or "a replica was not ready"
        return (Leaving(Phase.HELD, f"The suites were not run in time: {why}."),)
    if not suites:
        return _enter_traffic(release, facts, now_s, "The policy names no suites: judged on traffic alone.")
    if not all(release.outcome_of(stage) is Outcome.PASS for stage in (Stage.PREFLIGHT, Stage.SUITE)):
        return (Leaving(Phase.HELD, f"The suites did not settle it: {_open_gates(release, (Stage.SUITE,))}"),)
    reason = "The suites passed."
    return _first_version(release, facts) if release.stable is None else _enter_traffic(release, facts, now_s, reason)


def _first_version(release: Release, facts: Sequence[Fact]) -> tuple[Event, ...]:
    frozen = next(iter(only(facts, FrozenBy)), None)
    if frozen is not None:
        return (Leaving(Phase.HELD, f"Frozen by {frozen.freeze.by}: {frozen.freeze.reason}."),)
    if release.replaced is not None:
        met = (
            f"It meets its absolute floors, and takes the place of version {release.replaced.number}, which cannot run."
        )
        return (PhaseEntered(Phase.PROMOTING, met),)
    return (PhaseEntered(Phase.PROMOTING, "The first version meets its absolute floors."),)


def _enter_traffic(release: Release, facts: Sequence[Fact], now_s: float, reason: str) -> tuple[Event, ...]:
    """Return the event that enters shadow; if nothing copies requests, the one that enters the canary, or none while a
    freeze, a spent error budget or a fault stops that."""
    deadline_at_s = now_s + release.policy.deadline_s
    if release.mirrors:
        return (PhaseEntered(Phase.SHADOW, reason, deadline_at_s),)
    if _frozen(facts) or release.faults:
        return ()
    return (PhaseEntered(Phase.CANARY, f"{reason} No shadow phase: nothing copies requests here.", deadline_at_s),)


def _shadow(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    passed = release.outcome_of(*BEFORE_EXPOSURE) is Outcome.PASS
    shadowed = release.outcome_of(Stage.SHADOW) is Outcome.PASS  # no verdict on shadow traffic yet is no pass
    halted = release.purpose is Purpose.PROMOTE and _frozen(facts)  # a rehearsal ends here and changes nothing
    stopped = halted or not _STOPPING.isdisjoint(release.faults) or release.pause is not None
    if not (passed and shadowed) or stopped or _past_deadline(release, now_s):
        return _settle_by_deadline(release, now_s)
    return (PhaseEntered(Phase.CANARY, "Every gate on shadow traffic passed."),)


def _canary(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    step = release.canary_step
    served = release.routed and now_s >= release.step_over_at_s
    served = served and release.step_requests >= step.min_requests
    outcome = release.outcome_of(*BEFORE_PROMOTION)
    stopped = _frozen(facts) or release.faults or release.pause is not None
    if stopped or not served or outcome in (Outcome.ERROR, Outcome.FAIL):
        return _settle_by_deadline(release, now_s)
    if release.step + 1 == len(release.policy.steps):
        if outcome is Outcome.PASS:
            return (PhaseEntered(Phase.PROMOTING, "Every required gate passed."),)
        return _settle_by_deadline(release, now_s)
    if _past_deadline(release, now_s):  # no more users for a candidate that has not passed by now
        return _settle_by_deadline(release, now_s)
    following = release.policy.steps[release.step + 1]
    reason = f"{counted(release.step_requests, 'request')} at {step.weight_pct:g} % without a gate failing."
    return (PhaseEntered(Phase.CANARY, f"{reason} Next: {following.weight_pct:g} %.", step=release.step + 1),)


def _promoting(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    if not (release.routed and release.champion_moved):
        return _not_promoted_yet(release, facts, now_s)
    if release.purpose is not Purpose.RESTORE and is_down(release, facts):
        return _wait_for_candidate(release, now_s)
    if release.stable is None or release.purpose is Purpose.RESTORE:
        return (PhaseEntered(Phase.PROMOTED, release.reason),)
    return (PhaseEntered(Phase.PROBATION, release.reason, now_s + release.policy.probation_s),)


def _not_promoted_yet(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    if release.purpose is Purpose.RESTORE:  # a person asked for this traffic; an alias elsewhere does not undo it
        surprise = next(iter(only(facts, AliasSurprise)), None)
        if surprise is None or not release.routed:
            return ()
        return (PhaseEntered(Phase.PROMOTED, f"{release.reason} The registry is left as found: {surprise.message}"),)
    if not _past_deadline(release, now_s):
        return ()
    waiting = "; ".join(release.faults.values()) or "the traffic was not confirmed"
    return (Leaving(Phase.HELD, f"Proven, but not promoted by the deadline: {waiting}."),)


def _probation(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    """Return the events that end probation; none while it lasts. The former version stops with probation, so probation
    lasts until it is confirmed that this version answers nobody."""
    if not _past_deadline(release, now_s) or not release.routed or not _OF_ROUTES.isdisjoint(release.faults):
        return ()
    if is_down(release, facts):
        return _wait_for_candidate(release, now_s)
    if release.copied_back_pct:  # the table must be without copies before the former version stops
        return (PhaseEntered(Phase.PROBATION, release.reason, step=1),)
    breaches = " ".join(verdict.reason for verdict in release.verdicts.values() if verdict.breach)
    found = f"Reported, but held against no version: {breaches}" if breaches else "Nothing spoke against it."
    return (PhaseEntered(Phase.PROMOTED, f"{release.reason} Probation is over. {found}"),)


def _wait_for_candidate(release: Release, now_s: float) -> tuple[Event, ...]:
    """Return the event that holds the release if the candidate, at the end of the phase, has been down for longer than
    a start may take; none before that: it may be a restart by Serin."""
    if release.deadline_at_s is None or now_s < release.deadline_at_s + release.policy.start_timeout_s:
        return ()
    why = "; ".join(release.faults.values())
    return (Leaving(Phase.HELD, f"The candidate was not running when it was to become final: {why}."),)


def _rolling_back(release: Release, facts: Sequence[Fact], _: float) -> tuple[Event, ...]:
    ending = release.ending or Phase.ROLLED_BACK
    if release.former is None:
        return (PhaseEntered(ending, release.reason),)
    if not release.routed:
        return ()
    if not release.champion_moved:  # the alias is moved back before the release ends
        return (PhaseEntered(ending, release.reason),)
    surprise = next(iter(only(facts, AliasSurprise)), None)
    if surprise is None:
        return ()
    return (PhaseEntered(ending, f"{release.reason} The registry is left as found: {surprise.message}"),)


def _held(release: Release, facts: Sequence[Fact], now_s: float) -> tuple[Event, ...]:
    resume = next((f.command for f in only(facts, Asked) if f.command.ask is Ask.RESUME), None)
    if resume is None or _refusal(release):
        return ()
    reason = f"Resumed by {resume.by}: {resume.reason}"
    proven = release.outcome_of(Stage.PREFLIGHT, Stage.SUITE) is Outcome.PASS
    if proven and release.stable is not None and release.purpose is Purpose.PROMOTE:
        return _enter_traffic(release, facts, now_s, reason)
    return (PhaseEntered(Phase.PREFLIGHT, reason, now_s + release.policy.start_timeout_s),)


def _settle_by_deadline(release: Release, now_s: float) -> tuple[Event, ...]:
    """Return the event that ends the release after its deadline, as the policy says; none before. Never a promotion."""
    if not _past_deadline(release, now_s):
        return ()
    ending = Phase.HELD if release.policy.on_deadline is OnDeadline.HOLD else Phase.ROLLED_BACK
    open_gates = _open_gates(release, BEFORE_PROMOTION)
    faults = "; ".join(release.faults.values())
    in_the_way = f". In the way: {faults}" if faults and faults not in open_gates else ""
    return (Leaving(ending, f"Not proven by the deadline: {open_gates}{in_the_way}"),)


def _open_gates(release: Release, stages: Iterable[Stage]) -> str:
    wanted = set(stages)
    missing = [v for v in release.verdicts.values() if v.stage in wanted and v.outcome is not Outcome.PASS]
    required = [f"{v.gate} is {v.outcome} ({v.reason.removesuffix('.')})" for v in missing if not v.advisory]
    return "; ".join(required or release.faults.values() or ["no evidence arrived"])


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


def _frozen(facts: Sequence[Fact]) -> bool:
    return any(isinstance(fact, FrozenBy | BudgetSpent) for fact in facts)
